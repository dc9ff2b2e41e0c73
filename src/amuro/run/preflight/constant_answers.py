"""Predictions without a model: certain of one answer per example, scored by any metric with a best value."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from amuro.core.types import Example, Task
from amuro.prompts import render
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import CONTEXTS, UNCONDITIONAL, Context

UNLIKELY = -100.0
"""Log-probability of the options that were not chosen."""


def written(examples: Sequence[Example], outputs: Sequence[str]) -> pl.DataFrame:
    """Returns the predictions of a generation task whose outputs are these texts, each stopped by itself."""
    golds = [example.answer for example in examples]
    return _frame(examples, golds, [[gold] for gold in golds], [0] * len(golds)).with_columns(
        output=pl.Series(list(outputs), dtype=pl.String), stopped=pl.repeat(True, len(golds), eager=True)
    )


def picked(task: Task, examples: Sequence[Example], places: Sequence[int]) -> pl.DataFrame:
    """Returns the predictions of a task with options that choose the option at this place for each example."""
    options = [list(render.options(task, example)) for example in examples]
    predictions = _frame(examples, [e.answer for e in examples], options, places)
    return predictions.with_columns(gold_index=pl.Series([render.gold(task, example) for example in examples]))


def score(task: Task, predictions: pl.DataFrame) -> float:
    """Returns the value of the task's own metric."""
    return load_metric(task.metric).score(predictions, context(task))


def context(task: Task) -> Context:
    """Returns a metric's context in which all labels are equally likely."""
    return Context(task, (0.0,) * len(task.labels))


def _frame(
    examples: Sequence[Example], golds: Sequence[str], options: Sequence[Sequence[str]], places: Sequence[int]
) -> pl.DataFrame:
    """Returns predictions with the columns that metrics read (docs/tour.md)."""
    ones = [[1] * len(row) for row in options]
    return pl.DataFrame(
        {
            "example_id": [e.id for e in examples], "cluster": [e.cluster for e in examples], "gold": list(golds),
            "gold_index": [0] * len(golds), "options": [list(row) for row in options], "option_tokens": ones,
            "option_bytes": [[2] * len(row) for row in options],
            CONTEXTS: [["\n".join(inputs.values()) for inputs in e.contexts] for e in examples],
            "log_probabilities": [
                [0.0 if i == place else UNLIKELY for i in range(len(row))]
                for row, place in zip(options, places, strict=True)
            ],
            UNCONDITIONAL: [[0.0] * len(row) for row in options],
        },
        schema_overrides={CONTEXTS: pl.List(pl.String), "gold": pl.String, "options": pl.List(pl.String)},
    )  # fmt: skip
