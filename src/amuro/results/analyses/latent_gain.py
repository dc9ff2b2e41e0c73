"""Does pre-training build something that shows only after tuning?"""

from __future__ import annotations

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.base_prompting import BestReadout, best_readout
from amuro.results.finding_text import (
    NO_HOME,
    Standing,
    blank,
    chances,
    counted,
    draft,
    limits,
    reading,
    smallest_effect,
    trend_state,
    tuned_state,
)
from amuro.results.stats.equivalence import tost
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.trend import change_weights, without_each
from amuro.results.trajectory import MIN_CHECKPOINTS, Ladder, ladders, longest
from amuro.results.verdicts import Claim, settle


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a tuned task, over all trained checkpoints of its series."""
    claims = [_claim(evidence, found) for found in longest(ladders(evidence, ["in_domain"]))]
    return settle(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _claim(evidence: Evidence, found: Ladder) -> Claim:
    best = best_readout(evidence, found)
    found = best.ladder
    standing, reason = _standing(evidence, found, best)
    if standing == "insufficient" and len(found.rungs) < 2:
        finding = draft(ANALYSIS, evidence, found, _few(found), standing, note=reason, n=len(found.rungs))
        return Claim(finding, None)
    weights = found.over_training(change_weights(found.tokens[found.rungs]))
    gap, base = found.contrast(weights, -weights), found.contrast(weights * 0, weights)
    delta = smallest_effect(ANALYSIS, evidence, found)
    conditions = {
        f"The base is flat within {delta:.2f}": tost(base, delta),
        "The gap grows without any one checkpoint": _without_any(found),
        "Tuning the untrained weights does worse": _ahead_of_untrained(found),
    }
    told = " ".join(f"{what}: {chances(p)}." for what, p in conditions.items() if p is not None)
    note = limits(evidence, found, reason, best.note, told)
    finding = draft(ANALYSIS, evidence, found, _sentence(found, gap, base), standing, note=note, n=len(found.rungs))
    return Claim(finding, gap, p=max(gap.p_two_sided(), *(p for p in conditions.values() if p is not None)))


def _standing(evidence: Evidence, found: Ladder, best: BestReadout) -> Standing:
    standing, reason = trend_state(evidence, found)
    if standing == "measured" and best.constant:
        return "degenerate", "However it is asked, a base gives one answer to nearly everything: that is not flat."
    if standing == "measured" and np.ptp(found.base[found.rungs]) == 0:
        return "degenerate", "The base scores the same on every example at every checkpoint: that is not flat."
    return tuned_state(found) if standing == "measured" else (standing, reason)


def _without_any(found: Ladder) -> float | None:
    """The largest p value of the gap's growth when each checkpoint in turn is left out; None below four."""
    if len(found.rungs) < MIN_CHECKPOINTS:
        return None
    weights = [found.over_training(one) for one in without_each(found.tokens[found.rungs])]
    return max(_surely_above(found.contrast(w, -w)) for w in weights)


def _ahead_of_untrained(found: Ladder) -> float | None:
    """P value of the last tuned checkpoint being no better than the untrained weights tuned alike, where they were."""
    if found.tokens[0] > 0:
        return None
    return _surely_above(found.contrast(found.at(-1) - found.at(0), found.at(0) * 0))


def _surely_above(estimate: Estimate) -> float:
    """P value at the level of a two-sided interval: below .05 exactly where the 95 % interval lies above 0."""
    return min(2 * estimate.p_above(), 1.0)


def _few(found: Ladder) -> str:
    seen = counted(len(found.steps), "checkpoint")
    return f"With {seen} nothing can be said of what pre-training builds for {found.lesson}."


def _sentence(found: Ladder, gap: Estimate, base: Estimate) -> str:
    first, last = found.rungs[0], -1
    return (
        f"In this pre-training run {found.called} goes, once tuned{found.by}, "
        f"{found.went(found.tuned[first], found.tuned[last])}, while the base, as far as these readouts elicit it, "
        f"goes {found.went(found.base[first], found.base[last])}: over the observed log {found.unit} the gap grows by "
        f"{reading(gap)}, the base by {reading(base)}."
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
