"""How a finding is worded and drawn: ids, numbers in sentences, limits, points of a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from amuro.core.types import EvidenceState, Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.saturation import schedule, trained_rows
from amuro.results.stats.clustered import clustered_mean
from amuro.results.stats.estimate import Estimate, Quantity
from amuro.results.stats.runs import RunNoise
from amuro.results.trajectory import MIN_CHECKPOINTS, Trajectory
from amuro.series.base import checkpoint_words

MIN_CLUSTERS = 50
"""A set on which a claim rests has at least this many clusters."""
NO_HOME = "No tuned model was asked on the task that it was tuned on."
Points = tuple[Mapping[str, Any], ...]
EvidenceStatus = tuple[EvidenceState, str]
"""Evidence state and its reason in words (empty where measured)."""


def smallest_effect(analysis: Analysis, evidence: Evidence, found: Trajectory) -> float:
    """δ on the scale of the metric: a share of the way from chance to perfect; as it is where there is no such way."""
    delta = evidence.delta.get(analysis.name, analysis.delta)
    return delta * (1 - found.floor) if found.facts.share and not math.isnan(found.floor) else delta


def identifier(analysis: Analysis, evidence: Evidence, found: Trajectory) -> str:
    """ANALYSIS.TASK and whatever else tells this finding from its sisters in the study."""
    parts = [analysis.name, found.task]
    parts += [found.split] if found.split != "test" else []
    parts += [found.tuning.recipe] if found.tuning.recipe != found.task else []
    parts += [found.tuning.series] if len(found.whole.all("series")) > 1 else []
    return ".".join(parts).lower()


def missing(evidence: Evidence, task: str, split: str) -> int:
    """How many planned cells on one evaluation set are not done."""
    if evidence.planned.is_empty():
        return 0
    here = pl.col("cell").str.contains(f"|{task}/{split}|", literal=True)
    return evidence.planned.filter(here & ~pl.col("done")).height


def evidence_status(found: Trajectory) -> EvidenceStatus:
    """Evidence state of a comparison at one checkpoint, and the reason in words."""
    if found.mixed:
        return "mixed", found.mixed
    if any(score_row["majority"] == 1 for score_row in found.score_rows):
        return "degenerate", f"Every row of {found.name} has the same right answer."
    if math.isnan(found.floor):
        return "insufficient", f"What guesses score on {found.name} under {found.metric} is not known."
    if found.source.groups < MIN_CLUSTERS:
        return "insufficient", f"{found.source.groups} clusters of examples; a claim needs {MIN_CLUSTERS}."
    return "measured", ""


def tuned_status(found: Trajectory) -> EvidenceStatus:
    """`evidence_status`, where a tuned model that gives one answer to everything has learned nothing."""
    status, reason = evidence_status(found)
    if status == "measured" and found.constant:
        return "degenerate", "The tuned model gives the same answer to nearly every question."
    return status, reason


def trend_status(evidence: Evidence, found: Trajectory) -> EvidenceStatus:
    """Evidence state of a trend over checkpoints: it needs checkpoints of one curve, and seeds at two of them."""
    if len(found.trained) < MIN_CHECKPOINTS:
        return (
            "insufficient",
            f"{counted(len(found.trained), 'trained checkpoint')} of a known step; a trend needs {MIN_CHECKPOINTS}.",
        )
    if len(found.replicated) < 2:
        return "insufficient", "A trend needs several tuning seeds at two checkpoints or more."
    if mixed := schedule(evidence, trained_rows(found)).mixed:
        return "mixed", mixed
    return evidence_status(found)


def nothing_to_lose(analysis: Analysis, evidence: Evidence, found: Trajectory) -> str:
    """Why nothing can be forgotten: the latest base does not clear chance by δ. Empty where it does."""
    if not found.facts.share:
        return ""
    if math.isnan(found.floor):
        return evidence_status(found)[1]
    low, _ = clustered_mean(found.base[-1], found.clusters).interval()
    least = found.floor + smallest_effect(analysis, evidence, found)
    if low > found.floor and found.base[-1].mean() >= least:
        return ""
    return f"The base does not clear chance on {found.name}: what is not there cannot be forgotten."


def effect_text(estimate: Quantity) -> str:
    """An effect in a sentence: `+0.51, 95 % interval 0.46 to 0.56`."""
    low, high = estimate.interval()
    return f"{estimate.value:+.2f}, 95 % interval {low:.2f} to {high:.2f}"


def counted(number: int, thing: str) -> str:
    """`1 checkpoint`, `5 checkpoints`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def chances(p: float) -> str:
    """A p value in a sentence: `p = 0.013`, or `p < 0.001`."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def caveats(evidence: Evidence, found: Trajectory, *further: str, tuned: bool = True) -> str:
    """What a reader must know of a finding's reach: run noise (unless only bases are judged), holes, rows left out."""
    noise, holes, dropped = found.noise, missing(evidence, found.task, found.split), found.dropped
    parts = [
        *further,
        (_of_runs(noise) if tuned else ""),
        f"Missing: {counted(holes, 'planned cell')} on {found.name}." if holes else "",
        f"Left out: {counted(dropped, 'example')} that some cell lacks." if dropped else "",
    ]
    return " ".join(part for part in parts if part)


def caveats_of(evidence: Evidence, every: Sequence[Trajectory], *further: str) -> str:
    """`limits` of a claim that stands on several trajectories."""
    lone = sum(found.noise is None for found in every)
    holes = sum(missing(evidence, *name.split("/", 1)) for name in {found.name for found in every})
    runs = f"One tuning seed and no replicate in {lone} of {counted(len(every), 'comparison')}: of these weights alone."
    parts = [
        *further,
        runs if lone else _of_runs(every[0].noise),
        f"Missing: {counted(holes, 'planned cell')} on these sets." if holes else "",
        f"Left out: {counted(max(found.dropped for found in every), 'example')} of a set that some cell lacks."
        if any(found.dropped for found in every)
        else "",
    ]
    return " ".join(part for part in parts if part)


def _of_runs(noise: RunNoise | None) -> str:
    if noise is None:
        return "One tuning seed and no replicate: this holds for these weights."
    beside = f", drawn towards that of {counted(noise.units - 1, 'comparison')} beside it" if noise.units > 1 else ""
    return f"Tuning noise comes from replicated seeds{beside} ({noise.df:g} degrees of freedom)."


def point(line: str, estimate: Quantity, **where: Any) -> Mapping[str, Any]:
    """One mark of a figure with its 95 % interval."""
    low, high = estimate.interval()
    return {"line": line, **where, "value": estimate.value, "low": low, "high": high}


def score_point(found: Trajectory, line: str, estimate: Quantity, **where: Any) -> Mapping[str, Any]:
    """A mark that is a score, as the metric has it, with the chance line."""
    shown = found.facts.oriented
    low, high = sorted(map(shown, estimate.interval()))
    return {"line": line, **where, "chance": found.chance, "value": shown(estimate.value), "low": low, "high": high}


def base_and_tuned(found: Trajectory) -> Points:
    """Scores of the base and the tuned model at each checkpoint, with the chance line."""
    marks = []
    for t, (step, tokens) in enumerate(zip(found.steps.tolist(), found.tokens.tolist(), strict=True)):
        at, nowhere = found.at(t), found.at(t) * 0
        where = found.place(step, tokens)
        marks.append(score_point(found, "base", found.contrast(nowhere, at), **where))
        marks.append(score_point(found, f"tuned on {found.training_words}", found.contrast(at, nowhere), **where))
    return tuple(marks)


def gained(evidence: Evidence, found: Trajectory) -> tuple[Estimate, str, EvidenceState, str]:
    """What tuning does to one evaluation set at the latest checkpoint: estimate, sentence, evidence state, reason."""
    last = found.at(-1)
    estimate = found.contrast(last, -last)
    sentence = (
        f"Tuning {checkpoint_words(int(found.steps[-1]))} on {found.training_words} takes {found.metric} "
        f"on {found.name} {found.from_to(found.base[-1], found.tuned[-1])} ({effect_text(estimate)})."
    )
    status, reason = tuned_status(found)
    return estimate, sentence, status, reason


def blank(analysis: Analysis, evidence: Evidence, statement: str, status: EvidenceState, **further: Any) -> Finding:
    """A finding still without numbers and verdict (`verdicts.settle` adds both); `further` are fields of `Finding`."""
    usual = {
        "id": f"{analysis.name}.none",
        "n": 0,
        "unit": analysis.unit,
        "delta": evidence.delta.get(analysis.name, analysis.delta),
        "series": "",
        "cells": (),
    }
    return Finding(
        analysis=analysis.name,
        statement=statement,
        verdict="open",
        evidence=status,
        effect=None,
        low=None,
        high=None,
        family=f"{analysis.family} in {evidence.study}",
        p_adjusted=None,
        **{**usual, **further},
    )


def draft_finding(
    analysis: Analysis,
    evidence: Evidence,
    found: Trajectory,
    statement: str,
    status: EvidenceState,
    *,
    detail: str = "",
    **further: Any,
) -> Finding:
    """A finding about one trajectory; `detail` ends its id, `further` are fields of `Finding` other than the usual."""
    usual = {
        "n": found.source.groups,
        "delta": smallest_effect(analysis, evidence, found),
        "points": base_and_tuned(found),
        "cells": found.cells,
    }
    return blank(
        analysis,
        evidence,
        statement,
        status,
        id=".".join([identifier(analysis, evidence, found), *filter(None, [detail])]),
        series=found.tuning.series,
        task=found.task,
        **{**usual, **further},
    )
