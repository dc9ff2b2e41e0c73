"""Changes by tuning (tuned − base). Near-replicate checkpoints count as replicates of one place, not as two points."""

from __future__ import annotations

import polars as pl

SAME_PLACE = 0.005
"""Relative difference in tokens below which checkpoints are replicates of one place."""
KEYS = ("table", "series", "task", "format", "shots", "step")
"""Columns in which a tuned score and its base agree."""
FIXED = ("series", "role", "family", "kind", "metric", "chance", "floor", "n", "overflow", "constant_gold",
         "tune_format", "dead_label")  # fmt: skip
"""Columns that are equal for all runs of one line and place."""
ROW = ("tuned_on", "task", "format", "shots")
"""Columns that identify one line over checkpoints."""


def comparable(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns comparable rows: one conversion, one learning rate and number of epochs per training set.

    Weights converted to `hf` are preferred to those of unstated conversion; the old conversion is left out. Of several
    learning rates, and of several numbers of epochs, the most frequent one is kept.
    """
    known = scores.filter((pl.col("conversion") != "old") & (pl.col("evidence") != "mixed"))
    rate = pl.col("learning_rate").mode().max().over("tuned_on")
    known = known.filter(pl.col("learning_rate").is_null() | (pl.col("learning_rate") == rate))
    epochs = pl.col("recipe").mode().max().over("tuned_on")
    known = known.filter(pl.col("recipe").is_null() | (pl.col("recipe") == epochs))
    stated = pl.col("conversion") == "hf"
    return known.sort(stated, descending=True, maintain_order=True).unique(
        [*KEYS, "tuned_on"], keep="first", maintain_order=True
    )


def main_way(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows with the most frequent number of shots of their task."""
    counts = scores.group_by("table", "task", "shots", maintain_order=True).len().sort("len", "shots", descending=True)
    best = counts.unique(["table", "task"], keep="first", maintain_order=True).drop("len")
    return scores.join(best, on=["table", "task", "shots"], how="semi", nulls_equal=True)


def with_places(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns the scores with a column `place`: index of the checkpoint by tokens, equal for near-replicates."""
    steps = scores.select("step", "tokens").unique().sort("tokens")
    far = pl.col("tokens") / pl.col("tokens").shift(1) > 1 + SAME_PLACE
    numbered = steps.with_columns(far.fill_null(False).cum_sum().cast(pl.Int64).alias("place"))
    return scores.join(numbered.select("step", "place"), on="step", how="left", maintain_order="left")


def changes(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns one row per tuned score with a base: its columns, those of the base (`base`, `se_base` …), `change`."""
    base = scores.filter(pl.col("tuned_on") == "none").select(
        *KEYS, base="value", se_base="se", stuck_base="stuck_on", base_cell="cell"
    )
    tuned = scores.filter(pl.col("tuned_on") != "none")
    paired = tuned.join(base, on=list(KEYS), how="inner", nulls_equal=True, maintain_order="left")
    return with_places(paired).with_columns((pl.col("value") - pl.col("base")).alias("change"))


def asked(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns all comparable changes at the main number of shots (columns as in `changes`)."""
    return changes(main_way(comparable(scores)))


def merged(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns one row per line and place: means over its runs, their number `runs`, and the largest number of tokens.

    Standard errors are averaged: all runs share the evaluation rows, so a second run does not reduce the error.
    """
    means = [pl.col(c).mean() for c in ("value", "base", "change", "se", "se_base") if c in rows.columns]
    firsts = [pl.col(c).first() for c in FIXED]
    stuck = [pl.col(c).is_not_null().all() for c in ("stuck_on", "stuck_base") if c in rows.columns]
    cells = pl.concat_list("cell", "base_cell") if "base_cell" in rows.columns else pl.concat_list("cell")
    return rows.group_by(*ROW, "place", maintain_order=True).agg(
        *means, *firsts, *stuck, pl.col("tokens").max(), pl.col("step").max(), pl.len().alias("runs"),
        cells.list.explode().alias("cells"),
    )  # fmt: skip


def pairs(rows: pl.DataFrame, column: str = "change") -> pl.DataFrame:
    """Returns the difference of the two latest runs of each replicated place, by line: `ROW` and `difference`."""
    replicated = rows.sort("tokens").group_by(*ROW, "place", maintain_order=True).agg(
        pl.col(column).tail(2).alias("both"), pl.len().alias("runs")
    )  # fmt: skip
    return replicated.filter(pl.col("runs") > 1).with_columns(
        (pl.col("both").list.last() - pl.col("both").list.first()).alias("difference")
    )
