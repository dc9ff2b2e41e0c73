"""Tables of scores: base and tuned models over checkpoints, per prompt variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from amuro.core.coordinates import RECIPE, SETTING
from amuro.report.formatting import metric_words, number, plain, split_words
from amuro.report.model import ReportData
from amuro.report.naming import AWAY, HOME, Recipe, Roles, model_words, recipe_words, recipes_of, roles_of
from amuro.report.tables import NOT_RUN, Square, Table, pool, primary, primary_metric, step_name, steps_of
from amuro.results import shots_shown

COORDINATES = ("series", "split", *RECIPE, "format", "shots", *SETTING)
"""What keeps rows apart. Seeds are pooled, and the learning rate is a choice made for each checkpoint."""
MIXED = Square("mixed", "hole", "Several settings share this place, so there is no single score.")
OTHERWISE = Square("–", "hole", "Asked in other wordings, or with examples in the prompt: see the tables of its task.")
BASE = Recipe("none", "none", "none", "none")
ALWAYS_NAMED = ("split", "tuned_on", "format")


def overview(book: ReportData, series: str) -> Table | None:
    """Returns base and tuned scores of every task over checkpoints: default format, zero-shot, primary metric."""
    evaluated = book.scores.filter((pl.col("series") == series) & (pl.col("split") != "dev"))
    rows = primary_metric(book, primary(book.scores, series))
    steps, known, words, roles = steps_of(rows), _by_place(rows), recipe_words(book.scores), roles_of(book.scores)
    body, keys = [], []
    for (task, split), here in sorted(evaluated.group_by("task", "split"), key=lambda pair: pair[0]):
        place = f"{plain(task)}, {split_words(split, roles.get((task, split), ''))}"
        home = here.filter(pl.col("role").is_in([HOME, AWAY]) | (pl.col("tuned_on") == task))
        named = [(BASE, "base")] * _has_base(here)
        named += [(recipe, model_words(recipe, task, words)) for recipe in recipes_of(home)]
        for recipe, name in named:
            mine = [known.get((*recipe, task, split, step)) for _, step in steps]
            squares = tuple(map(_square, mine)) if any(mine) else (OTHERWISE,) * len(steps)
            body.append((f"{place} · {name}", squares))
            keys.append(plain(task))
    head = tuple(step_name(*pair) for pair in steps)
    return Table(series, head, tuple(body), keys=tuple(keys)) if body and steps else None


def _has_base(rows: pl.DataFrame) -> bool:
    """Whether any row is of a base model."""
    return bool((rows["tuned_on"] == "none").any())


def _by_place(rows: pl.DataFrame) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Returns (columns of `RECIPE`, task, split, step) → pooled scores."""
    places = [*RECIPE, "task", "split", "step"]
    return {tuple(row[name] for name in places): row for row in pool(rows, places).iter_rows(named=True)}


def score_tables(book: ReportData, task: str) -> list[Table]:
    """Returns one table per metric of `task`, the primary one first: one row per prompt variant, one column per
    checkpoint.
    """
    mine = book.scores.filter((pl.col("task") == task) & (pl.col("split") != "dev"))
    metrics = sorted(mine["metric"].unique().to_list(), key=lambda m: (m != book.metric(task), m))
    return [_score_table(book, mine.filter(pl.col("metric") == metric), task, metric) for metric in metrics]


def _score_table(book: ReportData, rows: pl.DataFrame, task: str, metric: str) -> Table:
    """Returns the table of one metric."""
    steps, roles = steps_of(rows), roles_of(book.scores)
    named = [c for c in COORDINATES if c in ALWAYS_NAMED or rows[c].n_unique() > 1]
    pooled = pool(rows, [*COORDINATES, "role", "step"])
    fitting = {tuple(key): mean for *key, mean in _shots_shown(rows).iter_rows()}
    body, notes, keys = [], [], []
    for key, group in sorted(pooled.group_by(COORDINATES), key=lambda pair: _order(pair[0], task)):
        by_step = {row["step"]: row for row in group.iter_rows(named=True)}
        place = {**dict(zip(COORDINATES, key, strict=True)), "shots_shown": fitting[key]}
        sizes = {_size(row) for row in by_step.values()}
        squares = tuple(_square(by_step.get(step), size=len(sizes) > 1) for _, step in steps)
        body.append((_row_name(place, named, _role(group, roles.get((task, place["split"]), ""))), squares))
        notes.append(next(iter(sizes)) if len(sizes) == 1 else "")
        keys.append(plain(place["format"]))
    if metric == book.metric(task):
        baselines = [_baseline_row(row, len(steps), roles) for row in book.baselines if row["task"] == task]
        body, notes, keys = body + baselines, notes + [""] * len(baselines), keys + [""] * len(baselines)
    head = tuple(step_name(*pair) for pair in steps)
    return Table(metric_words(metric), head, tuple(body), tuple(notes), tuple(keys))


def _shots_shown(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns `COORDINATES` and the mean number of shots in the prompts."""
    return rows.group_by(COORDINATES).agg(pl.col("shots_shown").mean())


def _order(key: Sequence[Any], task: str) -> tuple[Any, ...]:
    """Returns the sort key of a row."""
    place = dict(zip(COORDINATES, key, strict=True))
    return (
        place["split"], place["tuned_on"] != "none", place["tuned_on"] != task, place["tuned_on"], place["shots"],
        place["format"] != "default", place["format"], *map(str, key),
    )  # fmt: skip


def _role(rows: pl.DataFrame, agreed: str) -> str:
    """Returns the role of these rows' set by their recipe; for a base, the role on which all recipes agree."""
    role = str(rows["role"][0])
    return role if role in (HOME, AWAY) else agreed


def _row_name(place: Mapping[str, Any], named: Sequence[str], role: str) -> str:
    """Returns what distinguishes this row from its neighbours, in words."""
    tuned = place["tuned_on"] != "none"
    first = f"tuned on {plain(place['tuned_on'])}" if tuned else "base"
    rest = [f"asked as {plain(place['format'])}", split_words(place["split"], role)]
    if tuned and "tune_format" in named and place["tune_format"] != "default":
        rest.insert(0, f"taught as {plain(place['tune_format'])}")
    if "shots" in named:
        rest.append(shots_shown.in_words(f"{place['shots']} shots", place["shots"], place["shots_shown"]))
    named_elsewhere = {"tuned_on", "format", "split", "tune_format", "shots"} | (
        set() if tuned else {"method", "recipe"}
    )
    skipped = named_elsewhere | ({"recipe"} if place["recipe"] == place["tuned_on"] else set())
    rest += [f"{plain(c)} {plain(str(place[c]))}" for c in named if c not in skipped]
    return " · ".join([first, *rest])


def _square(row: Mapping[str, Any] | None, size: bool = False) -> Square:
    """Returns the cell of a score; `size`: it states its own number of examples, because the row's cells differ."""
    if row is None or (row["value"] is None and not row["runs"]):
        return NOT_RUN
    if row["mixed"]:
        return MIXED
    if row["value"] is None:
        return Square(f"{row['missing']} of {row['missing'] + len(row['runs'])} not run", "hole", NOT_RUN.hint)
    odd = [state for state in row["states"] if state != "measured"]
    return Square(number(row["value"]), "odd" if odd else "", _hint(row, odd, size), _spread(row))


def _spread(row: Mapping[str, Any]) -> str:
    """Returns the standard error of a single run, or the range of several."""
    runs = row["runs"]
    if len(runs) > 1:
        return f"{number(min(runs))}–{number(max(runs))}"
    return f"±{number(row['se'])}" if row["se"] else ""


def _size(row: Mapping[str, Any]) -> str:
    """Returns the number of examples and clusters in words."""
    runs = f" · {len(row['runs'])} runs" if len(row["runs"]) > 1 else ""
    return f"n {row['n']} in {row['clusters']} clusters{runs}"


def _hint(row: Mapping[str, Any], odd: Sequence[str], size: bool) -> str:
    """Returns the text shown on hover."""
    parts = [_size(row)] if size else []
    if odd and row["top_share"] is not None:
        parts.append(f"most frequent answer {number(100 * row['top_share'], 0)} %")
    return " · ".join([*odd, *parts])


def _baseline_row(row: Mapping[str, Any], width: int, roles: Roles) -> tuple[str, tuple[Square, ...]]:
    """Returns the row of a baseline."""
    squares = (Square(number(row["value"]), "baseline"),)
    blank = (Square(""),) * (width - 1)
    asked = split_words(row["split"], roles.get((row["task"], row["split"]), ""))
    return f"{plain(row['name'])} · no language model · {asked}", squares + blank
