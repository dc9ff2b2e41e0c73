"""Contract of analyses: `Analysis` declares a question and its rule, `Evidence` is the input of every analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from amuro.core.types import Finding, Task


def _nothing_planned() -> pl.DataFrame:
    """Returns the frame `planned` of a study without planned cells."""
    return pl.DataFrame(schema={"cell": pl.String, "done": pl.Boolean, "why": pl.String})


@dataclass(frozen=True)
class Evidence:
    """Scores and facts of one study, from which analyses compute findings."""

    items: pl.DataFrame
    """One row per prediction and metric."""
    scores: pl.DataFrame
    """One row per cell and metric."""
    tasks: Mapping[str, Task]
    """Task name → task."""
    study: str
    """Name of the study."""
    planned: pl.DataFrame = field(default_factory=_nothing_planned)
    """Planned cells: columns `cell` (address), `done`, and `why` a cell is not done."""
    delta: Mapping[str, float] = field(default_factory=dict)
    """Analysis → smallest effect of interest, where the study overrides `Analysis.delta`."""
    schedules: Mapping[str, str] = field(default_factory=dict)
    """Checkpoint (address) → state of its learning-rate schedule (`series.base.SCHEDULES`); others are unknown."""
    memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cache of values derived from the frames, shared by all analyses."""


@dataclass(frozen=True)
class Analysis:
    """One question with the rule that answers it, declared before any data."""

    name: str
    """Its file name and the first part of its findings' ids."""
    question: str
    """The question, as a report prints it."""
    family: str
    """Name of the family of findings whose p values are corrected together, within one study."""
    delta: float
    """Smallest effect of interest; for accuracies as a share of the way from chance to perfect."""
    unit: str
    """What `Finding.n` counts, in the plural."""
    formula: str
    """The estimate and its conditions, as a report prints them."""
    source: str
    """Publication from which question and method are taken."""
    run: Callable[[Evidence, np.random.Generator], list[Finding]]
    """Returns the findings; it draws only from the given generator and returns *open* findings without data."""
