"""Accuracy after each label's general likelihood is taken off.

A base model often prefers one label word whatever is asked. Zhao et al. (2021, arXiv:2102.09690) divide by the
probabilities of content-free prompts; here the mean log-probability over unlabelled dev prompts stands in their place.
"""

import polars as pl

from amuro.core.errors import DataError
from amuro.tasks.metrics.base import Context, Metric, chosen, guessed


def predicts(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """The label of the highest log-probability less its prior, as text."""
    return chosen(predictions, context.prior)


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """1 where the label of the highest log-probability less `context.prior` is the gold one, else 0.

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
