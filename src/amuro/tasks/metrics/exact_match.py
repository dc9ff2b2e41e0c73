"""Share of generations that equal the gold answer."""

import polars as pl

from amuro.tasks.metrics.base import Context, Metric


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns 1 if output and gold are equal after spaces are made single and the suffix is removed, else 0."""
    suffix = context.task.answer_suffix
    pairs = zip(predictions["output"], predictions["gold"], strict=True)
    return pl.Series("value", [float(_plain(output, suffix) == _plain(gold, suffix)) for output, gold in pairs])


def _plain(text: str, suffix: str) -> str:
    """Returns a text with single spaces and without the suffix."""
    return " ".join(" ".join(text.split()).removesuffix(suffix.strip()).split())


METRIC = Metric(
    "exact_match", "the generated answer is the right one word for word", ("generation",), True, rows, binary=True
)
