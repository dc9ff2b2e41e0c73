"""Share of examples whose gold option gains most from the question.

The log-probability after a context without a question is subtracted: pointwise mutual information (Holtzman et al.
2021, arXiv:2104.08315), in which the official evaluation of OLMo reports ARC and OpenBookQA.
"""

import polars as pl

from amuro.tasks.metrics.base import UNCONDITIONAL, Context, Metric, guessed, likeliest, right

SCORE = pl.col("log_probabilities") - pl.col(UNCONDITIONAL)


def predicts(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns the option with the highest log-probability minus its unconditional one, as text."""
    return likeliest(predictions, SCORE)


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns 1 if that option is the gold text, else 0."""
    return right(predictions, SCORE)


METRIC = Metric(
    "accuracy_unconditional",
    "the option that gains most from the question is the right one",
    ("multiple_choice",),
    True,
    rows,
    predicts=predicts,
    needs=UNCONDITIONAL,
    binary=True,
    chance=guessed,
    label="accuracy by gain in likelihood",
)
