"""Share of written answers whose first word is not the right one: lower is better."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    pairs = zip(predictions["output"], predictions["gold"], strict=True)
    return 1 - pl.Series([output.split()[:1] == gold.split()[:1] for output, gold in pairs]).cast(pl.Float64)


METRIC = Metric(
    "error", "the first word is wrong", ("generation",), False, rows, binary=True, label="first-word errors"
)
