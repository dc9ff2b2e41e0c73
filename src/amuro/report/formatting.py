"""Formats numbers and names for the page; explains terms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from amuro.core import registry
from amuro.core.errors import StudyError
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Metric

SPLITS = {"test": "test", "test_ood": "out-of-domain test", "dev": "development"}

NO_ROLES: Mapping[tuple[str, str], str] = MappingProxyType({})

VERDICTS = {
    "supported": (
        "✓",
        "The whole interval lies above zero, and the estimate reaches the smallest effect that would matter.",
    ),
    "refuted": (
        "✕",
        "The whole interval lies below the smallest effect that would matter: such an effect is excluded.",
    ),
    "open": ("○", "Neither: the data of this study do not decide."),
}
EVIDENCE = {
    "measured": "All that the statement needs was measured.",
    "not run": "Some of the cells that it needs have not run.",
    "degenerate": "The answers or the right answers are all the same, so the score says nothing.",
    "insufficient": "Too few clusters, checkpoints or data sets for such a statement.",
    "mixed": "The measurements come from different protocols or different software and hardware.",
}
FLAGS = {
    "no gain from tuning": "Tuning did not lift the score above the base model.",
    "significant forgetting": "What the base model could do got worse by tuning on something else.",
    "inconsistent across formats": "The same question, worded otherwise, gets another answer.",
    "constant predictor": "The model gives one and the same answer to nearly everything.",
    "rate at the grid's edge": "The best learning rate was the largest or smallest tried: better ones may lie beyond.",
    "training diverged": "Loss or gradient stopped being finite: the model has no result and was not tried again.",
    "did not learn to stop": "Answers run on to the length limit.",
    "right answers below the best score": "Cut as outputs are, right answers themselves fall short of the best score.",
}


def plain(name: str) -> str:
    """Returns a name as words."""
    return name.replace("_", " ")


def split_words(split: str, role: str = "") -> str:
    """Returns a split in words: `test set`, `out-of-domain test set`.

    `role`: the role of the set for the model, if it is to be named.
    """
    if role == "in_domain":
        return f"{plain(split)} set"
    if role == "out_of_domain":
        return f"out-of-domain {SPLITS.get(split, plain(split)).removeprefix('out-of-domain ')} set"
    return f"{SPLITS.get(split, plain(split))} set"


def sentence(text: str, tasks: Iterable[str], roles: Mapping[tuple[str, str], str] = NO_ROLES) -> str:
    """Returns a statement for readers: tasks, splits and metrics in words, true minus signs.

    `tasks`: names to replace. `roles`: (task, split) → role.
    """
    known = {*tasks, *(name for name in registry.names("metrics") if "_" in name)}
    names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))

    def in_words(match: re.Match[str]) -> str:
        role = roles.get((match[1], match[2] or ""), "")
        return plain_metric(match[1]) + (f" ({split_words(match[2], role)})" if match[2] else "")

    text = re.sub(rf"(?<![\w/])({names})(?:/(\w+))?(?!\w)", in_words, text)
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def metric_facts(metric: str) -> Metric | None:
    """Returns a metric, or None if it is not installed here (in a report of another machine)."""
    try:
        return load_metric(metric)
    except StudyError:
        return None


def plain_metric(metric: str) -> str:
    """Returns a metric in words."""
    facts = metric_facts(metric)
    return facts.words if facts else plain(metric)


def metric_words(metric: str) -> str:
    """Returns a metric in words, with its direction if that is not obvious."""
    return plain_metric(metric) if higher_is_better(metric) else f"{plain_metric(metric)} (lower is better)"


def higher_is_better(metric: str) -> bool:
    """Returns the direction of a metric; True for a metric that is not installed here."""
    facts = metric_facts(metric)
    return facts is None or facts.higher_is_better


def is_share(metric: str) -> bool:
    """Whether a metric's values are between 0 and 1."""
    facts = metric_facts(metric)
    return facts is not None and facts.share


def number(value: float | None, digits: int = 2) -> str:
    """Returns a number with a true minus sign; a dash for None."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def signed(value: float | None) -> str:
    """Returns a number with its sign."""
    text = number(value)
    return f"+{text}" if value is not None and value > 0 and float(text) > 0 else text


def interval(low: float | None, high: float | None) -> str:
    """Returns an interval in brackets; '' for None."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def count(value: float | None) -> str:
    """Returns a whole number with thousands separators; a dash for None."""
    return "–" if value is None else f"{round(value):,}"


def compact(value: float | None) -> str:
    """Returns a large number in a few characters: 66k, 1.2M, 84B, 3.1e+15."""
    if value is None:
        return "unknown"
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            short = value / size
            return f"{value:.1e}" if short >= 1e4 else f"{short:.0f}{unit}" if short >= 9.95 else f"{short:.1f}{unit}"
    return f"{value:g}"


def duration(seconds: float) -> str:
    """Returns seconds in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def slug(text: str) -> str:
    """Returns a name that is safe as an HTML id and as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "x"
