"""Tables for the page, and the groups of scores in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from amuro.core.coordinates import RECIPE
from amuro.report.formatting import compact, plain
from amuro.report.model import ReportData
from amuro.series.base import UNKNOWN_STEP


@dataclass(frozen=True, slots=True)
class Square:
    """One cell of a table: its text, its style, and the text shown on hover."""

    text: str
    css: str = ""
    hint: str = ""
    small: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table for the page; `rows` are (head, cells)."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Square, ...]], ...]
    notes: tuple[str, ...] = ()
    """Small print beneath the head of each row; empty where no row has any."""
    keys: tuple[str, ...] = ()
    """By what each row is filtered; empty where rows are not filtered."""


NOT_RUN = Square("not run", "hole")


def pool(scores: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Returns scores pooled over seeds within `keys`: value (null if a run is missing), se, runs, missing, n, states.

    The standard error is the mean of the runs' own: sampling of examples, not the spread between seeds. Rows without
    a value are not pooled.
    """
    measured = pl.col("value").is_not_null() & (pl.col("evidence") != "not run")
    mixed = pl.struct("tune_seed", "shot_seed").is_duplicated().any()
    return scores.group_by(keys, maintain_order=True).agg(
        pl.when(measured.all() & ~mixed).then(pl.col("value").mean()).alias("value"),
        pl.col("se").mean(),
        pl.col("value").filter(measured).alias("runs"),
        (~measured).sum().alias("missing"),
        mixed.alias("mixed"),
        pl.col("n").max(),
        pl.col("clusters").max(),
        pl.col("top_share").max(),
        pl.col("evidence").unique().sort().alias("states"),
    )


def primary(scores: pl.DataFrame, series: str) -> pl.DataFrame:
    """Returns the rows of one series in the default format without shots: its bases, and its tuned models."""
    plain = (pl.col("format") == "default") & (pl.col("shots") == 0)
    rows = scores.filter((pl.col("series") == series) & plain & (pl.col("split") != "dev"))
    for column in ("protocol", "precision", "device"):
        rows = rows.filter(pl.col(column) == pl.col(column).min().over(RECIPE))
    return rows


def primary_metric(book: ReportData, rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows of each task's primary metric."""
    metrics = {task: book.metric(task) for task in rows["task"].unique()}
    return rows.filter(pl.col("metric") == pl.col("task").replace_strict(metrics, default=None, return_dtype=pl.String))


def steps_of(rows: pl.DataFrame) -> list[tuple[int | None, int]]:
    """Returns (tokens, step) of the checkpoints in `rows`, in order."""
    return rows.select("tokens", "step").unique().sort("tokens", "step").rows()


def step_name(tokens: int | None, step: int) -> str:
    """Returns a checkpoint as the head of a column."""
    if tokens is None and step == UNKNOWN_STEP:
        return "checkpoint"
    return f"step {step:,}" if tokens is None else f"{compact(tokens)} tokens"


def checkpoint_names(book: ReportData) -> dict[str, str]:
    """Returns address → name of each checkpoint, in the order of the series, which is named if there are several."""
    several = len({row["series"] for row in book.series}) > 1
    return {
        str(row["checkpoint"]): (f"{row['series']} · " if several else "") + _place(row.get("tokens"), row.get("step"))
        for row in book.series
    }


def _place(tokens: int | None, step: int | None) -> str:
    """Returns tokens, else the step, in words."""
    return "checkpoint" if step is None else step_name(tokens, step)


@dataclass(frozen=True, slots=True)
class CellPlaces:
    """The format and the checkpoint of each cell, as indices into two lists of names."""

    cells: Mapping[str, tuple[int, int]]
    formats: tuple[str, ...]
    checkpoints: tuple[str, ...]


def cell_places(book: ReportData) -> CellPlaces:
    """Returns the places of every cell with scores; the default format first, checkpoints in the order of their
    series.
    """
    if not book.scores.height or not book.series:
        return CellPlaces({}, (), ())
    known = checkpoint_names(book)
    rows = book.scores.select("cell", "format", "checkpoint").unique("cell", keep="first", maintain_order=True)
    rows = rows.filter(pl.col("checkpoint").is_in(list(known)))
    formats = sorted(rows["format"].unique(), key=lambda name: (name != "default", name))
    places = list(known)
    cells = {cell: (formats.index(form), places.index(where)) for cell, form, where in rows.iter_rows()}
    return CellPlaces(cells, tuple(map(plain, formats)), tuple(known.values()))
