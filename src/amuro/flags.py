"""Failure signatures: what has gone wrong, by name, read off the scores. Signs to look at, not findings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from amuro.scores import clustered_errors

NO_GAIN = "no gain from tuning"
FORGETTING = "significant forgetting"
FORMATS = "inconsistent across formats"
CONSTANT = "constant predictor"
STOPPING = "did not learn to stop"
EDGE = "rate at the grid's edge"

ERRORS = 2.0
"""A difference counts from this many standard errors."""
NOTABLE = 0.05
"""And from this size on (scores and bits per byte)."""
STOPPED = 0.9
"""A tuned model that stops by itself less often than this did not learn to."""
ASKED = ("format", "shots", "shot_seed", "decoding", "protocol", "precision", "device", "limit", "metric")
MODEL = ("series", "checkpoint", "tuned_on", "recipe", "method", "tune_format", "tune_seed")
PRIMARY = pl.col("metric").is_in(["accuracy", "exact_match", "rouge_l", "bits_per_byte"])


@dataclass(frozen=True, slots=True)
class Flag:
    """One sign of failure."""

    name: str
    where: str
    """Address of the cell, or of the first of them."""
    detail: str


def flags(scores: pl.DataFrame, items: pl.DataFrame) -> list[Flag]:
    """All flags of a study, in the order of their names."""
    against = _against_base(_beside_base(scores, items))
    found = [*against, *_formats(scores), *_constant(scores), *_stopping(scores), *_edges(scores)]
    return sorted(found, key=lambda flag: (flag.name, flag.where))


def _beside_base(scores: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Tuned rows with the base's score of the same question, and the error of the difference over the same examples."""
    keys = ["series", "checkpoint", "task", "split", *ASKED]
    base, tuned = (frame.filter(PRIMARY) for frame in (_of_base(scores), _of_tuned(scores)))
    item_base, item_tuned = (frame.filter(PRIMARY) for frame in (_of_base(items), _of_tuned(items)))
    beside = item_tuned.join(item_base.select(*keys, "example_id", before="value"), on=[*keys, "example_id"])
    errors = clustered_errors(beside.with_columns(pl.col("value") - pl.col("before")))
    gain = _better(pl.col("value")) - _better(pl.col("before"))
    return (
        tuned.drop("se")
        .join(base.select(*keys, before="value"), on=keys)
        .join(errors, on=["cell", "metric"])
        .with_columns(gain.alias("gain"), pl.col("se").fill_null(0.0))
    )


def _of_base(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("tuned_on") == "none")


def _of_tuned(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("tuned_on") != "none")


def _better(value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col("metric") == "bits_per_byte").then(-value).otherwise(value)


def _against_base(beside: pl.DataFrame) -> Iterator[Flag]:
    for row in beside.iter_rows(named=True):
        least = max(ERRORS * row["se"], NOTABLE)
        change = (
            f"{row['metric']} on {row['task']}/{row['split']}: {row['before']:.2f} before, {row['value']:.2f} after"
        )
        at_home = row["role"] == "in_domain" and row["format"] == row["tune_format"] and row["shots"] == 0
        if at_home and row["tokens"] != 0 and row["gain"] <= least:
            yield Flag(NO_GAIN, row["cell"], change)
        if row["role"] in ("cross_task", "facts", "corpus") and row["gain"] < -least:
            yield Flag(FORGETTING, row["cell"], change)


def _formats(scores: pl.DataFrame) -> Iterator[Flag]:
    """One tuned model and set whose formats differ by more than their errors and twice the notable size."""
    rows = _of_tuned(scores).filter(PRIMARY & (pl.col("role") == "in_domain") & (pl.col("shots") == 0))
    for _, group in rows.group_by(*MODEL, "task", "split", "metric", maintain_order=True):
        best, worst = (group.sort("value", descending=down).row(0, named=True) for down in (True, False))
        error = math.hypot(best["se"] or 0.0, worst["se"] or 0.0)
        if best["value"] - worst["value"] > max(ERRORS * error, 2 * NOTABLE):
            named = [f"{row['value']:.2f} in {row['format']}" for row in (best, worst)]
            yield Flag(FORMATS, worst["cell"], ", ".join(named))


def _constant(scores: pl.DataFrame) -> Iterator[Flag]:
    stuck = scores.filter((pl.col("evidence") == "degenerate") & (pl.col("metric") == "accuracy"))
    for row in stuck.iter_rows(named=True):
        yield Flag(CONSTANT, row["cell"], f"one answer to {row['top_share']:.0%} of {row['n']} questions")


def _stopping(scores: pl.DataFrame) -> Iterator[Flag]:
    unstopped = (pl.col("metric") == "stopped") & (pl.col("role") == "in_domain") & (pl.col("value") < STOPPED)
    for row in scores.filter(unstopped).iter_rows(named=True):
        yield Flag(STOPPING, row["cell"], f"{row['value']:.0%} of answers ended by themselves")


def _edges(scores: pl.DataFrame) -> Iterator[Flag]:
    """Of several learning rates tried on dev, the best is the smallest or the largest."""
    tried = _of_tuned(scores).filter(PRIMARY & (pl.col("split") == "dev") & pl.col("learning_rate").is_not_null())
    for _, group in tried.group_by(*MODEL, "task", *ASKED, maintain_order=True):
        rates = sorted(set(group["learning_rate"]))
        best = group.sort(_better(pl.col("value"))).row(-1, named=True)
        if len(rates) > 2 and best["learning_rate"] in (rates[0], rates[-1]):
            named = ", ".join(f"{rate:g}" for rate in rates)
            yield Flag(EDGE, best["cell"], f"best of {named}: {best['learning_rate']:g}")
