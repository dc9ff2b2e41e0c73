"""What does pre-training teach in the open, what does tuning teach, what both, what neither?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from amuro.core.types import Finding, Verdict
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.base_prompting import BestPrompting, best_prompting
from amuro.results.finding_text import (
    NO_HOME,
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
from amuro.results.stats.clustered import clustered_mean
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.trend import change_weights
from amuro.results.trajectory import Trajectory, by_set, fullest, longest, trajectories
from amuro.results.verdicts import Claim, decide_verdicts

WHEN: dict[tuple[Verdict, Verdict], str] = {
    ("supported", "supported"): "both in pre-training and by tuning",
    ("supported", "refuted"): "in pre-training only",
    ("refuted", "supported"): "by tuning only",
    ("refuted", "refuted"): "neither in pre-training nor by tuning",
}
"""(verdict on the base's rise, verdict on what tuning adds) → where the task was learned."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Of each task the base's rise in pre-training, and what tuning by each recipe adds to it."""
    groups = by_set(longest(trajectories(evidence, ["in_domain"])))
    claims = [claim for alike in groups for claim in _claims(evidence, alike)]
    findings = iter(decide_verdicts(claims))
    told = [one for alike in groups for one in _classed(alike, next(findings), [next(findings) for _ in alike])]
    return told or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _classed(alike: Sequence[Trajectory], rise: Finding, added: Sequence[Finding]) -> list[Finding]:
    """The findings of a task, the first saying where the task was learned if both verdicts are in.

    Recipes that say otherwise are named.
    """
    where = defaultdict(list)
    for found, one in zip(alike, added, strict=True):
        where[WHEN.get((rise.verdict, one.verdict), "")].append(found.tuning.recipe)
    named = [when + (f" ({', '.join(by)})" if len(where) > 1 else "") for when, by in where.items() if when]
    said = f"{alike[0].called} is learned {', '.join(named)}. " if named else ""
    return [replace(rise, statement=said + rise.statement), *added]


def _claims(evidence: Evidence, alike: Sequence[Trajectory]) -> list[Claim]:
    best = {one.tuning: best_prompting(evidence, one) for one in alike}
    return [_rise(evidence, best[fullest(alike).tuning]), *(_added(evidence, one) for one in best.values())]


def _rise(evidence: Evidence, best: BestPrompting) -> Claim:
    found = best.trajectory
    status, reason = _status(evidence, found, best)
    if len(found.trained) < 2:
        sentence = (
            f"With {counted(len(found.steps), 'checkpoint')} nothing can be said of how {found.called} is learned."
        )
        note = caveats(evidence, found, reason, best.note, tuned=False)
        finding = draft_finding(
            ANALYSIS, evidence, found, sentence, status, detail="rise", n=len(found.trained), note=note
        )
        return Claim(finding, None)
    change, delta = rise(found), smallest_effect(ANALYSIS, evidence, found)
    if status == "measured" and change.interval()[1] < delta and _there_from_the_start(found, delta):
        status, reason = "insufficient", "The base can do it at the first trained checkpoint: its rise was not seen."
    before = _before_last(found)
    early = before.interval()[0] > 0 and before.value >= delta
    doubt = "" if early else "Without the last checkpoint the base does not surely rise."
    note = caveats(evidence, found, reason, best.note, doubt, tuned=False)
    sentence = _sentence(found, best, change)
    finding = draft_finding(ANALYSIS, evidence, found, sentence, status, detail="rise", n=len(found.trained), note=note)
    return Claim(finding, change, max(change.p_two_sided(), before.p_two_sided()), holds=early)


def _sentence(found: Trajectory, best: BestPrompting, change: Estimate) -> str:
    return (
        f"In this pre-training run the base, asked in its best way ({best.names[-1]} at the end), goes on "
        f"{found.called} {found.from_to(found.base[found.trained[0]], found.base[-1])}: {effect_text(change)} "
        f"over the observed log {found.unit}."
    )


def rise(found: Trajectory) -> Estimate:
    """Change of the base over the span of log tokens, in this pre-training run: its checkpoints are what they are."""
    weights = found.over_training(change_weights(found.tokens[found.trained]))
    return found.contrast(weights * 0, weights)


def _before_last(found: Trajectory) -> Estimate:
    """What the base has gained by the last checkpoint but one: an annealed or lucky end alone makes no rise."""
    start = found.at(0) if found.tokens[0] == 0 else found.at(int(found.trained[0]))
    return found.contrast(start * 0, found.at(-2) - start)


def _there_from_the_start(found: Trajectory, delta: float) -> bool:
    at_first = clustered_mean(found.base[found.trained[0]], found.clusters)
    return found.facts.share and at_first.interval()[0] > found.floor + delta


def _status(evidence: Evidence, found: Trajectory, best: BestPrompting) -> EvidenceStatus:
    status, reason = trend_status(evidence, found)
    if status == "measured" and best.constant:
        return "degenerate", "However it is asked, a base gives one answer to nearly everything."
    return status, reason


def _added(evidence: Evidence, best: BestPrompting) -> Claim:
    """What tuning adds to the best-asked base, on average over the trained checkpoints."""
    found = best.trajectory
    used = found.trained if len(found.trained) else np.arange(len(found.steps))
    weights = np.isin(np.arange(len(found.steps)), used) / len(used)
    gain = found.contrast(weights, -weights)
    status, reason = tuned_status(found)
    sentence = (
        f"Tuning on {found.training_words} adds {effect_text(gain)} to the best-asked base on {found.name}, on average "
        f"over {counted(len(used), 'checkpoint')}."
    )
    note = caveats(evidence, found, reason, best.note)
    finding = draft_finding(ANALYSIS, evidence, found, sentence, status, detail="tuning", n=len(used), note=note)
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
