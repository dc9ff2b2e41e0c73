"""What an analysis is and what it is given. Two frozen values, so that analyses and scores need not know each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from amuro.core.types import Finding, Task


def _nothing_planned() -> pl.DataFrame:
    return pl.DataFrame(schema={"cell": pl.String, "done": pl.Boolean, "why": pl.String})


@dataclass(frozen=True)
class Evidence:
    """All that stands after the store of one study."""

    items: pl.DataFrame
    """One row a prediction and metric."""
    scores: pl.DataFrame
    """One row a cell and metric."""
    tasks: Mapping[str, Task]
    study: str
    planned: pl.DataFrame = field(default_factory=_nothing_planned)
    """Columns `cell` (address), `done` and `why` not: what the study asked for, so that a hole is seen."""
    delta: Mapping[str, float] = field(default_factory=dict)
    """Analysis → smallest effect of interest, where the study overrides the analysis' own."""
    schedules: Mapping[str, str] = field(default_factory=dict)
    """Checkpoint (address) → state of its learning-rate schedule (`series_kind.SCHEDULES`); others are unknown."""
    memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was derived from these frames before, so that each analysis need not do it again."""


@dataclass(frozen=True)
class Analysis:
    """One question with the rule that answers it, declared before any data."""

    name: str
    question: str
    family: str
    """Findings that are corrected together for their number: one analysis in one study."""
    delta: float
    """Smallest effect of interest; for accuracies as a share of the way from chance to perfect."""
    unit: str
    """What a finding's n counts."""
    formula: str
    source: str
    run: Callable[[Evidence, np.random.Generator], list[Finding]]
