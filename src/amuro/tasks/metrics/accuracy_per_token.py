"""Share of examples whose gold option has the highest log-probability per token, as HellaSwag is reported."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, guessed, likeliest, right

SCORE = pl.col("log_probabilities") / pl.col("option_tokens")


def predicts(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns the option with the highest log-probability per token, as text."""
    return likeliest(predictions, SCORE)


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns 1 if that option is the gold text, else 0."""
    return right(predictions, SCORE)


METRIC = Metric(
    "accuracy_per_token", "the likeliest option a token is the right one", ("multiple_choice",), True, rows,
    predicts=predicts, binary=True, chance=guessed, label="accuracy per token",
)  # fmt: skip
