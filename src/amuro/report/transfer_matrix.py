"""The transfer matrix: changes of every task's score by tuning on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from amuro.core.coordinates import RECIPE
from amuro.report.formatting import higher_is_better, metric_words, number, plain, signed, split_words
from amuro.report.model import ReportData
from amuro.report.naming import AWAY, HOME, Recipe, Roles, recipe_words, recipes_of, roles_of
from amuro.report.tables import NOT_RUN, Square, Table, pool, primary, primary_metric, step_name, steps_of

SHADES = 5
FULL_SHADE = 0.5
"""Difference at which a square has its strongest colour."""


def forgetting_tables(book: ReportData, series: str) -> list[Table]:
    """Returns one matrix per checkpoint, the latest first: rows tuned on, columns evaluated on, cells tuned − base.

    Default format, zero-shot, primary metric of each task. Every recipe has a row. Every set that is in or out of
    domain for a recipe has a column; of other tasks, the split most often evaluated on tuned models.
    """
    rows = primary_metric(book, primary(book.scores, series))
    asked = rows.filter(pl.col("tuned_on") != "none")
    words = recipe_words(book.scores)
    tuned = [(recipe, words[recipe]) for recipe in recipes_of(book.scores.filter(pl.col("series") == series))]
    columns = _columns(asked, roles_of(book.scores))
    return [
        _matrix(rows.filter(pl.col("step") == step), step_name(tokens, step), tuned, columns)
        for tokens, step in reversed(steps_of(asked))
    ]


Column = tuple[str, str, str, str]
"""(task, split, metric, head)"""


def _columns(asked: pl.DataFrame, roles: Roles) -> list[Column]:
    """Returns the columns of the matrices."""
    counts = asked.group_by("task", "split", "metric").agg(
        pl.len(), declared=pl.col("role").is_in([HOME, AWAY]).any(), home=(pl.col("role") == HOME).any()
    )
    often = counts.sort(["len", "split"], descending=[True, False]).unique("task", keep="first", maintain_order=True)
    known = set(counts.filter("declared")["task"])
    kept = pl.concat([counts.filter("declared"), often.filter(~pl.col("task").is_in(known))])
    return [
        (task, split, metric, f"{plain(task)}, {split_words(split, roles.get((task, split), ''))}")
        for task, split, metric in kept.sort(["task", "home", "split"], descending=[False, True, False])
        .select("task", "split", "metric")
        .rows()
    ]


def _matrix(rows: pl.DataFrame, place: str, tuned: Sequence[tuple[Recipe, str]], columns: Sequence[Column]) -> Table:
    """Returns the matrix of one checkpoint."""
    pooled = pool(rows, [*RECIPE, "task", "split", "role"])
    bases = {(r["task"], r["split"]): r for r in pooled.iter_rows(named=True) if r["tuned_on"] == "none"}
    values = {(*(r[name] for name in RECIPE), r["task"], r["split"]): r for r in pooled.iter_rows(named=True)}

    def square(recipe: Recipe, task: str, split: str, metric: str) -> Square:
        return _difference(bases.get((task, split)), values.get((*recipe, task, split)), metric)

    body = tuple((name, tuple(square(recipe, *column[:3]) for column in columns)) for recipe, name in tuned)
    return Table(f"after {place}", tuple(head for *_, head in columns), body)


def _difference(base: Mapping[str, Any] | None, tuned: Mapping[str, Any] | None, metric: str) -> Square:
    """Returns the cell of one difference."""
    if base is None or tuned is None or base["value"] is None or tuned["value"] is None:
        return NOT_RUN
    change = tuned["value"] - base["value"]
    better = change if higher_is_better(metric) else -change
    shade = min(SHADES, round(abs(better) / FULL_SHADE * SHADES))
    css = f"shade-{'up' if better > 0 else 'down'}-{shade}" if shade else "shade-none"
    small = f"{number(base['value'])} → {number(tuned['value'])}"
    hint = f"{metric_words(metric)} · n {tuned['n']} · {len(tuned['runs'])} tuning run(s)"
    return Square(signed(change), f"{css} own" if tuned["role"] == HOME else css, hint, small)
