"""Share of examples whose most likely option is the gold answer."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, guessed, right


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns 1 if the option with the highest summed log-probability is the gold text, else 0.

    Options are compared as text, since a row may have the same text twice. Not normalised for length; end-of-text is
    not scored.
    """
    return right(predictions)


METRIC = Metric(
    "accuracy", "the likeliest whole answer is the right one", ("classification", "multiple_choice"), True, rows,
    binary=True, chance=guessed, lm_eval="acc",
)  # fmt: skip
