"""C1b: does fine-tuning forget other domains of the same family?"""

from __future__ import annotations

import numpy as np
import polars as pl

from amuro.core.types import EvidenceState, Finding
from amuro.paper.changes import asked, merged
from amuro.paper.claims.in_domain import equal_weights
from amuro.paper.replicate_noise import curve, in_words, run_noise, weighted
from amuro.paper.text import (
    DELTA,
    cannot_lose,
    cells_of,
    draft_finding,
    left_out,
    names,
    note,
    plain,
    reading,
    sound,
    tasks_of,
)
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.replicates import Pooled
from amuro.results.verdicts import Claim, decide_verdicts

MIN_MODELS = 2
"""Fewest tuned models for a statement about domains in general."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding over all sets that could show a loss, and one per family."""
    rows = plain(asked(evidence.scores).filter(pl.col("role") == "out_of_domain"))
    if rows.is_empty():
        nothing = "No tuned model was evaluated on an out-of-domain set."
        return decide_verdicts([Claim(draft_finding(ANALYSIS, evidence.study, nothing, "not run"), None)])
    noise = run_noise(sound(rows))
    families = rows["family"].unique().sort()
    by_family = [_family(evidence.study, rows.filter(pl.col("family") == family), family, noise) for family in families]
    return decide_verdicts([_overall(evidence.study, rows, noise), *by_family])


def _overall(study: str, rows: pl.DataFrame, noise: Pooled | None) -> Claim:
    fit = sound(rows)
    useless = cannot_lose(merged(fit))
    able = merged(fit.filter(~pl.col("task").is_in(useless)))
    caveats = (left_out(rows), _floor(useless), in_words(noise))
    if able.is_empty():
        nothing = "No out-of-domain set of this table could show a loss."
        return Claim(draft_finding(ANALYSIS, study, nothing, "degenerate", note=note(*caveats)), None)
    estimate, models = _loss(able, noise), able["tuned_on"].n_unique()
    state: EvidenceState = "measured" if models >= MIN_MODELS else "insufficient"
    few = "" if state == "measured" else f"Sets of one tuned model; a claim about domains needs {MIN_MODELS}."
    statement = (
        f"Of {rows['task'].n_unique()} out-of-domain sets, {able['task'].n_unique()} could show a loss "
        f"({names(tasks_of(able))}); there the mean loss is {reading(estimate)}."
    )
    finding = draft_finding(
        ANALYSIS, study, statement, state, n=able["task"].n_unique(), note=note(few, *caveats), cells=cells_of(able),
        series=able["series"][0], points=tuple(curve(able, noise, "task")),
    )  # fmt: skip
    return Claim(finding, estimate)


def _family(study: str, rows: pl.DataFrame, family: str, noise: Pooled | None) -> Claim:
    """Returns the claim on one family, or the reason why its sets cannot show a loss."""
    fit, asked_sets = merged(sound(rows)), names(tasks_of(rows))
    common = {"detail": family.replace(" ", "_"), "cells": cells_of(merged(rows)), "series": rows["series"][0]}
    if fit.is_empty():
        state: EvidenceState = "degenerate" if rows["constant_gold"].all() else "insufficient"
        statement = f"On {asked_sets} the table cannot show a loss by tuning."
        return Claim(draft_finding(ANALYSIS, study, statement, state, note=note(left_out(rows)), **common), None)
    estimate, useless = _loss(fit, noise), cannot_lose(fit)
    mean_changes = fit.group_by("task", maintain_order=True).agg(pl.col("change").mean()).sort("task").rows()
    changes_named = ", ".join(f"{names([task])} {change:+.3f}" for task, change in mean_changes)
    state = "insufficient" if set(useless) == set(fit["task"]) else "measured"
    statement = f"On {family} sets ({asked_sets}) the mean loss is {reading(estimate)}; changes: {changes_named}."
    finding = draft_finding(
        ANALYSIS, study, statement, state, n=fit["task"].n_unique(), points=tuple(curve(fit, noise, "task")),
        note=note(left_out(rows), _floor(useless), _dead(fit), in_words(noise)), **common,
    )  # fmt: skip
    return Claim(finding, estimate)


def _loss(rows: pl.DataFrame, noise: Pooled | None) -> Estimate:
    """Estimates the mean of (base − tuned)."""
    return weighted(rows, [-w for w in equal_weights(rows)], noise)


def _floor(useless: list[str]) -> str:
    """Returns the sentence on sets with nothing to lose; empty without any."""
    if not useless:
        return ""
    return f"Nothing to lose: the base of {names(useless)} is less than {DELTA:g} above the best constant answer."


def _dead(rows: pl.DataFrame) -> str:
    """Returns the sentence on sets with an answer that is never right; empty without any."""
    dead = rows.filter(pl.col("dead_label").is_not_null())
    return f"On {names(tasks_of(dead))} an answer is offered that is never right." if dead.height else ""


ANALYSIS = Analysis(
    name="C1b",
    question="C1b · Does fine-tuning forget other domains?",
    family="forgetting of domains",
    delta=DELTA,
    unit="data sets",
    formula="mean of (base − tuned) on out-of-domain sets, weights as in C1a; constant gold or prompts beyond the "
    "context are left out, a base less than δ above the best constant answer has nothing to lose",
    source="Sun & Dredze 2024, §4.2 and figures 4, 5, 11",
    run=run,
)
