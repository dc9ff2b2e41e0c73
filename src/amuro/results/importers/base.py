"""Contract of importers of score tables from other sources: `Importer`, and `Imported`, what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from amuro.core.types import Kind


@dataclass(frozen=True, slots=True)
class SetFacts:
    """Facts of an evaluation set that are needed to judge its scores without predictions."""

    task: str
    family: str
    kind: Kind
    metric: str
    split: str
    """The split of the source that was evaluated."""
    rows: int | None
    """Rows of that split; None where it is not stated."""
    chance: float | None = None
    priors: Mapping[str, float] = field(default_factory=dict)
    """Label → share of rows with it as the right answer, as the authors scored them."""
    hidden_labels: bool = False
    """The split's labels are withheld, so the data have the same right answer in all rows."""
    prompt_tokens: int = 0
    """Typical length of one formatted question."""
    answer_tokens: int = 0
    """Typical length of one answer."""
    new_tokens: int = 0
    """Tokens to reserve for the generated answer."""

    @property
    def constant_gold(self) -> bool:
        """Whether all rows have the same right answer, so that a score only counts how often it is given."""
        return self.hidden_labels or (len(self.priors) > 0 and max(self.priors.values()) >= 1)


@dataclass(frozen=True, slots=True)
class TableNote:
    """Something ambiguous or missing in a table; it is reported and never resolved silently."""

    kind: str
    where: str
    detail: str


@dataclass(frozen=True)
class Imported:
    """An imported table as tidy scores (columns: docs/tour.md, and those of `EXTRA`)."""

    scores: pl.DataFrame
    sets: Mapping[str, SetFacts]
    """Task → facts of its evaluation set."""
    remarks: tuple[TableNote, ...]


EXTRA = {"table": pl.String, "conversion": pl.String, "source_id": pl.String, "source_set": pl.String}
"""Columns that imported scores have besides those of a run's scores: which table a row stood in, how the weights were
converted, and the two names that it had there."""


@dataclass(frozen=True)
class Importer:
    """Reader of one kind of score table from another source."""

    name: str
    description: str
    source: str
    read: Callable[[Sequence[Path]], Imported]
