"""What does pre-training teach in the open, what does tuning teach, what both, what neither?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from amuro.analysis import Analysis, Evidence
from amuro.findings import (
    NO_HOME,
    Standing,
    blank,
    counted,
    draft,
    limits,
    reading,
    smallest_effect,
    trend_state,
    tuned_state,
)
from amuro.ladders import Ladder, ladders, longest
from amuro.readouts import BestReadout, best_readout
from amuro.stats.clustered import clustered_mean
from amuro.stats.estimate import Estimate
from amuro.stats.trend import change_weights
from amuro.types import Finding, Verdict
from amuro.verdicts import Claim, settle

WHEN: dict[tuple[Verdict, Verdict], str] = {
    ("supported", "supported"): "both in pre-training and by tuning",
    ("supported", "refuted"): "in pre-training only",
    ("refuted", "supported"): "by tuning only",
    ("refuted", "refuted"): "neither in pre-training nor by tuning",
}
"""(verdict on the base's rise, verdict on what tuning adds) → where the task was learned."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Two findings a tuned task: the base's rise in pre-training, and what tuning adds to it."""
    claims = [claim for found in longest(ladders(evidence, ["in_domain"])) for claim in _claims(evidence, found)]
    findings = settle(claims)
    if not findings:
        return [blank(ANALYSIS, evidence, NO_HOME, "not run")]
    return [one for pair in zip(findings[::2], findings[1::2], strict=True) for one in _classed(*pair)]


def _classed(rise: Finding, added: Finding) -> tuple[Finding, Finding]:
    """Both findings of a task, the first saying where the task was learned if both verdicts are in."""
    where = WHEN.get((rise.verdict, added.verdict))
    said = f"{rise.task} is learned {where}. " if where else ""
    return replace(rise, statement=said + rise.statement), added


def _claims(evidence: Evidence, found: Ladder) -> tuple[Claim, Claim]:
    best = best_readout(evidence, found)
    found = best.ladder
    return _rise(evidence, found, best), _added(evidence, found, best)


def _rise(evidence: Evidence, found: Ladder, best: BestReadout) -> Claim:
    standing, reason = _standing(evidence, found, best)
    if len(found.rungs) < 2:
        sentence = f"With {counted(len(found.steps), 'checkpoint')} nothing can be said of how {found.task} is learned."
        note = limits(evidence, found, reason, best.note, tuned=False)
        finding = draft(ANALYSIS, evidence, found, sentence, standing, detail="rise", n=len(found.rungs), note=note)
        return Claim(finding, None)
    change, delta = rise(found), smallest_effect(ANALYSIS, evidence, found)
    if standing == "measured" and change.interval()[1] < delta and _there_from_the_start(found, delta):
        standing, reason = "insufficient", "The base can do it at the first trained checkpoint: its rise was not seen."
    before = _before_last(found)
    early = before.interval()[0] > 0 and before.value >= delta
    doubt = "" if early else "Without the last checkpoint the base does not surely rise."
    note = limits(evidence, found, reason, best.note, doubt, tuned=False)
    sentence = _sentence(found, best, change)
    finding = draft(ANALYSIS, evidence, found, sentence, standing, detail="rise", n=len(found.rungs), note=note)
    return Claim(finding, change, max(change.p_two_sided(), before.p_two_sided()), holds=early)


def _sentence(found: Ladder, best: BestReadout, change: Estimate) -> str:
    return (
        f"In this pre-training run the base, asked in its best way ({best.names[-1]} at the end), goes on {found.task} "
        f"{found.went(found.base[found.rungs[0]], found.base[-1])}: {reading(change)} over the observed log "
        f"{found.unit}."
    )


def rise(found: Ladder) -> Estimate:
    """Change of the base over the span of log tokens, in this pre-training run: its checkpoints are what they are."""
    weights = found.over_training(change_weights(found.tokens[found.rungs]))
    return found.contrast(weights * 0, weights)


def _before_last(found: Ladder) -> Estimate:
    """What the base has gained by the last checkpoint but one: an annealed or lucky end alone makes no rise."""
    start = found.at(0) if found.tokens[0] == 0 else found.at(int(found.rungs[0]))
    return found.contrast(start * 0, found.at(-2) - start)


def _there_from_the_start(found: Ladder, delta: float) -> bool:
    at_first = clustered_mean(found.base[found.rungs[0]], found.clusters)
    return found.facts.share and at_first.interval()[0] > found.floor + delta


def _standing(evidence: Evidence, found: Ladder, best: BestReadout) -> Standing:
    standing, reason = trend_state(evidence, found)
    if standing == "measured" and best.constant:
        return "degenerate", "However it is asked, a base gives one answer to nearly everything."
    return standing, reason


def _added(evidence: Evidence, found: Ladder, best: BestReadout) -> Claim:
    """What tuning adds to the best-asked base, on average over the trained checkpoints."""
    used = found.rungs if len(found.rungs) else np.arange(len(found.steps))
    weights = np.isin(np.arange(len(found.steps)), used) / len(used)
    gain = found.contrast(weights, -weights)
    standing, reason = tuned_state(found)
    sentence = (
        f"Tuning on {found.tuning.tuned_on} adds {reading(gain)} to the best-asked base on {found.name}, on average "
        f"over {counted(len(used), 'checkpoint')}."
    )
    note = limits(evidence, found, reason, best.note)
    finding = draft(ANALYSIS, evidence, found, sentence, standing, detail="tuning", n=len(used), note=note)
    return Claim(finding, gain)


ANALYSIS = Analysis(
    name="learned_in_pretraining",
    question="What is learned in pre-training, by tuning only, in both ways, or in neither?",
    family="learned in pre-training",
    delta=0.2,
    unit="checkpoints",
    formula="slope over log tokens × span of the best-asked base > 0, seen before the last checkpoint; and mean over "
    "checkpoints of (tuned − best-asked base) > 0; each against δ",
    source="Sun & Dredze 2024, findings 3 and 4; clustered paired standard errors of Miller, arXiv 2411.00640",
    run=run,
)
