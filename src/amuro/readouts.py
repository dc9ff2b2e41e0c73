"""How a base model is best asked: over formats, shots, raw or calibrated, chosen where nothing is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from amuro.analysis import Evidence
from amuro.panels import Ladder, Panel, Reading, panel
from amuro.stats.clustered import Floats

READOUT = ("metric", "format", "shots", "shot_seed")
"""What makes a way of asking."""
Key = tuple[Any, ...]
"""(step, metric, format, shots, shot seed)"""


class Way(NamedTuple):
    """One way of asking one base: its mean score, its row in the panel, its evidence state."""

    mean: float
    row: int
    evidence: str


@dataclass(frozen=True)
class BestReadout:
    """The base scores of a ladder under the best way of asking at each checkpoint."""

    values: Floats
    """(T, n)"""
    names: tuple[str, ...]
    """(T,) the way of asking that was chosen."""
    readings: tuple[Reading, ...]
    """What was chosen, as rows of `scores`."""
    constant: bool
    """True where some checkpoint gives one answer to nearly everything, however it is asked."""
    note: str


def _ways(source: Panel, found: Ladder) -> dict[Key, Way]:
    """Every way in which the bases of a ladder were asked."""
    metrics = ("accuracy", "calibrated_accuracy") if found.metric == "accuracy" else (found.metric,)
    return {
        tuple(reading[name] for name in ("step", *READOUT)): Way(float(values.mean()), row, reading["evidence"])
        for row, (reading, values) in enumerate(zip(source.readings, source.values, strict=True))
        if reading["tuned_on"] == "none" and reading["series"] == found.tuning.series and reading["metric"] in metrics
    }


def best_readout(evidence: Evidence, found: Ladder) -> BestReadout:
    """Choose on the task's dev cells, step by step; without dev cells on the same rows, and say so.

    Ways of asking that give one answer to nearly everything stand back behind all others.
    """
    test, dev = _ways(found.source, found), panel(evidence, found.task, "dev")
    chosen_on = {key: way.mean for key, way in _ways(dev, found).items() if key in test} if dev else {}
    picked = [_best(step, test, chosen_on) for step in found.steps.tolist()]
    return BestReadout(
        values=found.source.values[[test[key].row for key in picked]],
        names=tuple(f"{metric}, {wording}, {shots}-shot" for _, metric, wording, shots, _ in picked),
        readings=tuple(found.source.readings[test[key].row] for key in picked),
        constant=any(test[key].evidence == "degenerate" for key in picked),
        note="" if chosen_on else "The best way of asking was chosen on the same rows: there are no dev cells.",
    )


def _best(step: int, test: dict[Key, Way], chosen_on: dict[Key, float]) -> Key:
    here = [key for key in (chosen_on or test) if key[0] == step] or [key for key in test if key[0] == step]
    return max(here, key=lambda key: (test[key].evidence != "degenerate", chosen_on.get(key, test[key].mean)))


def with_best_base(found: Ladder, best: BestReadout) -> Ladder:
    """The same ladder, the base asked in its best way."""
    tuned = tuple(reading for reading in found.readings if reading["tuned_on"] != "none")
    return replace(found, base=best.values, readings=(*tuned, *best.readings))
