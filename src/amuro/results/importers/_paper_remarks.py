"""Notes on what is ambiguous or missing in the released tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from amuro.results.importers.base import SetFacts, TableNote

SCORED = ("tuned_on", "recipe", "task", "format", "shots", "learning_rate")
"""Columns that identify a score, apart from checkpoint and conversion."""
PRINT = 1e-9
"""Difference below which two scores are printed alike."""
ALIKE = 1 / 3
"""Share of the shared sets of two ids from which equal scores are reported."""
ROWS_OFF = 0.05
"""Tolerated relative difference between the rows implied by standard errors and those of the split."""


def remarks(scores: pl.DataFrame, sets: Mapping[str, SetFacts]) -> Iterator[TableNote]:
    """Yields all notes on a frame of imported scores."""
    yield from _duplicates(scores)
    yield from _two_names(scores)
    yield from _equal_everywhere(scores)
    yield from _two_meanings(scores)
    yield from _unclear_shots(scores)
    yield from _no_errors(scores)
    yield from _old_conversion(scores)
    yield from _percents(scores)
    yield from _rows(scores, sets)
    yield from _holes(scores)


def _duplicates(scores: pl.DataFrame) -> Iterator[TableNote]:
    for (cell,), group in scores.group_by("cell", maintain_order=True):
        if group.height > 1:
            values = ", ".join(f"{value:.6f}" for value in group["value"])
            yield TableNote("the same row more than once", str(cell), f"{values}: none of them is used")


def _two_names(scores: pl.DataFrame) -> Iterator[TableNote]:
    """Yields pairs of ids for one checkpoint with the same prompts."""
    for _, group in scores.group_by("checkpoint", *SCORED, maintain_order=True):
        if group["source_id"].n_unique() > 1:
            values = ", ".join(f"{r['source_id']} {r['value']:.6f}" for r in group.iter_rows(named=True))
            yield TableNote("one model under two ids", str(group["source_set"][0]), values)


def _equal_everywhere(scores: pl.DataFrame) -> Iterator[TableNote]:
    """Yields pairs of ids whose scores agree to the last digit on several sets: they may be one model.

    Exact zeros and ones do not count; any two models can share those.
    """
    telling = scores.filter((pl.col("value") > 0) & (pl.col("value") < 1)).select("source_id", "source_set", "value")
    both = telling.join(telling, on="source_set", suffix="_other").filter(
        pl.col("source_id") < pl.col("source_id_other")
    )
    same = (pl.col("value") - pl.col("value_other")).abs() < PRINT
    pairs = both.group_by("source_id", "source_id_other", maintain_order=True).agg(
        same.sum().alias("equal"), pl.len().alias("sets")
    )
    many = (pl.col("equal") > 1) & (pl.col("equal") >= ALIKE * pl.col("sets"))
    for one, other, equal, shared in pairs.filter(many).sort("source_id", "source_id_other").rows():
        yield TableNote(
            "two ids with equal scores", f"{one} and {other}", f"on {equal} of the {shared} sets they share"
        )


def _two_meanings(scores: pl.DataFrame) -> Iterator[TableNote]:
    """Yields set names that two tables use for different questions."""
    meanings = {"sciq": "generated questions by ROUGE-L (supervised table) or multiple choice by accuracy (official)",
                "rte": "the train split, three labels (supervised table) or the validation split, two (official)",
                "qqp": "the unlabelled test split (supervised table) or the validation split (official)"}  # fmt: skip
    for name, meaning in meanings.items():
        tasks = scores.filter(pl.col("source_set") == name)["task"].unique().sort().to_list()
        if tasks:
            yield TableNote("a name with two meanings", name, f"{meaning}; read here as {' and '.join(tasks)}")


def _unclear_shots(scores: pl.DataFrame) -> Iterator[TableNote]:
    unclear = scores.filter(pl.col("shots").is_null())
    for (table, task), group in unclear.group_by("table", "task", maintain_order=True):
        low, high = group.select(low=pl.col("value").min(), high=pl.col("value").max()).row(0)
        yield TableNote(
            "number of shots not stated", f"{task} ({table})", f"{group.height} rows, {low:.3f} to {high:.3f}"
        )


def _no_errors(scores: pl.DataFrame) -> Iterator[TableNote]:
    unprinted = scores.filter(pl.col("table") != "sft")
    for (table,), group in unprinted.group_by("table", maintain_order=True):
        counted = group["se"].is_not_null().sum()
        detail = f"{group.height} rows; for {counted} accuracies the error is that of a share of the split's rows"
        yield TableNote("no standard errors", str(table), detail)


def _old_conversion(scores: pl.DataFrame) -> Iterator[TableNote]:
    old = scores.filter(pl.col("conversion") == "old")
    if old.height:
        detail = f"{old.height} rows of weights converted in the way that the authors warn of; compared with nothing"
        yield TableNote("old conversion", ", ".join(old["source_id"].unique().sort().to_list()[:3]) + " …", detail)


def _percents(scores: pl.DataFrame) -> Iterator[TableNote]:
    rows = scores.filter(pl.col("metric") == "win_rate")
    if rows.height:
        yield TableNote(
            "percent scale", rows["source_set"][0], f"{rows.height} rows divided by 100, as fractions elsewhere"
        )


def _rows(scores: pl.DataFrame, sets: Mapping[str, SetFacts]) -> Iterator[TableNote]:
    """Yields sets whose standard errors imply another number of rows than the split has: n = p(1 − p)/se²."""
    shares = scores.filter(
        (pl.col("table") == "sft") & (pl.col("metric") == "accuracy") & (pl.col("se") > 0) & pl.col("n").is_not_null()
    )
    implied = pl.col("value") * (1 - pl.col("value")) / pl.col("se") ** 2
    for task, rows in (
        shares.group_by("task", maintain_order=True).agg(implied.median().alias("rows")).sort("task").rows()
    ):
        stated = sets[task].rows or 0
        if abs(rows / stated - 1) > ROWS_OFF:
            yield TableNote(
                "rows do not fit", task, f"the errors imply {rows:.0f} rows, split {sets[task].split}: {stated}"
            )


def _holes(scores: pl.DataFrame) -> Iterator[TableNote]:
    """Yields lines that lack a score at some checkpoint of their table and conversion."""
    known = scores.with_columns(old=pl.col("conversion") == "old")
    for (table, old, *asked), group in known.group_by("table", "old", *SCORED, maintain_order=True):
        mine = known.filter((pl.col("table") == table) & (pl.col("old") == old))
        everywhere = mine.select("step", "checkpoint").unique().sort("step")
        lacking = [name for _, name in everywhere.rows() if name not in set(group["checkpoint"])]
        if lacking and group["checkpoint"].n_unique() > 1:
            places = ", ".join(name.partition("@")[2] for name in lacking)
            where = _line(*asked) + (", old conversion" if old else "")
            yield TableNote("missing rows", where, f"no score at {places}")


def _line(tuned_on: str, recipe: str, task: str, form: str, shots: int | None, rate: float | None) -> str:
    """Returns the words for a line over checkpoints."""
    model = "base" if tuned_on == "none" else f"tuned on {tuned_on}"
    return f"{model}, {task}, {form}, {'shots not stated' if shots is None else f'{shots} shots'}"
