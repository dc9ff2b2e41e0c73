"""Tuned beside base, with near-replicate checkpoints as replicates of one place and never as two points of a curve."""

from __future__ import annotations

import polars as pl

SAME_PLACE = 0.005
"""Checkpoints whose tokens differ by a smaller share are runs of one place."""
KEYS = ("table", "series", "task", "format", "shots", "step")
"""What tuned and base must have in common besides."""
FIXED = ("series", "role", "family", "kind", "metric", "chance", "floor", "n", "overflow", "constant_gold",
         "tune_format", "dead_label")  # fmt: skip
"""What all runs of one line and place have in common."""
ROW = ("tuned_on", "task", "format", "shots")
"""One line over checkpoints."""


def comparable(scores: pl.DataFrame) -> pl.DataFrame:
    """Rows that may be set against each other: one conversion, one learning rate and number of epochs a training set,
    one row a name.

    Rightly converted weights go before those of which nothing is stated; the old conversion is left out. Of several
    learning rates, and of several numbers of epochs, the one that most rows have is kept.
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
    """Of each task the rows with the number of shots that most of its rows have."""
    counts = scores.group_by("table", "task", "shots", maintain_order=True).len().sort("len", "shots", descending=True)
    best = counts.unique(["table", "task"], keep="first", maintain_order=True).drop("len")
    return scores.join(best, on=["table", "task", "shots"], how="semi", nulls_equal=True)


def with_places(scores: pl.DataFrame) -> pl.DataFrame:
    """The scores with `place`: checkpoints counted by tokens, near-replicates under one number."""
    steps = scores.select("step", "tokens").unique().sort("tokens")
    far = pl.col("tokens") / pl.col("tokens").shift(1) > 1 + SAME_PLACE
    numbered = steps.with_columns(far.fill_null(False).cum_sum().cast(pl.Int64).alias("place"))
    return scores.join(numbered.select("step", "place"), on="step", how="left", maintain_order="left")


def changes(scores: pl.DataFrame) -> pl.DataFrame:
    """One row a tuned score that has its base: columns of the tuned score, `base` and its like, `change`."""
    base = scores.filter(pl.col("tuned_on") == "none").select(
        *KEYS, base="value", se_base="se", stuck_base="stuck_on", base_cell="cell"
    )
    tuned = scores.filter(pl.col("tuned_on") != "none")
    paired = tuned.join(base, on=list(KEYS), how="inner", nulls_equal=True, maintain_order="left")
    return with_places(paired).with_columns((pl.col("value") - pl.col("base")).alias("change"))


def asked(scores: pl.DataFrame) -> pl.DataFrame:
    """Every change that may be compared, asked in the main way (columns as in `changes`)."""
    return changes(main_way(comparable(scores)))


def merged(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a line and place: means over the runs there, `runs` of them, and the largest number of tokens.

    Standard errors are the mean of the runs' own: they are of the same rows, so a second run takes nothing off.
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
    """Difference of the two latest runs of each place that has several, by line: columns of `ROW` and `difference`."""
    several = rows.sort("tokens").group_by(*ROW, "place", maintain_order=True).agg(
        pl.col(column).tail(2).alias("both"), pl.len().alias("runs")
    )  # fmt: skip
    return several.filter(pl.col("runs") > 1).with_columns(
        (pl.col("both").list.last() - pl.col("both").list.first()).alias("difference")
    )
