"""The forgetting matrix: what tuning on one task gave and took everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from amuro.report.book import Book
from amuro.report.tables import NOT_RUN, Square, Table, pool, primary, primary_metric, step_name, steps_of
from amuro.report.words import higher_is_better, metric_words, number, plain, signed, split_words

SHADES = 5
FULL_SHADE = 0.5
"""Difference at which a square has its strongest colour."""


def forgetting_tables(book: Book, series: str) -> list[Table]:
    """One matrix a checkpoint, the latest first: rows tuned on, columns asked, squares tuned minus base.

    All are asked in the plain way; of each task its primary metric and the split most often asked of tuned models are
    taken. A task that no tuned model was asked has no column.
    """
    rows = primary_metric(book, primary(book.scores, series))
    asked = rows.filter(pl.col("tuned_on") != "none")
    counts = asked.group_by("task", "split", "metric").len().sort(["len", "split"], descending=[True, False])
    columns = counts.unique("task", keep="first", maintain_order=True).sort("task").drop("len").rows()
    tuned = asked["tuned_on"].unique().sort().to_list()
    return [
        _matrix(rows.filter(pl.col("step") == step), step_name(tokens, step), tuned, columns)
        for tokens, step in reversed(steps_of(asked))
    ]


def _matrix(rows: pl.DataFrame, place: str, tuned: Sequence[str], columns: Sequence[tuple[str, str, str]]) -> Table:
    pooled = pool(rows, ["tuned_on", "task", "split"])
    values = {(r["tuned_on"], r["task"], r["split"]): r for r in pooled.iter_rows(named=True)}

    def square(name: str, task: str, split: str, metric: str) -> Square:
        return _difference(values.get(("none", task, split)), values.get((name, task, split)), task == name, metric)

    body = tuple((plain(name), tuple(square(name, *column) for column in columns)) for name in tuned)
    head = tuple(f"{plain(task)}, {split_words(split)}" for task, split, _ in columns)
    return Table(f"after {place}", head, body)


def _difference(base: Mapping[str, Any] | None, tuned: Mapping[str, Any] | None, own: bool, metric: str) -> Square:
    if base is None or tuned is None or base["value"] is None or tuned["value"] is None:
        return NOT_RUN
    change = tuned["value"] - base["value"]
    better = change if higher_is_better(metric) else -change
    shade = min(SHADES, round(abs(better) / FULL_SHADE * SHADES))
    css = f"shade-{'up' if better > 0 else 'down'}-{shade}" if shade else "shade-none"
    small = f"{number(base['value'])} → {number(tuned['value'])}"
    hint = f"{metric_words(metric)} · n {tuned['n']} · {len(tuned['runs'])} tuning run(s)"
    return Square(signed(change), f"{css} own" if own else css, hint, small)
