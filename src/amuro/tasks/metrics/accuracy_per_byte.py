"""Share of examples whose right option has the highest log-probability per byte, as lm-evaluation-harness counts them.

The space before an option is scored and not counted. The harness calls it acc_bytes; on ASCII it equals its acc_norm.
"""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, guessed, likeliest, right

SCORE = pl.col("log_probabilities") / pl.col("option_bytes").list.eval(pl.element() - 1)


def predicts(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns the option with the highest log-probability per byte of UTF-8, as text."""
    return likeliest(predictions, SCORE)


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns 1 if that option is the gold text, else 0."""
    return right(predictions, SCORE)


METRIC = Metric(
    "accuracy_per_byte", "the likeliest option a byte is the right one", ("multiple_choice",), True, rows,
    predicts=predicts, binary=True, chance=guessed, label="accuracy per byte", lm_eval="acc_bytes",
)  # fmt: skip
