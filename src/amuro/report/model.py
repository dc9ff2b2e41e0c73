"""The data of a report: everything that the page and the files beside it show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from amuro.core.types import Finding, Task
from amuro.results.analyses.base import Analysis


@dataclass(frozen=True, slots=True)
class ReportData:
    """One study, ready to be printed. Frames are polars; an empty frame means that nothing has run."""

    study: Mapping[str, Any]
    """name, question, description (lines), seeds, engine, precision; further keys are listed as they stand."""
    series: Sequence[Mapping[str, Any]]
    """One row a checkpoint: checkpoint (address), series, step, tokens, unique_tokens, schedule, weights (digest)."""
    findings: Sequence[Finding]
    analyses: Sequence[Analysis]
    flags: Sequence[Mapping[str, str]]
    """Failure signatures: name, where, detail."""
    scores: pl.DataFrame
    """One row per cell × metric."""
    items: pl.DataFrame
    """One row per prediction × metric."""
    examples: pl.DataFrame
    """task, split, format, shots, example_id, cluster, prompt, gold, checkpoint, tuned_on, recipe, method, tune_format,
    predicted_base, predicted_tuned, value_base, value_tuned."""
    ledger: pl.DataFrame
    """One row a model job: model job, seconds, tokens, flops, peak_memory_mb."""
    planned: pl.DataFrame
    """One row a cell of the plan: cell, done."""
    environment: Mapping[str, Any]
    baselines: Sequence[Mapping[str, Any]] = ()
    """Scores of models without weights: task, split, name, value."""
    changes: pl.DataFrame = field(default_factory=pl.DataFrame)
    """How answers change by tuning, over all predictions: task, split, recipe, checkpoint, format, and the number of
    pairs that are lost, won, kept, missed, lost_only, won_only (only in that format)."""
    audits: Sequence[Mapping[str, Any]] = ()
    """Stored audits of the series: series, inspected, faults (name, level, checkpoint, detail), unchecked."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """Facts about the tasks by name, where at hand: primary metric, instruction, what a cluster is."""

    def metric(self, task: str) -> str:
        """Returns the primary metric of a task: as the task states it, else the first under which it has scores."""
        if task in self.tasks:
            return self.tasks[task].metric
        return min(self.scores.filter(pl.col("task") == task)["metric"], default="") if self.scores.height else ""
