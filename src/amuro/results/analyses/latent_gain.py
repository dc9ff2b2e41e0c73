"""Does pre-training build something that shows only after tuning?"""

from __future__ import annotations

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.base_prompting import BestPrompting, best_prompting
from amuro.results.finding_text import (
    NO_HOME,
    EvidenceStatus,
    blank,
    caveats,
    chances,
    counted,
    draft_finding,
    effect_text,
    smallest_effect,
    trend_status,
    tuned_status,
)
from amuro.results.stats.equivalence import tost
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.trend import change_weights, without_each
from amuro.results.trajectory import MIN_CHECKPOINTS, Trajectory
from amuro.results.trajectory_groups import longest, trajectories
from amuro.results.verdicts import Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per tuned task, over all trained checkpoints of its series."""
    claims = [_claim(evidence, trajectory) for trajectory in longest(trajectories(evidence, ["in_domain"]))]
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _claim(evidence: Evidence, trajectory: Trajectory) -> Claim:
    best = best_prompting(evidence, trajectory)
    trajectory = best.trajectory
    status, reason = _status(evidence, trajectory, best)
    if status == "insufficient" and len(trajectory.trained) < 2:
        finding = draft_finding(
            ANALYSIS, evidence, trajectory, _few(trajectory), status, note=reason, n=len(trajectory.trained)
        )
        return Claim(finding, None)
    weights = trajectory.over_training(change_weights(trajectory.tokens[trajectory.trained]))
    gap, base = trajectory.contrast(weights, -weights), trajectory.contrast(weights * 0, weights)
    delta = smallest_effect(ANALYSIS, evidence, trajectory)
    conditions = {
        f"The base is flat within {delta:.2f}": tost(base, delta),
        "The gap grows without any one checkpoint": _without_any(trajectory),
        "Tuning the untrained weights does worse": _ahead_of_untrained(trajectory),
    }
    tested = " ".join(f"{what}: {chances(p)}." for what, p in conditions.items() if p is not None)
    note = caveats(evidence, trajectory, reason, best.note, tested)
    finding = draft_finding(
        ANALYSIS, evidence, trajectory, _sentence(trajectory, gap, base), status, note=note, n=len(trajectory.trained)
    )
    return Claim(finding, gap, p=max(gap.p_two_sided(), *(p for p in conditions.values() if p is not None)))


def _status(evidence: Evidence, trajectory: Trajectory, best: BestPrompting) -> EvidenceStatus:
    status, reason = trend_status(evidence, trajectory)
    if status == "measured" and best.constant:
        return "degenerate", "A base gives one answer to nearly all examples in every prompt variant: that is not flat."
    if status == "measured" and np.ptp(trajectory.base[trajectory.trained]) == 0:
        return "degenerate", "The base scores the same on every example at every checkpoint: that is not flat."
    return tuned_status(trajectory) if status == "measured" else (status, reason)


def _without_any(trajectory: Trajectory) -> float | None:
    """Returns the largest p value of the gap's growth with each checkpoint left out in turn; None below four."""
    if len(trajectory.trained) < MIN_CHECKPOINTS:
        return None
    weights = [trajectory.over_training(w) for w in without_each(trajectory.tokens[trajectory.trained])]
    return max(_surely_above(trajectory.contrast(w, -w)) for w in weights)


def _ahead_of_untrained(trajectory: Trajectory) -> float | None:
    """Returns the p value of "the last tuned checkpoint is no better than the tuned step 0"; None without a step 0."""
    if trajectory.tokens[0] > 0:
        return None
    return _surely_above(trajectory.contrast(trajectory.at(-1) - trajectory.at(0), trajectory.at(0) * 0))


def _surely_above(estimate: Estimate) -> float:
    """Returns 2 · the one-sided p value: below .05 exactly where the 95 % interval lies above 0."""
    return min(2 * estimate.p_above(), 1.0)


def _few(trajectory: Trajectory) -> str:
    seen = counted(len(trajectory.steps), "checkpoint")
    return f"With {seen} nothing can be said of what pre-training builds for {trajectory.training_words}."


def _sentence(trajectory: Trajectory, gap: Estimate, base: Estimate) -> str:
    first = trajectory.trained[0]
    tuned = trajectory.from_to(trajectory.tuned[first], trajectory.tuned[-1])
    untuned = trajectory.from_to(trajectory.base[first], trajectory.base[-1])
    return (
        f"In this pre-training run {trajectory.called} changes, once tuned{trajectory.by}, {tuned}, and in the base, "
        f"as far as these prompts elicit it, {untuned}: from the first to the last checkpoint (log {trajectory.unit}) "
        f"the gap grows by {effect_text(gap)}, the base by {effect_text(base)}."
    )


ANALYSIS = Analysis(
    name="latent_gain",
    question="Does pre-training build something that shows only after tuning?",
    family="latent gain",
    delta=0.25,
    unit="checkpoints",
    formula="slope over log tokens × span of (tuned − base) > 0 and of base within ±δ (TOST), both at α "
    "(intersection–union), Holm over tasks; the slope survives leaving out any checkpoint; tuned step 0 does worse",
    source="Sun & Dredze 2024, finding 3; Schuirmann 1987 (TOST); Berger & Hsu 1996 (intersection–union)",
    run=run,
)
