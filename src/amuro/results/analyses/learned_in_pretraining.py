"""What is learned in pre-training, by tuning only, in both ways, or in neither?"""

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
from amuro.results.trajectory import Trajectory
from amuro.results.trajectory_groups import by_set, fullest, longest, trajectories
from amuro.results.verdicts import Claim, decide_verdicts

WHEN: dict[tuple[Verdict, Verdict], str] = {
    ("supported", "supported"): "both in pre-training and by tuning",
    ("supported", "refuted"): "in pre-training only",
    ("refuted", "supported"): "by tuning only",
    ("refuted", "refuted"): "neither in pre-training nor by tuning",
}
"""(verdict on the base's rise, verdict on what tuning adds) → where the task was learned."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns findings per task: the base's rise in pre-training, and what tuning by each recipe adds to it."""
    groups = by_set(longest(trajectories(evidence, ["in_domain"])))
    claims = [claim for alike in groups for claim in _claims(evidence, alike)]
    findings = iter(decide_verdicts(claims))
    classed = [f for alike in groups for f in _classed(alike, next(findings), [next(findings) for _ in alike])]
    return classed or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _classed(alike: Sequence[Trajectory], rise: Finding, added: Sequence[Finding]) -> list[Finding]:
    """Returns the findings of a task; the first states where the task is learned, if both verdicts are decided.

    Recipes are named where they disagree.
    """
    where = defaultdict(list)
    for trajectory, gain in zip(alike, added, strict=True):
        where[WHEN.get((rise.verdict, gain.verdict), "")].append(trajectory.tuning.recipe)
    named = [when + (f" ({', '.join(by)})" if len(where) > 1 else "") for when, by in where.items() if when]
    learned = f"{alike[0].called} is learned {', '.join(named)}. " if named else ""
    return [replace(rise, statement=learned + rise.statement), *added]


def _claims(evidence: Evidence, alike: Sequence[Trajectory]) -> list[Claim]:
    """Returns the claim on the base's rise, then one claim per recipe on what it adds."""
    best = {trajectory.tuning: best_prompting(evidence, trajectory) for trajectory in alike}
    return [_rise(evidence, best[fullest(alike).tuning]), *(_added(evidence, prompting) for prompting in best.values())]


def _rise(evidence: Evidence, best: BestPrompting) -> Claim:
    trajectory = best.trajectory
    status, reason = _status(evidence, trajectory, best)
    if len(trajectory.trained) < 2:
        known = counted(len(trajectory.steps), "checkpoint")
        sentence = f"With {known} nothing can be said of how {trajectory.called} is learned."
        note = caveats(evidence, trajectory, reason, best.note, tuned=False)
        finding = draft_finding(
            ANALYSIS, evidence, trajectory, sentence, status, detail="rise", n=len(trajectory.trained), note=note
        )
        return Claim(finding, None)
    change, delta = rise(trajectory), smallest_effect(ANALYSIS, evidence, trajectory)
    if status == "measured" and change.interval()[1] < delta and _there_from_the_start(trajectory, delta):
        status, reason = "insufficient", "The base can do it at the first trained checkpoint: its rise was not seen."
    before = _before_last(trajectory)
    early = before.interval()[0] > 0 and before.value >= delta
    doubt = "" if early else "Without the last checkpoint the base does not surely rise."
    note = caveats(evidence, trajectory, reason, best.note, doubt, tuned=False)
    sentence = _sentence(trajectory, best, change)
    finding = draft_finding(
        ANALYSIS, evidence, trajectory, sentence, status, detail="rise", n=len(trajectory.trained), note=note
    )
    return Claim(finding, change, max(change.p_two_sided(), before.p_two_sided()), holds=early)


def _sentence(trajectory: Trajectory, best: BestPrompting, change: Estimate) -> str:
    first_to_last = trajectory.from_to(trajectory.base[trajectory.trained[0]], trajectory.base[-1])
    return (
        f"In this pre-training run the base, with its best prompts ({best.names[-1]} at the end), changes on "
        f"{trajectory.called} {first_to_last}: {effect_text(change)} from the first to the last checkpoint "
        f"(log {trajectory.unit})."
    )


def rise(trajectory: Trajectory) -> Estimate:
    """Estimates the change of the base from the first to the last checkpoint; checkpoints are treated as fixed."""
    weights = trajectory.over_training(change_weights(trajectory.tokens[trajectory.trained]))
    return trajectory.contrast(weights * 0, weights)


def _before_last(trajectory: Trajectory) -> Estimate:
    """Estimates the base's gain up to the last checkpoint but one, since an annealed or lucky end alone is no rise."""
    start = trajectory.at(0) if trajectory.tokens[0] == 0 else trajectory.at(int(trajectory.trained[0]))
    return trajectory.contrast(start * 0, trajectory.at(-2) - start)


def _there_from_the_start(trajectory: Trajectory, delta: float) -> bool:
    at_first = clustered_mean(trajectory.base[trajectory.trained[0]], trajectory.clusters)
    return trajectory.facts.share and at_first.interval()[0] > trajectory.floor + delta


def _status(evidence: Evidence, trajectory: Trajectory, best: BestPrompting) -> EvidenceStatus:
    status, reason = trend_status(evidence, trajectory)
    if status == "measured" and best.constant:
        return "degenerate", "A base gives one answer to nearly all examples in every prompt variant."
    return status, reason


def _added(evidence: Evidence, best: BestPrompting) -> Claim:
    """Returns the claim on what tuning adds to the best-prompted base, on average over the trained checkpoints."""
    trajectory = best.trajectory
    used = trajectory.trained if len(trajectory.trained) else np.arange(len(trajectory.steps))
    weights = np.isin(np.arange(len(trajectory.steps)), used) / len(used)
    gain = trajectory.contrast(weights, -weights)
    status, reason = tuned_status(trajectory)
    sentence = (
        f"Tuning on {trajectory.training_words} adds {effect_text(gain)} to the base with its best prompts on "
        f"{trajectory.name}, on average over {counted(len(used), 'checkpoint')}."
    )
    note = caveats(evidence, trajectory, reason, best.note)
    finding = draft_finding(ANALYSIS, evidence, trajectory, sentence, status, detail="tuning", n=len(used), note=note)
    return Claim(finding, gain)


ANALYSIS = Analysis(
    name="learned_in_pretraining",
    question="What is learned in pre-training, by tuning only, in both ways, or in neither?",
    family="learned in pre-training",
    delta=0.2,
    unit="checkpoints",
    formula="slope over log tokens × span of the best-prompted base > 0, seen before the last checkpoint; and mean "
    "over checkpoints of (tuned − best-prompted base) > 0; each against δ",
    source="Sun & Dredze 2024, findings 3 and 4; clustered paired standard errors of Miller, arXiv 2411.00640",
    run=run,
)
