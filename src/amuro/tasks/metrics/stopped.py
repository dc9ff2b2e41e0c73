"""Share of generations that ended by themselves, before the limit of new tokens."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns 1 if a stop string or end-of-text ended the generation, else 0."""
    return predictions["stopped"].cast(pl.Float64).alias("value")


METRIC = Metric(
    "stopped", "the answer ended before the limit of new tokens", ("generation",), True, rows,
    binary=True, format_free={}, label="share that stopped",
)  # fmt: skip
