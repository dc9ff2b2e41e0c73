"""Mean recall over the labels: a model that always predicts one label scores 1/K, whatever the label shares."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, chosen, guessed


def aggregate(predictions: pl.DataFrame, context: Context) -> float:
    """Returns the mean over the gold labels that occur of the share of their examples that are predicted correctly."""
    hits = pl.DataFrame({"gold": predictions["gold"], "hit": (chosen(predictions) == predictions["gold"])})
    recalls = hits.group_by("gold").agg(pl.col("hit").mean())["hit"].sort()
    return float(recalls.to_numpy().mean())


METRIC = Metric(
    "balanced_accuracy", "mean recall over the classes", ("classification",), True, None, aggregate, chance=guessed
)
