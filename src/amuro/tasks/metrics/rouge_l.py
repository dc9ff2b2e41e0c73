"""ROUGE-L (Lin 2004): how much of an answer stands in the right order, as F1 over the longest common subsequence.

The formula is that of the package rouge_score without stemming. Words are those of every script
(`tasks/metrics/_words.py`); on ASCII
text they are the package's, so values compare with published ones. The paper's protocol keeps the package's own words,
which are ASCII alone: of a Russian or a Chinese answer nothing is left. The subsequence is found with one machine word
operation a word (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"), here on integers of any length.
"""

import re
from collections.abc import Callable

import polars as pl

from amuro.tasks.metrics._words import words
from amuro.tasks.metrics.base import Context, Metric

_TOKEN = re.compile(r"[a-z0-9]+")


def rouge_l(output: str, gold: str, parted: Callable[[str], list[str]] = words) -> float:
    """Returns the F1 of precision (common / words of the output) and recall (common / words of the gold), from 0 to
    1.
    """
    output_words, gold_words = parted(output), parted(gold)
    common = longest_common_subsequence(output_words, gold_words)
    return 2 * common / (len(output_words) + len(gold_words)) if common else 0.0


def ascii_words(text: str) -> list[str]:
    """Returns the lower-case runs of ASCII letters and digits: the words of rouge_score."""
    return _TOKEN.findall(text.lower())


def longest_common_subsequence(first: list[str], second: list[str]) -> int:
    """Returns the length of the longest common subsequence of two token lists."""
    places: dict[str, int] = {}
    for i, token in enumerate(second):
        places[token] = places.get(token, 0) | (1 << i)
    unmatched = everywhere = (1 << len(second)) - 1
    for token in first:
        met = unmatched & places.get(token, 0)
        unmatched = ((unmatched + met) | (unmatched - met)) & everywhere
    return len(second) - unmatched.bit_count()


def rows(predictions: pl.DataFrame, context: Context) -> pl.Series:
    """Returns the ROUGE-L F1 of each output against its gold."""
    pairs = zip(predictions["output"], predictions["gold"], strict=True)
    parted = ascii_words if context.task.encoding == "whole_text" else words  # only the paper encodes whole texts
    return pl.Series("value", [rouge_l(output, gold, parted) for output, gold in pairs], dtype=pl.Float64)


METRIC = Metric(
    "rouge_l", "longest common subsequence with the right answer, F1", ("generation",), True, rows,
    label="ROUGE-L", lm_eval="rougeL",
)  # fmt: skip
