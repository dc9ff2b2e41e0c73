"""From findings and scores to charts: what is drawn, with which reference lines and colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from amuro.report.book import Book
from amuro.report.charts import Chart, Line, Point, Reference
from amuro.report.scoreboard import pool
from amuro.report.words import metric_words, plain, slug
from amuro.types import Finding

TOKENS = "pre-training tokens (log scale)"
SHARES = frozenset({"accuracy", "calibrated_accuracy", "balanced_accuracy", "exact_match", "rouge_l", "stopped"})
COLOURS = ("other-1", "other-2", "other-3", "other-4")
Z_95 = 1.959964
"""Half-width of a 95 % interval in standard errors."""


def finding_chart(book: Book, finding: Finding, number: int) -> Chart | None:
    """The chart of `finding.points`, over tokens, over a number, or one row a named x; None where it has none.

    Chance comes from the points; where they give it, they are scores, and the majority line of the task is added.
    """
    if not finding.points:
        return None
    axis = "tokens" if any(_real(p.get("tokens")) is not None for p in finding.points) else "x"
    named = axis == "x" and any(isinstance(p.get("x"), str) for p in finding.points)
    categories = tuple(dict.fromkeys(str(p.get("x")) for p in finding.points)) if named else ()
    is_score = _is_score(finding)
    return Chart(
        name=f"finding-{number}-{slug(finding.id)}",
        title=finding.statement,
        lines=tuple(_finding_lines(finding.points, axis, categories)),
        references=tuple(_finding_references(book, finding, is_score)),
        x_label=TOKENS if axis == "tokens" else "",
        y_label=metric_words(book.metric(finding.task)) if is_score else "difference",
        categories=categories,
        logarithmic=axis == "tokens",
        unit=is_score and book.metric(finding.task) in SHARES,
    )


def _is_score(finding: Finding) -> bool:
    """Points are scores, not differences, where they know a chance or hold base and tuned side by side."""
    names = {str(p.get("line", "")).split(" ")[0] for p in finding.points}
    return {"base", "tuned"} <= names or any(_real(p.get("chance")) is not None for p in finding.points)


def _finding_lines(points: Sequence[Mapping[str, Any]], axis: str, categories: tuple[str, ...]) -> Iterable[Line]:
    names = list(dict.fromkeys(str(p.get("line", "")) for p in points))
    for name, css in zip(names, line_colours(names), strict=True):
        mine = [p for p in points if str(p.get("line", "")) == name]
        places = [float(categories.index(str(p.get("x")))) if categories else _real(p.get(axis)) for p in mine]
        yield Line(
            plain(name),
            css,
            tuple(
                Point(x, _real(p.get("value")), _real(p.get("low")), _real(p.get("high")))
                for x, p in zip(places, mine, strict=True)
                if x is not None
            ),
        )


def _finding_references(book: Book, finding: Finding, is_score: bool) -> Iterable[Reference]:
    if not is_score:
        yield Reference("no difference", 0.0)
        return
    chances = [c for p in finding.points if (c := _real(p.get("chance"))) is not None]
    if chances:
        yield Reference("chance", chances[0])
    majorities = [m for p in finding.points if (m := _real(p.get("majority"))) is not None]
    majority = majorities[0] if majorities else majority_of(book.scores, finding.task)
    if majority is not None:
        yield Reference("majority", majority)


def line_colours(names: Sequence[str]) -> list[str]:
    """Colour classes: base and tuned keep theirs on every chart, others take turns."""
    fixed = {"base": "base", "tuned": "tuned"}
    colours, turn = [], 0
    for name in names:
        colour = fixed.get(name.split(" ")[0].split(",")[0].lower())
        if colour is None or colour in colours:
            colour, turn = COLOURS[turn % len(COLOURS)], turn + 1
        colours.append(colour)
    return colours


def majority_of(scores: pl.DataFrame, task: str) -> float | None:
    """Share of the most frequent right answer in the task's test set."""
    rows = scores.filter((pl.col("task") == task) & pl.col("majority").is_not_null())
    return rows.sort("split")["majority"][0] if rows.height else None


def task_chart(book: Book, task: str, split: str) -> Chart | None:
    """Base and tuned-on-this-task scores over pre-training, zero-shot in the default format; None where nothing is."""
    metric = book.metric(task)
    rows = primary(book.scores.filter((pl.col("task") == task) & (pl.col("split") == split) & (pl.col("metric") == metric)))
    if rows["value"].drop_nulls().is_empty():
        return None
    names = {"none": "base", task: "tuned"}
    lines = tuple(
        Line(name, name, tuple(_score_points(book, rows.filter(pl.col("tuned_on") == tuned_on))))
        for tuned_on, name in names.items()
    )
    references = [
        Reference(name, rows[name].drop_nulls()[0]) for name in ("chance", "majority") if rows[name].drop_nulls().len()
    ]
    references += [
        Reference(plain(row["name"]), row["value"])
        for row in book.baselines
        if row["task"] == task and row["split"] == split and row["name"] != "majority"
    ]
    return Chart(
        name=f"task-{slug(task)}-{slug(split)}",
        title=f"{plain(task)}: base and tuned models over pre-training, {plain(split)} set",
        lines=tuple(drawn for drawn in lines if drawn.points),
        references=tuple(references),
        x_label=TOKENS,
        y_label=metric_words(metric),
        unit=metric in SHARES,
    )


def primary(scores: pl.DataFrame) -> pl.DataFrame:
    """The plain way of asking: default format, tuned in the default format, no shots, the first series and protocol."""
    rows = scores.filter(
        (pl.col("format") == "default") & pl.col("tune_format").is_in(["none", "default"]) & (pl.col("shots") == 0)
    )
    for column in ("series", "protocol", "precision", "device"):
        if rows.height:
            rows = rows.filter(pl.col(column) == rows[column][0])
    return rows


def _score_points(book: Book, rows: pl.DataFrame) -> Iterable[Point]:
    """A point a checkpoint, and a hole where a checkpoint of the series has no score."""
    by_tokens = {row["tokens"]: row for row in pool(rows, ["tokens"]).iter_rows(named=True)}
    wanted = {row["tokens"] for row in book.series if row.get("tokens") is not None} if by_tokens else set()
    for tokens in sorted({t for t in by_tokens if t is not None} | wanted):
        row = by_tokens.get(tokens)
        if row is None or row["value"] is None:
            yield Point(float(tokens), None)
            continue
        half = None if row["se"] is None else Z_95 * row["se"]
        low, high = (None, None) if half is None else (row["value"] - half, row["value"] + half)
        yield Point(float(tokens), row["value"], low, high, tuple(row["runs"]) if len(row["runs"]) > 1 else ())


def _real(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
