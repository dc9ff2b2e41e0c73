"""Does more pre-training make the tuned model worse?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import (
    EvidenceStatus,
    blank,
    caveats,
    counted,
    draft_finding,
    effect_text,
    smallest_effect,
    trend_status,
    tuned_status,
)
from amuro.results.saturation import saturation, schedule, trained_rows
from amuro.results.stats.clustered import Floats
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.trend import change_weights, without_each
from amuro.results.trajectory import Trajectory
from amuro.results.trajectory_groups import trajectories
from amuro.results.verdicts import Claim, decide_verdicts

LEAST = 10
"""Fewest trained checkpoints, since half of them, less one, must still give a trend."""
ROLES = ("in_domain", "out_of_domain", "facts", "cross_task", "corpus")
"""Roles of the evaluation sets that are followed."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per tuned task and evaluation set; sets with too few checkpoints share one per series."""
    every = trajectories(evidence, ROLES)
    claims = [_claim(evidence, trajectory, rng) for trajectory in every if len(trajectory.trained) >= LEAST]
    claims += _short(evidence, every)
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, "No tuned model was evaluated.", "not run")]


def _short(evidence: Evidence, every: list[Trajectory]) -> Iterator[Claim]:
    """Yields one claim per series on the sets with too few checkpoints."""
    long = {(f.tuning.series, f.task, f.split) for f in every if len(f.trained) >= LEAST}
    brief: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in every:
        if (trajectory.tuning.series, trajectory.task, trajectory.split) not in long:
            brief[trajectory.tuning.series].append(trajectory)
    for series, those in brief.items():
        most, sets = max(len(f.trained) for f in those), len({f.name for f in those})
        sentence = (
            f"{counted(most, 'trained checkpoint')} of {series} at most, on {counted(sets, 'evaluation set')}: whether "
            f"more pre-training makes a tuned model worse needs {LEAST}."
        )
        name = f"{ANALYSIS.name}.{series}".lower()
        yield Claim(blank(ANALYSIS, evidence, sentence, "insufficient", id=name, series=series, n=most), None)


def later(trajectory: Trajectory) -> Floats:
    """Returns weights (T,) of the change over the later half of the trained checkpoints, fixed in advance."""
    return _weights(trajectory, change_weights(trajectory.tokens[_half(trajectory)]))


def _half(trajectory: Trajectory) -> np.ndarray:
    """Returns the indices of the later half of the trained checkpoints."""
    return np.asarray(trajectory.trained[len(trajectory.trained) // 2 :])


def _weights(trajectory: Trajectory, of_half: Floats) -> Floats:
    """Returns weights over the later half as weights (T,) over all checkpoints."""
    padded = np.zeros(len(trajectory.steps))
    padded[_half(trajectory)] = of_half
    return padded


def _claim(evidence: Evidence, trajectory: Trajectory, rng: np.random.Generator) -> Claim:
    weights, none = later(trajectory), np.zeros(len(trajectory.steps))
    fall, base = trajectory.contrast(-weights, none), trajectory.contrast(none, -weights)
    without = [_weights(trajectory, w) for w in without_each(trajectory.tokens[_half(trajectory)])]
    worst = max(trajectory.contrast(-w, none).p_two_sided() for w in without)
    holds = all(trajectory.contrast(-w, none).interval()[0] > 0 for w in without)
    status, reason = _status(evidence, trajectory)
    delta = smallest_effect(ANALYSIS, evidence, trajectory)
    level = saturation(trajectory, delta, rng) if status == "measured" else None
    open_condition = (
        "" if holds or fall.interval()[0] <= 0 else "The fall is not significant without one of these checkpoints."
    )
    note = caveats(evidence, trajectory, reason, open_condition, level.refused if level else "")
    sentence = " ".join(
        [_sentence(evidence, trajectory, fall, base, delta), *([level.sentence] if level and level.sentence else [])]
    )
    finding = draft_finding(ANALYSIS, evidence, trajectory, sentence, status, note=note, n=len(_half(trajectory)))
    return Claim(finding, fall, max(fall.p_two_sided(), worst), holds)


def _status(evidence: Evidence, trajectory: Trajectory) -> EvidenceStatus:
    status, reason = trend_status(evidence, trajectory)
    return tuned_status(trajectory) if status == "measured" else (status, reason)


def _sentence(evidence: Evidence, trajectory: Trajectory, fall: Estimate, base: Estimate, delta: float) -> str:
    first, state = _half(trajectory)[0], schedule(evidence, trained_rows(trajectory)).words
    return (
        f"In this pre-training run, {state}, {trajectory.metric} on {trajectory.name}, once tuned on "
        f"{trajectory.training_words}, changes {trajectory.from_to(trajectory.tuned[first], trajectory.tuned[-1])} "
        f"over the later half of the trained checkpoints (loss over these log {trajectory.unit}: {effect_text(fall)}); "
        f"{_of_base(base, delta)}."
    )


def _of_base(fall: Estimate, delta: float) -> str:
    """Returns the words on the base's fall over the same checkpoints."""
    low, high = fall.interval()
    if low > 0:
        return f"the base falls as well ({effect_text(fall)})"
    change = "does not fall by the smallest effect of interest" if high < delta else "may fall or not"
    return f"the base {change} ({effect_text(fall)})"


ANALYSIS = Analysis(
    name="overtraining",
    question="Does more pre-training make the tuned model worse?",
    family="overtraining",
    delta=0.05,
    unit="checkpoints",
    formula="− slope over log tokens × span of the tuned score over the later half of the trained checkpoints > 0, "
    "also without any one of them; one state of the learning-rate schedule",
    source="Springer et al., arXiv 2503.19206 (catastrophic overtraining); learning-rate decay: arXiv 2604.13627",
    run=run,
)
