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
from amuro.results.trajectory import MIN_CHECKPOINTS, Trajectory, longest, trajectories
from amuro.results.verdicts import Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a tuned task, over all trained checkpoints of its series."""
    claims = [_claim(evidence, found) for found in longest(trajectories(evidence, ["in_domain"]))]
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _claim(evidence: Evidence, found: Trajectory) -> Claim:
    best = best_prompting(evidence, found)
    found = best.trajectory
    status, reason = _status(evidence, found, best)
    if status == "insufficient" and len(found.trained) < 2:
        finding = draft_finding(ANALYSIS, evidence, found, _few(found), status, note=reason, n=len(found.trained))
        return Claim(finding, None)
    weights = found.over_training(change_weights(found.tokens[found.trained]))
    gap, base = found.contrast(weights, -weights), found.contrast(weights * 0, weights)
    delta = smallest_effect(ANALYSIS, evidence, found)
    conditions = {
        f"The base is flat within {delta:.2f}": tost(base, delta),
        "The gap grows without any one checkpoint": _without_any(found),
        "Tuning the untrained weights does worse": _ahead_of_untrained(found),
    }
    told = " ".join(f"{what}: {chances(p)}." for what, p in conditions.items() if p is not None)
    note = caveats(evidence, found, reason, best.note, told)
    finding = draft_finding(
        ANALYSIS, evidence, found, _sentence(found, gap, base), status, note=note, n=len(found.trained)
    )
    return Claim(finding, gap, p=max(gap.p_two_sided(), *(p for p in conditions.values() if p is not None)))


def _status(evidence: Evidence, found: Trajectory, best: BestPrompting) -> EvidenceStatus:
    status, reason = trend_status(evidence, found)
    if status == "measured" and best.constant:
        return "degenerate", "However it is asked, a base gives one answer to nearly everything: that is not flat."
    if status == "measured" and np.ptp(found.base[found.trained]) == 0:
        return "degenerate", "The base scores the same on every example at every checkpoint: that is not flat."
    return tuned_status(found) if status == "measured" else (status, reason)


def _without_any(found: Trajectory) -> float | None:
    """The largest p value of the gap's growth when each checkpoint in turn is left out; None below four."""
    if len(found.trained) < MIN_CHECKPOINTS:
        return None
    weights = [found.over_training(one) for one in without_each(found.tokens[found.trained])]
    return max(_surely_above(found.contrast(w, -w)) for w in weights)


def _ahead_of_untrained(found: Trajectory) -> float | None:
    """P value of the last tuned checkpoint being no better than the untrained weights tuned alike, where they were."""
    if found.tokens[0] > 0:
        return None
    return _surely_above(found.contrast(found.at(-1) - found.at(0), found.at(0) * 0))


def _surely_above(estimate: Estimate) -> float:
    """P value at the level of a two-sided interval: below .05 exactly where the 95 % interval lies above 0."""
    return min(2 * estimate.p_above(), 1.0)


def _few(found: Trajectory) -> str:
    seen = counted(len(found.steps), "checkpoint")
    return f"With {seen} nothing can be said of what pre-training builds for {found.training_words}."


def _sentence(found: Trajectory, gap: Estimate, base: Estimate) -> str:
    first, last = found.trained[0], -1
    return (
        f"In this pre-training run {found.called} goes, once tuned{found.by}, "
        f"{found.from_to(found.tuned[first], found.tuned[last])}, while the base, as far as these ways of prompting "
        f"elicit it, goes {found.from_to(found.base[first], found.base[last])}: from the first to the last checkpoint "
        f"(log {found.unit}) the gap grows by {effect_text(gap)}, the base by {effect_text(base)}."
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
