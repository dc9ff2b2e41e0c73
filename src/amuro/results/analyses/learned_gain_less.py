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
from amuro.results.trajectory import Trajectory, stand_ins, trajectories
from amuro.results.verdicts import Claim, decide_verdicts

Bools = NDArray[np.bool_]
MIN_DATA_SETS = 8
"""The unit is the data set; fewer carry no claim."""
UNCROSSED = "The unit is the data set; kind of task and way of scoring are not crossed with it."


@dataclass(frozen=True)
class Half:
    """One data set, its clusters split in two: the base from one half, what tuning does to it from the other."""

    base: float
    base_variance: float
    start: float
    tuned: float


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a series, over the data sets on which its latest checkpoint was tuned."""
    by_series: dict[str, dict[str, Trajectory]] = {}
    every, told = stand_ins([found for found in trajectories(evidence, ["in_domain"]) if found.facts.share])
    for found in every:
        by_series.setdefault(found.tuning.series, {}).setdefault(found.tuning.tuned_on, found)
    claims = [_claim(evidence, series, list(sets.values()), told, rng) for series, sets in by_series.items()]
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _claim(evidence: Evidence, series: str, every: list[Trajectory], told: str, rng: np.random.Generator) -> Claim:
    status = [(found, *evidence_status(found)) for found in every]
    sets = [found for found, one, _ in status if one == "measured"]
    left_out = [told] * bool(told) + [
        f"{found.task} is left out: {why}" for found, one, why in status if one != "measured"
    ]
    if len(sets) < MIN_DATA_SETS:
        return Claim(_finding(evidence, series, sets, _too_few(sets), "insufficient", left_out), None)
    raw, shared = falls(evidence, sets, rng)
    weaker = max((raw, shared), key=lambda one: one.p_two_sided())
    sentence = (
        f"Over {len(sets)} data sets the gain from tuning falls by {effect_text(raw)} for each unit that the base is "
        f"better, and by {effect_text(shared)} as a share of the room left."
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
        cells=tuple(cell for found in sets for cell in found.cells),
        note=" ".join([UNCROSSED, *left_out]),
        points=tuple(_point(found) for found in sets),
    )


def _point(found: Trajectory) -> Mapping[str, Any]:
    gain = found.contrast(found.at(-1), -found.at(-1))
    return point(found.task, gain, x=float(found.base[-1].mean()))


def halves(found: Trajectory, chance: float, rng: np.random.Generator) -> tuple[Half, Half]:
    """Both ways of using the two random halves of a data set's clusters, on the scale from chance to perfect."""
    order = rng.permutation(found.source.groups)
    first = np.isin(found.clusters, order[: len(order) // 2])
    return _half(found, chance, first), _half(found, chance, ~first)


def _half(found: Trajectory, chance: float, ours: Bools) -> Half:
    base, tuned = ((side - chance) / (1 - chance) for side in (found.base[-1], found.tuned[-1]))
    _, clusters = np.unique(found.clusters[ours], return_inverse=True)
    here = clustered_mean(base[ours], clusters)
    return Half(here.value, here.se**2, float(base[~ours].mean()), float(tuned[~ours].mean()))


def falls(evidence: Evidence, sets: list[Trajectory], rng: np.random.Generator) -> tuple[Estimate, Estimate]:
    """Fall of the raw gain, and of the gain as a share of the room left, for each unit of the base.

    The base comes from one half of the clusters and the gain from the other, so that an error in the base makes no
    slope; both ways round are averaged. Room left is counted up to the mean of the better half of tuned scores, so
    that a common ceiling below 1 is no slope either.
    """
    split = [halves(found, found.floor, rng) for found in sets]
    pairs = [_slopes([both[way] for both in split]) for way in (0, 1)]
    raw, shared = ([pair[kind] for pair in pairs] for kind in (0, 1))
    return _mean_of(raw), _mean_of(shared)


def _slopes(sets: list[Half]) -> tuple[Estimate, Estimate]:
    base, start, tuned = (np.array([getattr(one, name) for one in sets]) for name in ("base", "start", "tuned"))
    error = float(np.mean([one.base_variance for one in sets]))
    ceiling = float(np.sort(tuned)[len(tuned) // 2 :].mean())
    room = np.maximum(ceiling - start, 0.05)
    return slope(base, tuned - start, error), slope(base, tuned - start, error, scale=room)


def _mean_of(both: list[Estimate]) -> Estimate:
    """A fall is a negative slope. The two ways share their data: their errors do not shrink by averaging."""
    value, se = (float(np.mean([getattr(one, what) for one in both])) for what in ("value", "se"))
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
