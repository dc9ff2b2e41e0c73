"""Mean recall over the classes: a model that always says one word stands at 1/K whatever the class shares."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, chosen, guessed


def aggregate(predictions: pl.DataFrame, context: Context) -> float:
    """Mean over the gold labels that occur of the share of their examples that were answered rightly."""
    hits = pl.DataFrame({"gold": predictions["gold"], "hit": (chosen(predictions) == predictions["gold"])})
    recalls = hits.group_by("gold").agg(pl.col("hit").mean())["hit"].sort()
    return float(recalls.to_numpy().mean())


METRIC = Metric(
    "balanced_accuracy", "mean recall over the classes", ("classification",), True, None, aggregate, chance=guessed
)
