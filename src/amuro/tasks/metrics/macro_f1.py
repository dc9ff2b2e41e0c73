"""Mean over the labels of the F1 of finding each: low where a rare label is never found or a frequent one overused."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric, chosen


def aggregate(predictions: pl.DataFrame, context: Context) -> float:
    """Mean over the labels that are right or said somewhere of 2 · hits / (times right + times said)."""
    golds, said = predictions["gold"], chosen(predictions)
    scores = [
        2 * ((golds == label) & (said == label)).sum() / ((golds == label).sum() + (said == label).sum())
        for label in sorted({*golds, *said})
    ]
    return float(sum(scores) / len(scores))


METRIC = Metric(
    "macro_f1", "mean F1 of the labels", ("classification",), True, None, aggregate, label="macro F1 of labels"
)
