"""Levels of formats: scores as log odds above chance, and the variance between formats."""

from __future__ import annotations

import numpy as np
import polars as pl

from amuro.paper.changes import asked
from amuro.paper.text import sound
from amuro.results.stats.replicates import Pooled, pooled
from amuro.results.stats.spread import headroom, logit_stretch, logits

CLEAR = 2.0
"""Standard errors by which a score must exceed the best constant answer to clear it."""
MIN_FORMATS = 3
"""Fewest formats between which a variance is estimated."""


def levels(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns one row per tuned model, place, run and format: `level` (log odds), `sampling` (variance), `clears`.

    Only in-domain sets with scores in three formats or more count; the sets of one tuned model are averaged.
    """
    rows = sound(asked(scores).filter(pl.col("role") == "in_domain"))
    formats = pl.col("format").n_unique().over("tuned_on", "task", "step")
    rows = rows.filter(formats >= MIN_FORMATS)
    if rows.is_empty():
        return rows.with_columns(level=pl.lit(0.0), sampling=pl.lit(0.0), clears=pl.lit(True))
    chance, n = rows["chance"].fill_null(0.0).to_numpy(), rows["n"].to_numpy()
    value = rows["value"].to_numpy()
    log_odds = [_logit(v, c, k, e) for v, c, k, e in zip(value, chance, n, rows["se"].fill_null(0.0), strict=True)]
    placed = rows.with_columns(
        pl.Series("level", [level for level, _ in log_odds]),
        pl.Series("sampling", [sampling for _, sampling in log_odds]),
        (pl.col("value") > pl.col("floor") + CLEAR * pl.col("se")).alias("clears"),
    )  # fmt: skip
    return placed.group_by("tuned_on", "place", "step", "tokens", "format", maintain_order=True).agg(
        pl.col("level").mean(), (pl.col("sampling").sum() / pl.len() ** 2).alias("sampling"), pl.col("clears").all(),
        pl.col("value").mean(), pl.col("task").unique().sort(), pl.col("cell").alias("cells"), pl.col("series").first(),
    )  # fmt: skip


def _logit(value: float, chance: float, n: int, error: float) -> tuple[float, float]:
    """Returns (log odds of (value − chance) / (1 − chance), its sampling variance by the delta method)."""
    at = np.array([value])
    least = 0.5 / n * (1 - headroom(at, chance, n)[0]) * (1 - chance)
    return float(logits(at, chance, n)[0]), float((max(error, least) * logit_stretch(at, chance, n)[0]) ** 2)


def format_noise(rows: pl.DataFrame) -> Pooled | None:
    """Estimates the run variance of a format's level per tuned model, after subtraction of the mean over formats."""
    differences: dict[str, np.ndarray] = {}
    for (tuned_on, _), group in rows.group_by("tuned_on", "place", maintain_order=True):
        steps = sorted(group["step"].unique())
        if len(steps) > 1:
            wide = (
                group.filter(pl.col("step").is_in(steps[-2:]))
                .sort("step")
                .group_by("format", maintain_order=True)
                .agg(pl.col("level"))
            )
            complete = wide.filter(pl.col("level").list.len() == 2)
            differences[str(tuned_on)] = (complete["level"].list.last() - complete["level"].list.first()).to_numpy()
    return pooled(differences, shared=1)


def spreads(rows: pl.DataFrame, noise: Pooled | None) -> pl.DataFrame:
    """Returns one row per tuned model and place: `observed` variance between formats, `noise` of one level, `df`
    (formats − 1), `excess`, `clear` (every format clears the best constant answer), `best` (the best format does).
    """
    runs = rows.group_by("tuned_on", "place", "format", maintain_order=True).agg(
        pl.col("level").mean(), pl.col("sampling").mean(), pl.col("clears").all(), pl.len().alias("runs"),
        pl.col("tokens").max(), pl.col("cells").list.explode(), pl.col("series").first(),
    )  # fmt: skip
    of_runs = {name: noise.of(name)[0] if noise else 0.0 for name in runs["tuned_on"].unique()}
    single = pl.col("tuned_on").replace_strict(of_runs, return_dtype=pl.Float64)
    runs = runs.with_columns((pl.col("sampling") + single / pl.col("runs")).alias("noise"))
    return (
        runs.group_by("tuned_on", "place", maintain_order=True)
        .agg(
            pl.col("level").var().alias("observed"), pl.col("noise").mean(), (pl.len() - 1).alias("df"),
            pl.col("clears").all().alias("clear"), pl.col("clears").any().alias("best"), pl.col("tokens").max(),
            pl.col("cells").list.explode(), pl.col("series").first(),
        )
        .with_columns((pl.col("observed") - pl.col("noise")).alias("excess"))
    )  # fmt: skip
