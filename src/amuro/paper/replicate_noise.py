"""Run variance of the released scores, from near-replicate checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from amuro.paper.changes import pairs
from amuro.results.stats.estimate import Estimate, Part
from amuro.results.stats.replicates import Pooled, pooled

Point = Mapping[str, Any]
MANY = 1e6
"""Degrees of freedom of an error over thousands of rows."""


def run_noise(rows: pl.DataFrame, column: str = "change", unit: str = "tuned_on") -> Pooled | None:
    """Estimates the variance of one run per `unit` (tuned model or task); all sets of one pair count as one pair."""
    replicates = pairs(rows, column)
    units = replicates[unit].unique().sort().to_list()
    return pooled({name: replicates.filter(pl.col(unit) == name)["difference"].to_numpy() for name in units})


def weighted(
    rows: pl.DataFrame, weights: Sequence[float], noise: Pooled | None, column: str = "change", unit: str = "tuned_on"
) -> Estimate:
    """Estimates Σ w · column over merged rows, with run variance and evaluation error.

    Rows of one unit at one place are of one run, so their weights are summed before they are squared. The errors of
    base and tuned are added as if independent: their covariance is not in the table, and since both are scored on
    the same rows, the sum is conservative.
    """
    table = rows.with_columns(pl.Series("w", np.asarray(weights, dtype=float)))
    value = float((table["w"] * table[column]).sum())
    shares = table.group_by(unit, "place", maintain_order=True).agg(pl.col("w").sum(), pl.col("runs").min())
    of_runs = _of_runs(shares, noise) if noise else []
    return Estimate(value, (*of_runs, (_evaluation(table, column), MANY)))


def _of_runs(shares: pl.DataFrame, noise: Pooled) -> list[Part]:
    """Returns run variances from (unit, place, weight, runs), merged where their degrees of freedom are equal."""
    sums: dict[float, float] = {}
    for name, _, share, runs in shares.iter_rows():
        variance, df = noise.of(name)
        sums[df] = sums.get(df, 0.0) + share**2 / runs * variance
    return [(variance, df) for df, variance in sorted(sums.items())]


def curve(rows: pl.DataFrame, noise: Pooled | None, line: str, column: str = "change") -> list[Point]:
    """Returns figure points: each merged row with its interval; `line` is the column with the names of the lines."""
    points: list[Point] = []
    for k, row in enumerate(rows.iter_rows(named=True)):
        low, high = weighted(rows[k : k + 1], [1.0], noise, column).interval()
        points.append({"line": row[line], "tokens": row["tokens"], "step": row["step"], "value": row[column],
                       "low": low, "high": high, "y_label": "tuned − base"})  # fmt: skip
    return points


def _evaluation(table: pl.DataFrame, column: str) -> float:
    """Returns the evaluation variance of Σ w · column."""
    errors = {"change": ("se", "se_base"), "base": ("se_base",), "value": ("se",)}[column]
    return float(sum((table["w"].pow(2) * table[name].fill_null(0.0).pow(2)).sum() for name in errors))


def in_words(noise: Pooled | None) -> str:
    """Returns the note on where the run variance comes from."""
    if noise is None:
        return "No two checkpoints are close enough to show the noise of runs: this holds for these weights."
    return (
        f"Noise of runs from {len(noise.own)} near-replicate pair{'s' * (len(noise.own) != 1)}: {noise.df:.0f} degrees "
        f"of freedom, standard deviation of one run {noise.variance**0.5:.3f}."
    )
