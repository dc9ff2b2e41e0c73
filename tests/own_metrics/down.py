"""One of four metrics that see the same answers: better the higher or the lower, as a share or without a range."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    raise NotImplementedError("analyses read stored values")


METRIC = Metric("down", "made up", ("classification", "generation"), False, rows, share=False, binary=False)
