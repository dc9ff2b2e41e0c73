"""The provenance part of the page: flags, the study's statements, its costs, what has not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from amuro.core.coordinates import RECIPE
from amuro.report import formatting
from amuro.report.model import ReportData
from amuro.report.naming import Recipe, recipe_words
from amuro.report.tables import Square, Table, step_name
from amuro.results import shots_shown as shown


def flags_by_name(book: ReportData) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Returns (name, meaning, places) of each flag; a place is (where, detail), with cells in words."""
    known = _cells_in_words(book.scores, [flag["where"] for flag in book.flags])
    names = dict.fromkeys(flag["name"] for flag in book.flags)
    return [
        (name, formatting.FLAGS.get(name, ""),
         [(known.get(flag["where"], flag["where"]), flag["detail"]) for flag in book.flags if flag["name"] == name])
        for name in names
    ]  # fmt: skip


def _cells_in_words(scores: pl.DataFrame, addresses: Sequence[str]) -> dict[str, str]:
    """Returns address → model and evaluation in words, for the cells with scores."""
    if not scores.height:
        return {}
    rows = scores.filter(pl.col("cell").is_in(addresses)).unique("cell", keep="first", maintain_order=True)
    recipes = recipe_words(scores)
    return {row["cell"]: _cell_in_words(row, recipes) for row in rows.iter_rows(named=True)}


def _cell_in_words(row: Mapping[str, Any], recipes: Mapping[Recipe, str]) -> str:
    place = step_name(row["tokens"], row["step"])
    task, form, split = (
        formatting.plain(row["task"]),
        formatting.plain(row["format"]),
        formatting.split_words(row["split"], row["role"]),
    )
    tuned = recipes.get(Recipe(*(row[name] for name in RECIPE)), "")
    model = f"{place}, tuned on {tuned} (seed {row['tune_seed']})" if tuned else f"base at {place}"
    shots_in_words = shown.in_words(f"{row['shots']} shots", row["shots"], row["shots_shown"])
    shots = f", {shots_in_words}" if row["shots"] else ""
    return f"{model}, asked {task} ({split}) as {form}{shots}"


def facts(book: ReportData) -> list[tuple[str, str]]:
    """Returns the study's further statements, and its environment."""
    shown = {"name", "question", "description"}
    stated = [(formatting.plain(str(key)), _as_text(value)) for key, value in book.study.items() if key not in shown]
    return stated + [(formatting.plain(str(key)), _as_text(value)) for key, value in book.environment.items()]


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{formatting.plain(str(key))} {_as_text(inner)}" for key, inner in value.items())
    return ", ".join(map(_as_text, value)) if isinstance(value, list | tuple) else str(value)


def cost(book: ReportData) -> dict[str, Any]:
    """Returns `totals` over all model jobs as (name, value), and `table`: the longest model jobs."""
    if not book.ledger.height:
        return {"totals": [], "table": None}
    total = book.ledger.select("seconds", "tokens", "flops").sum().row(0, named=True)
    rows = book.ledger.sort("seconds", descending=True).iter_rows(named=True)
    table = Table("", ("time", "tokens", "FLOPs", "peak memory"), tuple(_job(row) for row in rows))
    totals = [
        ("model jobs", formatting.count(book.ledger.height)),
        ("time of one process", formatting.duration(total["seconds"])),
        ("tokens", formatting.compact(total["tokens"])),
        ("FLOPs", formatting.compact(total["flops"])),
        ("peak memory", _megabytes(book.ledger["peak_memory_mb"].max())),
    ]
    return {"totals": totals, "table": table}


def _job(row: Mapping[str, Any]) -> tuple[str, tuple[Square, ...]]:
    texts = (
        formatting.duration(row["seconds"]),
        formatting.compact(row["tokens"]),
        formatting.compact(row["flops"]),
        _megabytes(row["peak_memory_mb"]),
    )
    return str(row["model"]), tuple(Square(text) for text in texts)


def _megabytes(value: Any) -> str:
    return "–" if value is None else f"{value:,.0f} MB"


def holes(book: ReportData) -> list[str]:
    """Returns the addresses of the planned cells without a result."""
    return book.planned.filter(~pl.col("done"))["cell"].sort().to_list() if book.planned.height else []


def shortfall(planned: pl.DataFrame) -> str:
    """Returns a sentence if a report is based on fewer cells than planned, else ''."""
    missing = planned.filter(~pl.col("done")) if planned.height else planned
    if not missing.height:
        return ""
    counts = missing.group_by("why", maintain_order=True).len().rows()
    whys = ", ".join(f"{formatting.count(number)} {why}" for why, number in counts)
    there = formatting.count(planned.height - missing.height)
    return f"This report stands on {there} of {formatting.count(planned.height)} planned cells: {whys}."
