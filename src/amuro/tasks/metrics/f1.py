"""F1 of words in any order: how SQuAD-like answers are reported, besides exact match.

As the evaluation of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250): lower case, without punctuation and English
articles, words counted with multiplicity. Words of every script (`tasks/metrics/_words.py`), as MLQA extended it.
"""

from collections import Counter

import polars as pl

from amuro.tasks.metrics._words import spoken
from amuro.tasks.metrics.base import Context, Metric

ARTICLES = frozenset({"a", "an", "the"})


def f1(output: str, gold: str) -> float:
    """Returns 2 · shared words / words of both; 1 if neither has any and both are the same text."""
    predicted, gold_words = (Counter(word for word in spoken(text) if word not in ARTICLES) for text in (output, gold))
    if not predicted or not gold_words:
        return float(predicted == gold_words and output.strip() == gold.strip())
    return 2 * (predicted & gold_words).total() / (predicted.total() + gold_words.total())


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns the F1 of each output against its gold."""
    pairs = zip(predictions["output"], predictions["gold"], strict=True)
    return pl.Series("value", [f1(output, gold) for output, gold in pairs], dtype=pl.Float64)


METRIC = Metric("f1", "words shared with the right answer, F1", ("generation",), True, rows, label="F1 of words")
