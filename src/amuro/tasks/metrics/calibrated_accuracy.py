"""Accuracy after each label's prior log-probability is subtracted.

A base model often prefers one label whatever the question. Zhao et al. (2021, arXiv:2102.09690) divide by the
probabilities of content-free prompts; here the mean log-probability over unlabelled dev prompts replaces them.
"""

import polars as pl

from amuro.core.errors import DataError
from amuro.tasks.metrics.base import Context, Metric, chosen, guessed


def predicts(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns the label with the highest log-probability minus its prior, as text."""
    return chosen(predictions, context.prior)


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns 1 if the label with the highest log-probability minus `context.prior` is the gold one, else 0.

    Raises DataError without a prior for each label.
    """
    if len(context.prior) != len(context.task.labels):
        raise DataError(
            f"calibrated accuracy of task '{context.task.name}' has {len(context.prior)} priors for "
            f"{len(context.task.labels)} labels",
            "fill the dev cell of the same model, format and number of shots first",
        )
    return (predicts(predictions, context) == predictions["gold"]).cast(pl.Float64)


METRIC = Metric(
    "calibrated_accuracy",
    "accuracy with each label's mean log-probability on dev taken off",
    ("classification",),
    True,
    rows,
    predicts=predicts,
    needs_prior=True,
    binary=True,
    chance=guessed,
    format_free={},
    calibrates="accuracy",
)
