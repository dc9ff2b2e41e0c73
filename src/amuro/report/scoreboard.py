"""Tables of scores: base and tuned models over checkpoints, and the forgetting matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from amuro.report.book import Book
from amuro.report.words import EVIDENCE, ROLES, compact, metric_words, number, plain, signed

COORDINATES = (
    "series", "split", "tuned_on", "recipe", "method", "tune_format", "format", "shots", "decoding", "protocol",
    "precision", "device", "limit",
)  # fmt: skip
"""What keeps rows apart. Seeds are pooled, and the learning rate is a choice made for each checkpoint."""
ALWAYS_NAMED = ("split", "tuned_on", "format")
SHADES = 5
FULL_SHADE = 0.5
"""Difference at which a cell of the matrix has its strongest colour."""


@dataclass(frozen=True, slots=True)
class Square:
    """One cell of a table: what stands there, how it looks, and what is said on hover."""

    text: str
    css: str = ""
    hint: str = ""
    small: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table ready for the page; `rows` are (head, squares)."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Square, ...]], ...]


NOT_RUN = Square("not run", "hole", "This cell was not run; nothing is averaged over it.")


def pool(scores: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Seeds pooled within `keys`: value (null if any run of the group is missing), se, runs, missing, n, evidence.

    The standard error is the mean of the runs' own: sampling of examples, not the spread between seeds.
    """
    measured = pl.col("value").is_not_null() & (pl.col("evidence") != "not run")
    return scores.group_by(keys, maintain_order=True).agg(
        pl.when(measured.all()).then(pl.col("value").mean()).otherwise(None).alias("value"),
        pl.col("se").mean(),
        pl.col("value").filter(measured).alias("runs"),
        (~measured).sum().alias("missing"),
        pl.col("n").max(),
        pl.col("clusters").max(),
        pl.col("top_share").max(),
        pl.col("evidence").unique().sort().alias("states"),
    )


def score_tables(book: Book, task: str) -> list[Table]:
    """One table a metric of `task`, the primary one first: a row per way of asking, a column per checkpoint."""
    mine = book.scores.filter(pl.col("task") == task)
    metrics = sorted(mine["metric"].unique().to_list(), key=lambda m: (m != book.metric(task), m))
    return [_score_table(book, mine.filter(pl.col("metric") == metric), task, metric) for metric in metrics]


def _score_table(book: Book, rows: pl.DataFrame, task: str, metric: str) -> Table:
    steps = rows.select("tokens", "step").unique().sort("tokens", "step")
    named = [c for c in COORDINATES if c in ALWAYS_NAMED or rows[c].n_unique() > 1]
    pooled = pool(rows, [*COORDINATES, "step"])
    body = []
    for key, group in sorted(pooled.group_by(COORDINATES), key=lambda pair: _order(pair[0], task)):
        by_step = {row["step"]: row for row in group.iter_rows(named=True)}
        squares = tuple(_square(by_step.get(step)) for step in steps["step"])
        body.append((_row_name(dict(zip(COORDINATES, key, strict=True)), named), squares))
    if metric == book.metric(task):
        body += [_baseline_row(row, steps.height) for row in book.baselines if row["task"] == task]
    head = tuple(_step_name(tokens, step) for tokens, step in steps.iter_rows())
    return Table(metric_words(metric), head, tuple(body))


def _order(key: Sequence[Any], task: str) -> tuple[Any, ...]:
    place = dict(zip(COORDINATES, key, strict=True))
    return (
        place["split"], place["tuned_on"] != "none", place["tuned_on"] != task, place["tuned_on"], place["shots"],
        place["format"] != "default", place["format"], *map(str, key),
    )  # fmt: skip


def _row_name(place: Mapping[str, Any], named: Sequence[str]) -> str:
    """What tells this row from its neighbours, in words."""
    tuned = place["tuned_on"] != "none"
    first = f"tuned on {plain(place['tuned_on'])}" if tuned else "base"
    rest = [f"asked as {plain(place['format'])}", f"{plain(place['split'])} set"]
    if tuned and "tune_format" in named and place["tune_format"] != "default":
        rest.insert(0, f"taught as {plain(place['tune_format'])}")
    if "shots" in named:
        rest.append(f"{place['shots']} shots")
    skipped = {"tuned_on", "format", "split", "tune_format", "shots", "method", "recipe"}
    if tuned:
        rest += [f"{c} {plain(str(place[c]))}" for c in ("method", "recipe") if c in named and place[c] != place["tuned_on"]]
    rest += [f"{plain(c)} {plain(str(place[c]))}" for c in named if c not in skipped]
    return " · ".join([first, *rest])


def _step_name(tokens: int | None, step: int) -> str:
    return f"step {step:,}" if tokens is None else f"{compact(tokens)} tokens"


def _square(row: Mapping[str, Any] | None) -> Square:
    if row is None or (row["value"] is None and not row["runs"]):
        return NOT_RUN
    if row["value"] is None:
        return Square(f"{row['missing']} of {row['missing'] + len(row['runs'])} not run", "hole", NOT_RUN.hint)
    runs = row["runs"]
    small = f"{number(min(runs))}–{number(max(runs))}" if len(runs) > 1 else f"±{number(row['se'])}" if row["se"] else ""
    odd = [state for state in row["states"] if state != "measured"]
    return Square(number(row["value"]), "odd" if odd else "", _hint(row, odd), small)


def _hint(row: Mapping[str, Any], odd: Sequence[str]) -> str:
    parts = [f"n {row['n']} in {row['clusters']} clusters"]
    if len(row["runs"]) > 1:
        parts.append(f"mean of {len(row['runs'])} runs: {', '.join(number(v) for v in row['runs'])}")
    if row["top_share"] is not None:
        parts.append(f"most frequent answer {number(100 * row['top_share'], 0)} %")
    return " · ".join(parts + [f"{state}: {EVIDENCE.get(state, state)}" for state in odd])


def _baseline_row(row: Mapping[str, Any], width: int) -> tuple[str, tuple[Square, ...]]:
    squares = (Square(number(row["value"]), "baseline", "A score without any language model."),)
    return f"{plain(row['name'])} · no language model · {plain(row['split'])} set", squares + (Square(""),) * (width - 1)


def forgetting_tables(book: Book, rows: pl.DataFrame) -> list[Table]:
    """One matrix a checkpoint, the latest first: rows tuned on, columns asked, squares tuned minus base.

    `rows` are zero-shot scores in the default format; each task's primary metric is taken.
    """
    keep = [book.metric(task) == metric for task, metric in rows.select("task", "metric").iter_rows()]
    rows = rows.filter(pl.Series(keep, dtype=pl.Boolean)).filter(pl.col("split") != "dev")
    columns = rows.select("task", "split", "metric").unique().sort("task", "split").rows()
    tuned = sorted(set(rows["tuned_on"]) - {"none"})
    if not tuned or not columns:
        return []
    steps = rows.select("tokens", "step").unique().sort("tokens", "step", descending=True).rows()
    return [_matrix(rows.filter(pl.col("step") == step), tokens, step, tuned, columns) for tokens, step in steps]


def _matrix(
    rows: pl.DataFrame, tokens: int | None, step: int, tuned: Sequence[str], columns: Sequence[tuple[str, str, str]]
) -> Table:
    values = {(r["tuned_on"], r["task"], r["split"]): r for r in pool(rows, ["tuned_on", "task", "split"]).iter_rows(named=True)}
    body = [
        (
            plain(name),
            tuple(
                _difference(values.get(("none", task, split)), values.get((name, task, split)), task == name, metric)
                for task, split, metric in columns
            ),
        )
        for name in tuned
    ]
    return Table(f"after {_step_name(tokens, step)}", tuple(f"{plain(t)}, {plain(s)}" for t, s, _ in columns), tuple(body))


def _difference(base: Mapping[str, Any] | None, tuned: Mapping[str, Any] | None, own: bool, metric: str) -> Square:
    if base is None or tuned is None or base["value"] is None or tuned["value"] is None:
        return NOT_RUN
    change = tuned["value"] - base["value"]
    better = -change if metric == "bits_per_byte" else change
    shade = min(SHADES, round(abs(better) / FULL_SHADE * SHADES))
    css = f"shade-{'up' if better > 0 else 'down'}-{shade}" if shade else "shade-none"
    small = f"{number(base['value'])} → {number(tuned['value'])}"
    hint = f"{metric_words(metric)} · n {tuned['n']} · {len(tuned['runs'])} tuning run(s)"
    return Square(signed(change), f"{css} own" if own else css, hint, small)


def roles_of(scores: pl.DataFrame) -> list[str]:
    """The roles that occur, in words."""
    return [ROLES.get(role, plain(role)) for role in scores["role"].unique().sort().to_list()]
