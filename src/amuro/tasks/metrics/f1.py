"""F1 of words, in any order: what SQuAD-like answers are reported in, beside exact match.

As the evaluation of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250): lower case, without punctuation and English
articles, words counted as often as both sides have them. Words of every script (`tasks/metrics/_words.py`), as MLQA
extended it.
"""

from collections import Counter

import polars as pl

from amuro.tasks.metrics._words import spoken
from amuro.tasks.metrics.base import Context, Metric

ARTICLES = frozenset({"a", "an", "the"})


def f1(output: str, gold: str) -> float:
    """2 · shared words / all words of both; 1 where neither has any and they are the same text."""
    said, right = (Counter(word for word in spoken(text) if word not in ARTICLES) for text in (output, gold))
    if not said or not right:
        return float(said == right and output.strip() == gold.strip())
    return 2 * (said & right).total() / (said.total() + right.total())


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """F1 of each output against its gold."""
    pairs = zip(predictions["output"], predictions["gold"], strict=True)
    return pl.Series("value", [f1(output, gold) for output, gold in pairs], dtype=pl.Float64)


METRIC = Metric("f1", "words shared with the right answer, F1", ("generation",), True, rows, label="F1 of words")
