"""What a door for other people's score tables is, and what it hands over. Frozen values, so that analyses and
importers need not know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from amuro.core.types import Kind


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What must be known of an evaluation set to judge a score on it without seeing a single prediction."""

    task: str
    family: str
    kind: Kind
    metric: str
    split: str
    """The source's split that was really asked."""
    rows: int | None
    """How many rows that split has; None where nobody states it."""
    chance: float | None = None
    priors: Mapping[str, float] = field(default_factory=dict)
    """Label → share of the rows whose right answer it is, as the table's authors scored them."""
    hidden_labels: bool = False
    """The split's labels are withheld, so one and the same answer stands as right everywhere."""
    prompt_tokens: int = 0
    """Typical length of one worded question."""
    answer_tokens: int = 0
    new_tokens: int = 0
    """Room that the answer needs behind the prompt."""

    @property
    def constant_gold(self) -> bool:
        """One right answer for every row: any score says only how often the model gives that answer."""
        return self.hidden_labels or (len(self.priors) > 0 and max(self.priors.values()) >= 1)


@dataclass(frozen=True, slots=True)
class TableNote:
    """Something in a table that could be read in two ways, or is not there. It is shown, never settled in silence."""

    kind: str
    where: str
    detail: str


@dataclass(frozen=True)
class Imported:
    """A table of others as tidy scores (columns: docs/tour.md, and those of `EXTRA`)."""

    scores: pl.DataFrame
    sets: Mapping[str, SetFacts]
    """Task → its facts."""
    remarks: tuple[TableNote, ...]


EXTRA = {"table": pl.String, "conversion": pl.String, "source_id": pl.String, "source_set": pl.String}
"""Columns that imported scores have besides those of a run's scores: which table a row stood in, how the weights were
converted, and the two names that it had there."""


@dataclass(frozen=True)
class Importer:
    """One kind of file made by others, and how it is read."""

    name: str
    description: str
    source: str
    read: Callable[[Sequence[Path]], Imported]
