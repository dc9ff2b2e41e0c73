"""Share of examples whose likeliest whole answer is the right one."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, guessed, right


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """1 where the option of the highest summed log-probability is the gold text, else 0.

    Options are compared as text, since a row may hold the same words twice. Not normalised for length; end-of-text
    is not scored.
    """
    return right(predictions)


METRIC = Metric(
    "accuracy", "the likeliest whole answer is the right one", ("classification", "multiple_choice"), True, rows,
    binary=True, chance=guessed, lm_eval="acc",
)  # fmt: skip
