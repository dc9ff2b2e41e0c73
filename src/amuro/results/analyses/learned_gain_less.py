"""Does tuning bring less where the base can already do the task?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amuro.core.types import EvidenceState, Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import NO_HOME, blank, counted, effect_text, evidence_status, point
from amuro.results.stats.clustered import clustered_mean
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.regression import slope
from amuro.results.trajectory import Trajectory
from amuro.results.trajectory_groups import stand_ins, trajectories
from amuro.results.verdicts import Claim, decide_verdicts

Bools = NDArray[np.bool_]
MIN_DATA_SETS = 8
"""Fewest data sets (the unit of this analysis) for a claim."""
UNCROSSED = "The unit is the data set; kind of task and way of scoring are not crossed with it."


@dataclass(frozen=True)
class Half:
    """Scores of one data set whose clusters are split in halves, on the scale from chance (0) to perfect (1)."""

    base: float
    """Mean base score on the first half."""
    base_variance: float
    """Sampling variance of `base`."""
    start: float
    """Mean base score on the second half."""
    tuned: float
    """Mean tuned score on the second half."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per series, over the data sets on which its latest checkpoint was tuned."""
    by_series: dict[str, dict[str, Trajectory]] = {}
    every, told = stand_ins(
        [trajectory for trajectory in trajectories(evidence, ["in_domain"]) if trajectory.facts.share]
    )
    for trajectory in every:
        by_series.setdefault(trajectory.tuning.series, {}).setdefault(trajectory.tuning.tuned_on, trajectory)
    claims = [_claim(evidence, series, list(sets.values()), told, rng) for series, sets in by_series.items()]
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _claim(evidence: Evidence, series: str, every: list[Trajectory], told: str, rng: np.random.Generator) -> Claim:
    status = [(trajectory, *evidence_status(trajectory)) for trajectory in every]
    sets = [trajectory for trajectory, one, _ in status if one == "measured"]
    left_out = [told] * bool(told) + [
        f"{trajectory.task} is left out: {why}" for trajectory, one, why in status if one != "measured"
    ]
    if len(sets) < MIN_DATA_SETS:
        return Claim(_finding(evidence, series, sets, _too_few(sets), "insufficient", left_out), None)
    raw, shared = falls(evidence, sets, rng)
    weaker = max((raw, shared), key=lambda estimate: estimate.p_two_sided())
    sentence = (
        f"Over {len(sets)} data sets the gain from tuning falls by {effect_text(raw)} per unit of base score, "
        f"and by {effect_text(shared)} as a share of the room left."
    )
    both = min(raw.interval()[0], shared.interval()[0]) > 0
    return Claim(_finding(evidence, series, sets, sentence, "measured", left_out), weaker, holds=both)


def _too_few(sets: list[Trajectory]) -> str:
    named = ", ".join(
        f"{one.task}{one.by} {one.score(one.base[-1]):.2f} to {one.score(one.tuned[-1]):.2f}" for one in sets
    )
    return (
        f"{counted(len(sets), 'data set')}{f' ({named})' if named else ''} cannot say whether tuning brings less where "
        f"the base is better: that needs {MIN_DATA_SETS}."
    )


def _finding(
    evidence: Evidence, series: str, sets: list[Trajectory], sentence: str, status: EvidenceState, left_out: list[str]
) -> Finding:
    return blank(
        ANALYSIS,
        evidence,
        sentence,
        status,
        id=f"learned_gain_less.{series}".lower(),
        n=len(sets),
        series=series,
        cells=tuple(cell for trajectory in sets for cell in trajectory.cells),
        note=" ".join([UNCROSSED, *left_out]),
        points=tuple(_point(trajectory) for trajectory in sets),
    )


def _point(trajectory: Trajectory) -> Mapping[str, Any]:
    gain = trajectory.contrast(trajectory.at(-1), -trajectory.at(-1))
    return point(trajectory.task, gain, x=float(trajectory.base[-1].mean()))


def halves(trajectory: Trajectory, chance: float, rng: np.random.Generator) -> tuple[Half, Half]:
    """Splits a data set's clusters into random halves; returns the scores with either half as the first."""
    order = rng.permutation(trajectory.source.groups)
    first = np.isin(trajectory.clusters, order[: len(order) // 2])
    return _half(trajectory, chance, first), _half(trajectory, chance, ~first)


def _half(trajectory: Trajectory, chance: float, ours: Bools) -> Half:
    base, tuned = ((side - chance) / (1 - chance) for side in (trajectory.base[-1], trajectory.tuned[-1]))
    _, clusters = np.unique(trajectory.clusters[ours], return_inverse=True)
    here = clustered_mean(base[ours], clusters)
    return Half(here.value, here.se**2, float(base[~ours].mean()), float(tuned[~ours].mean()))


def falls(evidence: Evidence, sets: list[Trajectory], rng: np.random.Generator) -> tuple[Estimate, Estimate]:
    """Estimates the fall per unit of base score of the raw gain, and of the gain as a share of the room left.

    Base and gain come from different halves of the clusters, so that sampling errors of the base give no slope; both
    assignments are averaged. Room left is measured up to the mean of the better half of tuned scores, so that a common
    ceiling below 1 gives no slope either.
    """
    split = [halves(trajectory, trajectory.floor, rng) for trajectory in sets]
    pairs = [_slopes([both[order] for both in split]) for order in (0, 1)]
    raw, shared = ([pair[kind] for pair in pairs] for kind in (0, 1))
    return _mean_of(raw), _mean_of(shared)


def _slopes(sets: list[Half]) -> tuple[Estimate, Estimate]:
    base, start, tuned = (np.array([getattr(half, name) for half in sets]) for name in ("base", "start", "tuned"))
    error = float(np.mean([half.base_variance for half in sets]))
    ceiling = float(np.sort(tuned)[len(tuned) // 2 :].mean())
    room = np.maximum(ceiling - start, 0.05)
    return slope(base, tuned - start, error), slope(base, tuned - start, error, scale=room)


def _mean_of(both: list[Estimate]) -> Estimate:
    """Averages both slopes and returns the fall, −slope. They share their data, so the error is not reduced."""
    value, se = (float(np.mean([getattr(estimate, field) for estimate in both])) for field in ("value", "se"))
    return Estimate.of(-value, se, both[0].parts[0][1])


ANALYSIS = Analysis(
    name="learned_gain_less",
    question="Does tuning bring less where the base can already do the task?",
    family="learned tasks gain less",
    delta=0.2,
    unit="data sets",
    formula="−slope over data sets of (tuned − base) on base, base and gain from independent halves of the clusters, "
    "divided by the reliability of the base; and the same for the gain as a share of the room left: both > 0",
    source="Sun & Dredze 2024, finding 4; errors in variables: Fuller 1987, §1.2",
    run=run,
)
