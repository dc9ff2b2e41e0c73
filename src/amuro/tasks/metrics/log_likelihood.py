"""Log-likelihood of the gold answer, in nats: what a model knows of an answer without having to generate it."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns the summed log-probability of the gold answer's tokens."""
    golds = predictions["log_probabilities"].list.get(predictions["gold_index"])
    return golds.cast(pl.Float64).alias("value")


METRIC = Metric(
    "log_likelihood", "summed log-probability of the right answer",
    ("classification", "multiple_choice", "generation"), True, rows, share=False, format_free={},
    label="log-likelihood of the right answer", unit="nats",
)  # fmt: skip
