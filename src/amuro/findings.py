"""How a finding is worded and drawn: ids, numbers in sentences, limits, points of a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.analysis import Analysis, Evidence
from amuro.panels import Ladder, constant, missing, state
from amuro.stats.estimate import Estimate
from amuro.types import EvidenceState, Finding

Points = tuple[Mapping[str, Any], ...]
Standing = tuple[EvidenceState, str]
"""Evidence state and its reason in words (empty where measured)."""


def smallest_effect(analysis: Analysis, evidence: Evidence, task: str, metric: str) -> float:
    """δ on the scale of the metric: a share of the way from chance to perfect; as it is for bits per byte."""
    delta = evidence.delta.get(analysis.name, analysis.delta)
    chance = evidence.tasks[task].chance or 0.0
    return delta if metric == "bits_per_byte" else delta * (1 - chance)


def identifier(analysis: Analysis, evidence: Evidence, found: Ladder) -> str:
    """ANALYSIS.TASK and whatever else tells this finding from its sisters in the study."""
    parts = [analysis.name, found.task]
    parts += [found.split] if found.split != "test" else []
    parts += [found.tuned_on] if found.tuned_on != found.task else []
    parts += [found.recipe] if found.recipe != found.tuned_on else []
    parts += [found.series] if evidence.items["series"].n_unique() > 1 else []
    return ".".join(parts).lower()


def reading(estimate: Estimate) -> str:
    """An effect in a sentence: `+0.51, 95 % interval 0.46 to 0.56`."""
    low, high = estimate.interval()
    return f"{estimate.value:+.2f}, 95 % interval {low:.2f} to {high:.2f}"


def limits(evidence: Evidence, found: Ladder, *further: str) -> str:
    """What a reader must know of a finding's reach: run noise, holes, rows left out."""
    noise, holes, dropped = found.noise, missing(evidence, found.task, found.split), found.source.dropped
    parts = [
        *further,
        f"Tuning noise comes from replicated seeds ({noise.df} degrees of freedom)."
        if noise
        else "One tuning seed and no replicate: this holds for these weights.",
        f"{holes} planned cells on {found.name} are missing." if holes else "",
        f"{dropped} examples that some cell lacks are left out." if dropped else "",
    ]
    return " ".join(part for part in parts if part)


def point(line: str, estimate: Estimate, **where: Any) -> Mapping[str, Any]:
    """One mark of a figure with its 95 % interval."""
    low, high = estimate.interval()
    return {"line": line, **where, "value": estimate.value, "low": low, "high": high}


def base_and_tuned(evidence: Evidence, found: Ladder) -> Points:
    """Scores of the base and the tuned model at each checkpoint, with the chance line."""
    marks = []
    for t, (step, tokens) in enumerate(zip(found.steps.tolist(), found.tokens.tolist(), strict=True)):
        at, nowhere = found.at(t), found.at(t) * 0
        where = {"tokens": tokens, "step": step, "chance": evidence.tasks[found.task].chance}
        marks.append(point("base", found.contrast(nowhere, at), **where))
        marks.append(point(f"tuned on {found.tuned_on}", found.contrast(at, nowhere), **where))
    return tuple(marks)


def gained(evidence: Evidence, found: Ladder) -> tuple[Estimate, str, EvidenceState, str]:
    """What tuning does to one evaluation set at the latest checkpoint: estimate, sentence, evidence state, reason."""
    last = found.at(-1) * found.sign
    estimate = found.contrast(last, -last)
    sentence = (
        f"Tuning the checkpoint at step {found.steps[-1]} on {found.tuned_on} takes {found.metric} on {found.name} "
        f"from {found.base[-1].mean():.2f} to {found.tuned[-1].mean():.2f} ({reading(estimate)})."
    )
    standing, reason = state(evidence, found)
    if standing == "measured" and constant(evidence, found.latest_tuned, found.metric):
        standing, reason = "degenerate", "The tuned model gives the same answer to nearly every question."
    return estimate, sentence, standing, reason


def draft(
    analysis: Analysis,
    evidence: Evidence,
    found: Ladder,
    statement: str,
    standing: EvidenceState,
    *,
    note: str,
    points: Points | None = None,
    n: int | None = None,
) -> Finding:
    """A finding about one ladder, still without numbers and verdict (`verdicts.settle` adds both)."""
    return Finding(
        id=identifier(analysis, evidence, found),
        analysis=analysis.name,
        statement=statement,
        verdict="open",
        evidence=standing,
        effect=None,
        low=None,
        high=None,
        n=found.source.groups if n is None else n,
        unit=analysis.unit,
        delta=smallest_effect(analysis, evidence, found.task, found.metric),
        family=f"{analysis.family} in {evidence.study}",
        p_adjusted=None,
        series=found.series,
        cells=found.cells,
        note=note,
        task=found.task,
        points=base_and_tuned(evidence, found) if points is None else points,
    )


def nothing(
    analysis: Analysis, evidence: Evidence, why: str, standing: EvidenceState = "not run", points: Points = ()
) -> Finding:
    """The finding of an analysis that has nothing to judge."""
    return Finding(
        id=f"{analysis.name}.none",
        analysis=analysis.name,
        statement=why,
        verdict="open",
        evidence=standing,
        effect=None,
        low=None,
        high=None,
        n=0,
        unit=analysis.unit,
        delta=evidence.delta.get(analysis.name, analysis.delta),
        family=f"{analysis.family} in {evidence.study}",
        p_adjusted=None,
        series="",
        cells=(),
        points=points,
    )
