"""How a base model is best asked: over formats, shots, raw or calibrated, chosen where nothing is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from amuro.core import registry
from amuro.results import shots_shown
from amuro.results.analyses.base import Evidence
from amuro.results.score_matrix import ScoreMatrix, ScoreRow, score_matrix
from amuro.results.stats.clustered import Ints
from amuro.results.trajectory import HOW, Trajectory, differences, with_shared_noise
from amuro.tasks.metrics import load_metric

PROMPTING = ("metric", "format", "shots", "shot_seed")
"""What makes a way of asking."""
CLEARLY = 0.05
"""By how much a way of asking that covers fewer examples must be better."""
Key = tuple[Any, ...]
"""(step, metric, format, shots, shot seed)"""


class PromptVariant(NamedTuple):
    """One way of asking one base."""

    mean: float
    """The higher the better."""
    row: int
    """In the score matrix of all score rows."""
    evidence: str
    whole: bool
    """It was asked all examples that are compared."""


@dataclass(frozen=True)
class BestPrompting:
    """A trajectory whose bases are asked in their best way."""

    trajectory: Trajectory
    names: tuple[str, ...]
    """(T,) the way of asking that was chosen."""
    constant: bool
    """True where some checkpoint gives one answer to nearly everything, however it is asked."""
    note: str


def _variants(source: ScoreMatrix, found: Trajectory, examples: Ints | slice) -> dict[Key, PromptVariant]:
    """Every way in which the bases of a trajectory were asked, judged on some examples."""
    metrics = {found.metric, *(name for name in registry.names("metrics") if _calibrates(name, found.metric))}
    variants = {}
    for row, score_row in enumerate(source.score_rows):
        ours = score_row["tuned_on"] == "none" and score_row["series"] == found.tuning.series
        values = source.values[row, examples]
        known = np.isfinite(values)
        if ours and score_row["metric"] in metrics and known.any():
            key = tuple(score_row[name] for name in ("step", *PROMPTING))
            variants[key] = PromptVariant(float(values[known].mean()), row, score_row["evidence"], bool(known.all()))
    return variants


def _calibrates(name: str, metric: str) -> bool:
    return load_metric(name).calibrates == metric


def best_prompting(evidence: Evidence, found: Trajectory) -> BestPrompting:
    """Choose on the task's dev cells, step by step; without dev cells on the same rows, and say so.

    Ways of asking that give one answer to nearly everything stand back behind all others, and a way that was asked
    fewer examples must be better by `CLEARLY`: else noise would choose it, and examples be lost for nothing. Where the
    chosen ways share no example, the bases stay as they were asked.
    """
    test, dev = _variants(found.whole, found, found.examples), score_matrix(evidence, found.task, "dev")
    on_dev = {key: way.mean for key, way in _variants(dev, found, slice(None)).items() if key in test} if dev else {}
    picked = [_best(step, test, on_dev) for step in found.steps.tolist()]
    values = np.array([found.whole.values[test[key].row, found.examples] for key in picked])
    kept = np.asarray(np.isfinite(values).all(axis=0))
    score_rows = [score_row for score_row in found.score_rows if score_row["tuned_on"] != "none"]
    score_rows += [found.whole.score_rows[test[key].row] for key in picked]
    mixed = found.mixed or differences(score_rows, HOW)
    asked = found
    if kept.any():
        asked = replace(found, base=values, score_rows=tuple(score_rows), mixed=mixed).only(kept)
    return BestPrompting(
        trajectory=asked,
        names=tuple(_name(key, found.whole.score_rows[test[key].row]) for key in picked),
        constant=any(test[key].evidence == "degenerate" for key in picked),
        note="" if on_dev else "The best way of asking was chosen on the same rows: there are no dev cells.",
    )


def _name(key: Key, score_row: ScoreRow) -> str:
    _, metric, wording, shots, _ = key
    return f"{metric}, {wording}, {shots_shown.in_words(f'{shots}-shot', shots, score_row['shots_shown'])}"


def _best(step: int, test: dict[Key, PromptVariant], on_dev: dict[Key, float]) -> Key:
    here = [key for key in (on_dev or test) if key[0] == step] or [key for key in test if key[0] == step]

    def worth(key: Key) -> tuple[bool, float]:
        way = test[key]
        return way.evidence != "degenerate", on_dev.get(key, way.mean) - (0.0 if way.whole else CLEARLY)

    return max(here, key=worth)


def format_free_metric(evidence: Evidence, found: Trajectory) -> str | None:
    """The format-free metric of a set; None where its score is a likelihood already (choice tasks, documents)."""
    return found.facts.format_free.get(evidence.tasks[found.task].kind)


def format_free_trajectories(evidence: Evidence, every: Sequence[Trajectory]) -> list[Trajectory | None]:
    """The same comparisons under their format-free metric; None where there is none or where it was not measured.

    A score row that ends at another checkpoint than the first is none of this loss.
    """
    other = {
        place: second
        for place, found in enumerate(every)
        if (metric := format_free_metric(evidence, found))
        and (second := found.under(metric)) is not None
        and second.steps[-1] == found.steps[-1]
    }
    shrunk = dict(zip(other, with_shared_noise(other.values()), strict=True))
    return [shrunk.get(place) for place in range(len(every))]
