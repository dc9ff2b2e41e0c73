"""Makes charts from findings and scores: points, reference lines and colours."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl
from markupsafe import Markup

from amuro.core.types import Finding
from amuro.report.formatting import compact, is_share, metric_words, plain, slug, split_words
from amuro.report.model import ReportData
from amuro.report.naming import model_words, of_recipe, recipe_words, recipes_of, roles_of, short_model
from amuro.report.plots.chart import NO_DIFFERENCE, Chart, Line, Point, Reference
from amuro.report.plots.svg_forest import row_chart
from amuro.report.plots.svg_line import line_chart
from amuro.report.plots.svg_scatter import scatter_chart
from amuro.report.tables import pool, primary, primary_metric, step_name

AXES = {"tokens": "pre-training tokens (log scale)", "step": "training steps (log scale)"}
"""Coordinate of a checkpoint → the label of an axis that is over it."""
COLOURS = ("other-1", "other-2", "other-3", "other-4", "other-5")
Z_95 = 1.959964
"""Half-width of a 95 % interval in standard errors."""


def draw(chart: Chart | None) -> Markup:
    """Returns the chart as inline SVG; '' if it has no values."""
    if chart is None or chart.empty:
        return Markup("")
    if chart.categories:
        return row_chart(chart)
    single = not chart.logarithmic and all(len(drawn.points) == 1 for drawn in chart.lines)
    return scatter_chart(chart) if single else line_chart(chart)


def finding_chart(book: ReportData, finding: Finding, anchor: str) -> Chart | None:
    """Returns the chart of `finding.points` over tokens, steps, a number or named rows; None if it has no points."""
    if not finding.points:
        return None
    axis = _axis(finding.points)
    named = axis == "x" and any(isinstance(p.get("x"), str) for p in finding.points)
    categories = tuple(dict.fromkeys(str(p.get("x")) for p in finding.points)) if named else ()
    is_score = _is_score(finding)
    return Chart(
        name=f"figure-{anchor}",
        title=finding.statement,
        lines=tuple(_finding_lines(finding.points, axis, categories)),
        references=tuple(_finding_references(book, finding, is_score)),
        x_label=AXES.get(axis) or str(finding.points[0].get("x_label", "")),
        y_label=str(finding.points[0].get("y_label") or _y_label(book, finding, is_score)),
        categories=tuple(plain(category) for category in categories),
        logarithmic=axis in AXES,
        unit=is_score and is_share(book.metric(finding.task)),
        checkpoints=_checkpoints(book, axis),
    )


def _axis(points: Sequence[Mapping[str, Any]]) -> str:
    """Returns the coordinate on the x axis: tokens if there are any, else x, else steps."""
    if any(_real(p.get("tokens")) is not None for p in points):
        return "tokens"
    return "step" if all("x" not in p for p in points) and any("step" in p for p in points) else "x"


def counted_in(book: ReportData, *series: str) -> str:
    """Returns `tokens`, or `step` if some token counts of these series (all, if none is named) are unknown."""
    rows = (row for row in book.series if not series or row["series"] in series)
    return "tokens" if all(row.get("tokens") is not None for row in rows) else "step"


def _y_label(book: ReportData, finding: Finding, is_score: bool) -> str:
    return metric_words(book.metric(finding.task)) if is_score else "difference"


def _is_score(finding: Finding) -> bool:
    """Whether points are scores, not differences: they have a key for chance, which may be None."""
    return any("chance" in point for point in finding.points)


def _finding_lines(points: Sequence[Mapping[str, Any]], axis: str, categories: tuple[str, ...]) -> Iterable[Line]:
    names = list(dict.fromkeys(str(p.get("line", "")) for p in points))
    for name, (css, dashed), short in zip(names, line_looks(names), short_names(names), strict=True):
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
            short=plain(short),
            dashed=dashed,
        )


def _finding_references(book: ReportData, finding: Finding, is_score: bool) -> Iterable[Reference]:
    if not is_score:
        yield Reference(NO_DIFFERENCE, 0.0)
        return
    chances = [c for p in finding.points if (c := _real(p.get("chance"))) is not None]
    if chances:
        yield Reference("chance", chances[0])
    majorities = [m for p in finding.points if (m := _real(p.get("majority"))) is not None]
    rows = book.scores.filter(pl.col("cell").is_in(finding.cells) & (pl.col("task") == finding.task))
    majorities += rows["majority"].drop_nulls().to_list()
    if majorities:
        yield Reference("majority", majorities[0])


def line_looks(names: Sequence[str]) -> list[tuple[str, bool]]:
    """Returns (colour class, dashed) of each line. `base` and `tuned …` have the same colours on every chart."""
    heads, tails = zip(*(_parts(name) for name in names), strict=True)
    colours: dict[str, str] = {}
    for head in heads:
        fixed = head.split(" ")[0] if head.split(" ")[0] in ("base", "tuned") else ""
        turn = COLOURS[sum(colour in COLOURS for colour in colours.values()) % len(COLOURS)]
        colours.setdefault(head, fixed if fixed and fixed not in colours.values() else turn)
    return [(colours[head], bool(tail) and tail != tails[-1]) for head, tail in zip(heads, tails, strict=True)]


def _parts(name: str) -> tuple[str, str]:
    head, _, tail = name.partition(", ")
    return head, tail


def short_names(names: Sequence[str]) -> list[str]:
    """Returns the names with `tuned on TASK` cut to `tuned` if all are tuned on the same task."""
    tuned = {name[name.index("tuned on ") :] for name in names if "tuned on " in name}
    return [name.replace(next(iter(tuned)), "tuned") for name in names] if len(tuned) == 1 else list(names)


def task_chart(book: ReportData, series: str, task: str, split: str) -> Chart:
    """Returns base and tuned scores of one task over pre-training: default format, zero-shot, primary metric."""
    rows = book.scores.filter((pl.col("task") == task) & (pl.col("split") == split))
    rows = primary_metric(book, primary(rows, series))
    metric, role = book.metric(task), roles_of(book.scores).get((task, split), "")
    axis = counted_in(book, series)
    lines = tuple(
        Line(name, css, tuple(_score_points(book, series, axis, mine)), short, dashed)
        for mine, name, short, css, dashed in _followed(book, rows, task)
    )
    return Chart(
        name=f"task-{slug(task)}-{slug(series)}",
        title=f"{plain(task)}: base and tuned models over pre-training, {split_words(split, role)}",
        lines=tuple(drawn for drawn in lines if drawn.points),
        references=tuple(_task_references(book, rows, task, split)),
        x_label=AXES[axis],
        y_label=metric_words(metric),
        unit=is_share(metric),
        checkpoints=_checkpoints(book, axis),
    )


def _checkpoints(book: ReportData, axis: str) -> dict[float, str]:
    """Returns place on an axis of tokens or steps → checkpoint in words; without places that two series share."""
    if axis == "step":
        return {row["step"]: step_name(None, row["step"]) for row in book.series if row.get("step") is not None}
    if axis != "tokens":
        return {}
    known = {(row.get("tokens"), row.get("step")) for row in book.series}
    twice = Counter(tokens for tokens, _ in known)
    return {
        float(tokens): f"{compact(tokens)} tokens, step {step:,}"
        for tokens, step in known
        if tokens is not None and tokens >= 0 and step is not None and twice[tokens] == 1
    }


def _task_references(book: ReportData, rows: pl.DataFrame, task: str, split: str) -> Iterable[Reference]:
    """Yields chance, majority, and the baselines without weights."""
    for name in ("chance", "majority"):
        known = rows[name].drop_nulls()
        if known.len():
            yield Reference(name, known[0])
    for row in book.baselines:
        if row["task"] == task and row["split"] == split and row["name"] != "majority":
            yield Reference(plain(row["name"]), row["value"])


def _followed(book: ReportData, rows: pl.DataFrame, task: str) -> list[tuple[pl.DataFrame, str, str, str, bool]]:
    """Returns (rows, name, short name, colour, dashed) of the base and of each recipe that trains on this task; if
    none does, of each recipe.

    No two recipes look the same, up to twice the number of colours.
    """
    recipes, words = recipes_of(rows), recipe_words(book.scores)
    home = [recipe for recipe in recipes if recipe.taught(task)]
    shown, colours = home or recipes, ("tuned", *COLOURS) if home else COLOURS
    looks = [(colours[turn % len(colours)], turn >= len(colours)) for turn in range(len(shown))]
    return [
        (rows.filter(pl.col("tuned_on") == "none"), "base", "", "base", False),
        *((rows.filter(of_recipe(recipe)), model_words(recipe, task, words), short_model(recipe, task, words), *look)
          for recipe, look in zip(shown, looks, strict=True)),
    ]  # fmt: skip


def _score_points(book: ReportData, series: str, axis: str, rows: pl.DataFrame) -> Iterable[Point]:
    """Yields one point per checkpoint, and a gap for a checkpoint without a score."""
    measured = {row[axis]: row for row in pool(rows, [axis]).iter_rows(named=True)}
    wanted = {row[axis] for row in book.series if row["series"] == series} if measured else set()
    for place in sorted({place for place in measured if place is not None} | wanted):
        row = measured.get(place)
        if row is None or row["value"] is None:
            yield Point(float(place), None)
            continue
        half = None if row["se"] is None else Z_95 * row["se"]
        low, high = (None, None) if half is None else (row["value"] - half, row["value"] + half)
        yield Point(float(place), row["value"], low, high, tuple(row["runs"]) if len(row["runs"]) > 1 else ())


def _real(value: object) -> float | None:
    """Returns a finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
