"""How a base model is best asked: over formats, shots, raw or calibrated, chosen where nothing is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from amuro.analysis import Evidence
from amuro.panels import Ladder, Panel, degenerate, panel
from amuro.stats.clustered import Floats

READOUT = ("metric", "format", "shots", "shot_seed")
"""What makes a way of asking."""
Key = tuple[Any, ...]
"""(step, metric, format, shots, shot seed)"""


@dataclass(frozen=True)
class BestReadout:
    """The base scores of a ladder under the best way of asking at each checkpoint."""

    values: Floats
    """(T, n)"""
    names: tuple[str, ...]
    """(T,) the way of asking that was chosen."""
    constant: bool
    """True where some checkpoint gives one answer to nearly everything, however it is asked."""
    note: str


def _means(source: Panel, found: Ladder) -> dict[Key, tuple[float, int, str]]:
    """Each way of asking the bases of a ladder → its mean, its row in the panel and its cell."""
    metrics = ("accuracy", "calibrated_accuracy") if found.metric == "accuracy" else (found.metric,)
    means = source.values.mean(axis=1).tolist()
    return {
        tuple(reading[name] for name in ("step", *READOUT)): (means[row], row, reading["cell"])
        for row, reading in enumerate(source.readings)
        if reading["tuned_on"] == "none" and reading["series"] == found.tuning.series and reading["metric"] in metrics
    }


def best_readout(evidence: Evidence, found: Ladder) -> BestReadout:
    """Choose on the task's dev cells, step by step; without dev cells on the same rows, and say so.

    Ways of asking that give one answer to nearly everything stand back behind all others.
    """
    test = _means(found.source, found)
    dev = panel(evidence.items, found.task, "dev")
    chosen_on = {key: mean for key, (mean, _, _) in _means(dev, found).items() if key in test} if dev else {}
    dead = _dead(evidence, test)
    picked = [_best(step, test, chosen_on, dead) for step in found.steps.tolist()]
    return BestReadout(
        values=found.source.values[[test[key][1] for key in picked]],
        names=tuple(f"{metric}, {wording}, {shots}-shot" for _, metric, wording, shots, _ in picked),
        constant=any(key in dead for key in picked),
        note="" if chosen_on else "The best way of asking was chosen on the same rows: there are no dev cells.",
    )


def _dead(evidence: Evidence, test: dict[Key, tuple[float, int, str]]) -> set[Key]:
    by_metric = {key[1] for key in test}
    stuck = {(cell, m) for m in by_metric for cell in degenerate(evidence, [cell for _, _, cell in test.values()], m)}
    return {key for key, (_, _, cell) in test.items() if (cell, key[1]) in stuck}


def _best(step: int, test: dict[Key, tuple[float, int, str]], chosen_on: dict[Key, float], dead: set[Key]) -> Key:
    here = [key for key in (chosen_on or test) if key[0] == step] or [key for key in test if key[0] == step]
    return max(here, key=lambda key: (key not in dead, chosen_on.get(key, test[key][0])))


def with_best_base(found: Ladder, best: BestReadout) -> Ladder:
    """The same ladder, the base asked in its best way."""
    return replace(found, base=best.values)
