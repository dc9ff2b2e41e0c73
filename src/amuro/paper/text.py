"""Parts that the claims on released scores share: row filters, words, and draft findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from amuro.core.types import EvidenceState, Finding
from amuro.results.analyses.base import Analysis
from amuro.results.stats.estimate import Quantity

DELTA = 0.05
"""Smallest change of a score that is of interest, in score points."""
MIN_PLACES = 4
"""Fewest places of pre-training for a line over checkpoints."""
HALF = 0.5
"""Share of places from which a base counts as a constant prediction, or as having nothing to lose."""
WEAKER = "Weaker than predictions: from means and standard errors alone, no pairing of examples, no clusters."


def sound(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows on which a verdict may rest: gold that varies, and prompts that fit the context."""
    return rows.filter(~pl.col("constant_gold") & pl.col("overflow").is_null())


def plain(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows evaluated in the tuning format."""
    return rows.filter(pl.col("format") == pl.col("tune_format"))


def long_enough(rows: pl.DataFrame, least: int = MIN_PLACES) -> pl.DataFrame:
    """Returns the rows of lines with at least `least` places."""
    return rows.filter(pl.col("place").n_unique().over("tuned_on", "task", "format", "shots") >= least)


def stuck_sets(rows: pl.DataFrame) -> list[str]:
    """Returns the tasks whose base is a constant prediction at half of the places or more."""
    share = rows.group_by("task", maintain_order=True).agg(pl.col("stuck_base").mean())
    return tasks_of(share.filter(pl.col("stuck_base") >= HALF))


def cannot_lose(rows: pl.DataFrame) -> list[str]:
    """Returns the tasks whose base is less than δ above the best constant answer at half of the places or more."""
    low = (pl.col("base") - pl.col("floor")) < DELTA
    share = rows.group_by("task", maintain_order=True).agg(low.mean().alias("low"))
    return tasks_of(share.filter(pl.col("low") >= HALF))


def names(items: Iterable[str]) -> str:
    """Returns names as words: `a`, `a and b`, `a, b and c`."""
    words = [item.replace("_", " ") for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def tasks_of(rows: pl.DataFrame) -> list[str]:
    """Returns the tasks of some rows in alphabetical order."""
    return [str(task) for task in rows["task"].unique().sort()]


def mean(values: pl.Series) -> float:
    """Returns the mean of a column without nulls."""
    return float(values.to_numpy().mean())


def note(*parts: str) -> str:
    """Returns the caveats of a finding in one line; empty parts are left out."""
    return " ".join(part for part in (*parts, WEAKER) if part)


def reading(estimate: Quantity) -> str:
    """Returns an effect as words: `+0.510, 95 % interval 0.460 to 0.560`."""
    low, high = estimate.interval()
    return f"{estimate.value:+.3f}, 95 % interval {low:.3f} to {high:.3f}"


def left_out(rows: pl.DataFrame) -> str:
    """Returns the sentence on sets that are left out of a verdict, and why."""
    gold, long = tasks_of(rows.filter("constant_gold")), tasks_of(rows.filter(pl.col("overflow").is_not_null()))
    parts = [f"{names(gold)}: degenerate, one right answer for every row." if gold else "",
             f"{names(long)}: left out, a typical prompt is longer than the context." if long else ""]  # fmt: skip
    return " ".join(part for part in parts if part)


def draft_finding(
    analysis: Analysis, study: str, statement: str, evidence: EvidenceState, detail: str = "", **further: Any
) -> Finding:
    """Returns a finding without numbers and verdict; its id is the claim's name, with `detail` appended if given."""
    usual: dict[str, Any] = {"n": 0, "unit": analysis.unit, "delta": analysis.delta, "series": "", "cells": ()}
    return Finding(
        id=".".join(filter(None, [analysis.name, detail])), analysis=analysis.name, statement=statement, verdict="open",
        evidence=evidence, effect=None, low=None, high=None, family=f"{analysis.family} in {study}", p_adjusted=None,
        **{**usual, **further},
    )  # fmt: skip


def cells_of(rows: pl.DataFrame) -> tuple[str, ...]:
    """Returns the distinct addresses of the cells behind merged rows."""
    return tuple(rows["cells"].explode().unique(maintain_order=True).drop_nulls()) if rows.height else ()
