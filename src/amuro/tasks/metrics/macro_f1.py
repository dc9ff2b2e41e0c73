"""Mean F1 over the labels: low if a rare label is never predicted or a frequent one too often."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, chosen


def aggregate(predictions: pl.DataFrame, context: Context) -> float:
    """Returns the mean, over labels that are gold or predicted somewhere, of 2 · hits / (times gold + times
    predicted).
    """
    golds, predicted = predictions["gold"], chosen(predictions)
    scores = [
        2 * ((golds == label) & (predicted == label)).sum() / ((golds == label).sum() + (predicted == label).sum())
        for label in sorted({*golds, *predicted})
    ]
    return float(sum(scores) / len(scores))


METRIC = Metric(
    "macro_f1", "mean F1 of the labels", ("classification",), True, None, aggregate, label="macro F1 of labels"
)
