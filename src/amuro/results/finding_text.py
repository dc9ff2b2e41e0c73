"""Parts that analyses share: evidence status, ids, sentences, caveats and figure points of a finding."""

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
"""Fewest example clusters of a set from which a claim is made."""
NO_HOME = "No tuned model was evaluated on the task that it was tuned on."
Points = tuple[Mapping[str, Any], ...]
EvidenceStatus = tuple[EvidenceState, str]
"""Evidence state and its reason in words (empty where measured)."""


def smallest_effect(analysis: Analysis, evidence: Evidence, trajectory: Trajectory) -> float:
    """Returns δ on the metric's scale: δ · (1 − chance), or δ itself where the metric has no range or no chance."""
    delta = evidence.delta.get(analysis.name, analysis.delta)
    return delta * (1 - trajectory.floor) if trajectory.facts.share and not math.isnan(trajectory.floor) else delta


def identifier(analysis: Analysis, evidence: Evidence, trajectory: Trajectory) -> str:
    """Returns the id ANALYSIS.TASK, with split, recipe and series appended where they are needed to make it unique."""
    parts = [analysis.name, trajectory.task]
    parts += [trajectory.split] if trajectory.split != "test" else []
    parts += [trajectory.tuning.recipe] if trajectory.tuning.recipe != trajectory.task else []
    parts += [trajectory.tuning.series] if len(trajectory.matrix.all("series")) > 1 else []
    return ".".join(parts).lower()


def missing(evidence: Evidence, task: str, split: str) -> int:
    """Returns the number of planned cells on one evaluation set that are not done."""
    if evidence.planned.is_empty():
        return 0
    here = pl.col("cell").str.contains(f"|{task}/{split}|", literal=True)
    return evidence.planned.filter(here & ~pl.col("done")).height


def evidence_status(trajectory: Trajectory) -> EvidenceStatus:
    """Returns the evidence state of a comparison at one checkpoint, and its reason in words."""
    if trajectory.mixed:
        return "mixed", trajectory.mixed
    if any(score_row["majority"] == 1 for score_row in trajectory.score_rows):
        return "degenerate", f"Every row of {trajectory.name} has the same right answer."
    if math.isnan(trajectory.floor):
        return "insufficient", f"The chance score of {trajectory.metric} on {trajectory.name} is not known."
    if trajectory.source.groups < MIN_CLUSTERS:
        return "insufficient", f"{trajectory.source.groups} clusters of examples; a claim needs {MIN_CLUSTERS}."
    return "measured", ""


def tuned_status(trajectory: Trajectory) -> EvidenceStatus:
    """Returns `evidence_status`, or *degenerate* where the tuned model gives nearly always the same answer."""
    status, reason = evidence_status(trajectory)
    if status == "measured" and trajectory.constant:
        return "degenerate", "The tuned model gives the same answer to nearly every question."
    return status, reason


def trend_status(evidence: Evidence, trajectory: Trajectory) -> EvidenceStatus:
    """Returns the evidence state of a trend over checkpoints, and its reason in words.

    A trend needs `MIN_CHECKPOINTS` trained checkpoints of one learning-rate state, two of them with several seeds.
    """
    if len(trajectory.trained) < MIN_CHECKPOINTS:
        trained = counted(len(trajectory.trained), "trained checkpoint")
        return "insufficient", f"{trained} of a known step; a trend needs {MIN_CHECKPOINTS}."
    if len(trajectory.replicated) < 2:
        return "insufficient", "A trend needs several tuning seeds at two checkpoints or more."
    if mixed := schedule(evidence, trained_rows(trajectory)).mixed:
        return "mixed", mixed
    return evidence_status(trajectory)


def nothing_to_lose(analysis: Analysis, evidence: Evidence, trajectory: Trajectory) -> str:
    """Returns why nothing can be forgotten (the latest base does not clear chance by δ); empty where it does."""
    if not trajectory.facts.share:
        return ""
    if math.isnan(trajectory.floor):
        return evidence_status(trajectory)[1]
    low, _ = clustered_mean(trajectory.base[-1], trajectory.clusters).interval()
    least = trajectory.floor + smallest_effect(analysis, evidence, trajectory)
    if low > trajectory.floor and trajectory.base[-1].mean() >= least:
        return ""
    return f"The base does not clear chance on {trajectory.name}: so there is nothing to forget."


def effect_text(estimate: Quantity) -> str:
    """Returns an effect as words: `+0.51, 95 % interval 0.46 to 0.56`."""
    low, high = estimate.interval()
    return f"{estimate.value:+.2f}, 95 % interval {low:.2f} to {high:.2f}"


def counted(number: int, thing: str) -> str:
    """Returns a number with its noun: `1 checkpoint`, `5 checkpoints`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def chances(p: float) -> str:
    """Returns a p value as words: `p = 0.013`, or `p < 0.001`."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def caveats(evidence: Evidence, trajectory: Trajectory, *further: str, tuned: bool = True) -> str:
    """Returns the caveats of a finding: `further`, seed noise (if `tuned`), missing cells, examples left out."""
    noise, holes, dropped = trajectory.noise, missing(evidence, trajectory.task, trajectory.split), trajectory.dropped
    parts = [
        *further,
        (_of_runs(noise) if tuned else ""),
        f"Missing: {counted(holes, 'planned cell')} on {trajectory.name}." if holes else "",
        f"Left out: {counted(dropped, 'example')} that some cell lacks." if dropped else "",
    ]
    return " ".join(part for part in parts if part)


def caveats_of(evidence: Evidence, trajectories: Sequence[Trajectory], *further: str) -> str:
    """Returns the caveats of a claim over several trajectories; see `caveats`."""
    lone = sum(trajectory.noise is None for trajectory in trajectories)
    holes = sum(missing(evidence, *name.split("/", 1)) for name in {trajectory.name for trajectory in trajectories})
    compared = counted(len(trajectories), "comparison")
    dropped = max(trajectory.dropped for trajectory in trajectories)
    runs = f"One tuning seed and no replicate in {lone} of {compared}: this holds for these weights only."
    parts = [
        *further,
        runs if lone else _of_runs(trajectories[0].noise),
        f"Missing: {counted(holes, 'planned cell')} on these sets." if holes else "",
        f"Left out: {counted(dropped, 'example')} of a set that some cell lacks." if dropped else "",
    ]
    return " ".join(part for part in parts if part)


def _of_runs(noise: RunNoise | None) -> str:
    """Returns the sentence on where the variance between tuning seeds comes from."""
    if noise is None:
        return "One tuning seed and no replicate: this holds for these weights only."
    others = f", shrunk towards that of {counted(noise.units - 1, 'other comparison')}" if noise.units > 1 else ""
    return f"Tuning noise comes from replicated seeds{others} ({noise.df:g} degrees of freedom)."


def point(line: str, estimate: Quantity, **where: Any) -> Mapping[str, Any]:
    """Returns one point of a figure with its 95 % interval."""
    low, high = estimate.interval()
    return {"line": line, **where, "value": estimate.value, "low": low, "high": high}


def score_point(trajectory: Trajectory, line: str, estimate: Quantity, **where: Any) -> Mapping[str, Any]:
    """Returns a figure point that is a score, on the metric's own scale, with the chance level."""
    to_metric = trajectory.facts.oriented
    low, high = sorted(map(to_metric, estimate.interval()))
    return {
        "line": line,
        **where,
        "chance": trajectory.chance,
        "value": to_metric(estimate.value),
        "low": low,
        "high": high,
    }


def base_and_tuned(trajectory: Trajectory) -> Points:
    """Returns the scores of the base and the tuned model at each checkpoint, as figure points."""
    marks = []
    for t, (step, tokens) in enumerate(zip(trajectory.steps.tolist(), trajectory.tokens.tolist(), strict=True)):
        here, zero = trajectory.at(t), trajectory.at(t) * 0
        where = trajectory.place(step, tokens)
        marks.append(score_point(trajectory, "base", trajectory.contrast(zero, here), **where))
        marks.append(
            score_point(trajectory, f"tuned on {trajectory.training_words}", trajectory.contrast(here, zero), **where)
        )
    return tuple(marks)


def gained(evidence: Evidence, trajectory: Trajectory) -> tuple[Estimate, str, EvidenceState, str]:
    """Estimates the change by tuning on one evaluation set at the latest checkpoint.

    Returns (estimate, sentence, evidence state, reason of that state).
    """
    last = trajectory.at(-1)
    estimate = trajectory.contrast(last, -last)
    sentence = (
        f"Tuning {checkpoint_words(int(trajectory.steps[-1]))} on {trajectory.training_words} changes "
        f"{trajectory.metric} on {trajectory.name} {trajectory.from_to(trajectory.base[-1], trajectory.tuned[-1])} "
        f"({effect_text(estimate)})."
    )
    status, reason = tuned_status(trajectory)
    return estimate, sentence, status, reason


def blank(analysis: Analysis, evidence: Evidence, statement: str, status: EvidenceState, **further: Any) -> Finding:
    """Returns a finding without numbers and verdict (`decide_verdicts` adds them); `further` are its fields."""
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
    trajectory: Trajectory,
    statement: str,
    status: EvidenceState,
    *,
    detail: str = "",
    **further: Any,
) -> Finding:
    """Returns a draft finding about one trajectory.

    `detail` is appended to its id; `further` are fields of `Finding` that replace the usual ones.
    """
    usual = {
        "n": trajectory.source.groups,
        "delta": smallest_effect(analysis, evidence, trajectory),
        "points": base_and_tuned(trajectory),
        "cells": trajectory.cells,
    }
    return blank(
        analysis,
        evidence,
        statement,
        status,
        id=".".join([identifier(analysis, evidence, trajectory), *filter(None, [detail])]),
        series=trajectory.tuning.series,
        task=trajectory.task,
        **{**usual, **further},
    )
