"""Analysis of a study: plan and store → scores, findings and flags, without models, data rows or torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from amuro.core import registry
from amuro.core.errors import DataError
from amuro.core.hashing import digest
from amuro.core.types import Finding
from amuro.results import flags, scoring
from amuro.results.analyses import load_analysis
from amuro.results.analyses.base import Analysis, Evidence
from amuro.study import audit_keys
from amuro.study.config import Study
from amuro.study.plan import Plan
from amuro.study.status import State, diverged_models, other_limits, states
from amuro.study.store import Manifest, Store

DAMAGED = "damaged and left out"
NOT_RUN = "not run"


@dataclass(frozen=True)
class Results:
    """Scores, findings and flags of one study."""

    evidence: Evidence
    analyses: tuple[Analysis, ...]
    findings: tuple[Finding, ...]
    flags: tuple[flags.Flag, ...]
    manifests: Mapping[str, Manifest]
    """Cell address → manifest of its result, for finished cells."""
    states: Sequence[State] = ()
    """State of every planned cell at the time of the analysis."""


def results(plan: Plan, store: Store) -> Results:
    """Scores every finished cell of the plan and runs every analysis. Raises `DataError` where nothing is finished."""
    cell_states = [_or_damaged(state, store) for state in states(plan, store)]
    done = {state.cell.address: state.manifest for state in cell_states if state.manifest is not None}
    if not done:
        raise DataError(f"no cell of study {plan.study.name} is finished in {store.root}", cure=_cure(plan, store))
    evidence = gathered(
        plan, *scoring.tables(store, done, plan.roles, plan.tasks, plan.checkpoints), _planned(cell_states)
    )
    signs = (
        *flags.flags(evidence.scores, evidence.items, plan.tasks),
        *_of_sets(plan, store),
        *_of_ceilings(plan, done),
        *_diverged(cell_states),
        *_truncated_training(plan, store, done),
    )
    return Results(evidence, analyses(), tuple(findings(plan.study, evidence)), signs, done, cell_states)


def _cure(plan: Plan, store: Store) -> str:
    """Returns the cure for a study without results: the `--limit` under which cells were run, or a run."""
    limits = other_limits(plan, store)
    return f"cells with fewer rows are there: say --limit {limits[-1]}" if limits else "amuro run STUDY"


def _diverged(cell_states: Sequence[State]) -> list[flags.Flag]:
    """Returns a flag for each model that has no result because its training diverged."""
    return [
        flags.Flag(flags.DIVERGED, model.address, f"{how}; {cells} of its cells have no result")
        for model, (how, cells) in diverged_models(cell_states).items()
    ]


def _truncated_training(plan: Plan, store: Store, done: Mapping[str, Manifest]) -> list[flags.Flag]:
    """Returns a flag for each tuned model of which training rows were truncated to the context."""
    keys = {manifest["coordinates"]["model"]: manifest["model_key"] for manifest in done.values()}
    rows = {model.address: model.recipe.rows for model in plan.models if model.recipe}
    trained = {address: store.manifest("models", keys[address]) for address in keys if address in rows}
    return [
        flags.Flag(flags.CUT, address, f"{known['training']['truncated']} of {rows[address]} training rows")
        for address, known in trained.items()
        if known and known.get("training", {}).get("truncated")
    ]


def gathered(plan: Plan, items: pl.DataFrame, totals: pl.DataFrame, planned: pl.DataFrame) -> Evidence:
    """Returns the two tidy frames with the further facts that analyses need."""
    schedules = {checkpoint.address: checkpoint.schedule for checkpoint in plan.checkpoints}
    return Evidence(items, totals, plan.tasks, plan.study.name, planned, schedules=schedules, delta=plan.study.delta)


def analyses() -> tuple[Analysis, ...]:
    """Returns all analyses, by name."""
    return tuple(load_analysis(name) for name in registry.names("analyses"))


def findings(study: Study, evidence: Evidence) -> list[Finding]:
    """Runs all analyses and returns their findings.

    Each analysis draws from a generator seeded by its name, so that adding one changes no draws of another. In a study
    of several series each statement begins with its series.
    """
    several = evidence.scores["series"].n_unique() > 1
    return [
        replace(finding, statement=f"{finding.series}: {finding.statement}") if several and finding.series else finding
        for analysis in analyses()
        for finding in analysis.run(evidence, np.random.default_rng([study.bootstrap_seed, _number(analysis.name)]))
    ]


def _number(name: str) -> int:
    """Returns a number derived from a name, the same in every process."""
    return int(digest(name)[:8], 16)


def _of_sets(plan: Plan, store: Store) -> list[flags.Flag]:
    """Returns the notes of the data set audits as flags."""
    return [
        flags.Flag(name, f"{m['task']}/{m['split']}", detail)
        for m in audit_keys.kept(plan, store, "tasks")
        for name, detail, _refused in m["notes"]
    ]


def _or_damaged(state: State, store: Store) -> State:
    """Returns the state, or one without a result where the stored predictions no longer match their checksum."""
    intact = state.manifest is None or store.verify(state.manifest)
    return state if intact else State(state.cell, None, DAMAGED)


def _of_ceilings(plan: Plan, done: Mapping[str, Manifest]) -> list[flags.Flag]:
    """Returns a flag for each set on which the right answers themselves do not get the metric's best score."""
    ceilings: dict[flags.Flag, None] = {}
    for manifest in done.values():
        coordinates, (metric, detail) = manifest["coordinates"], manifest.get("ceiling", ("", ""))
        if detail and plan.tasks[coordinates["task"]].metric == metric:
            ceilings[flags.Flag(audit_keys.BELOW, f"{coordinates['task']}/{coordinates['split']}", detail)] = None
    return list(ceilings)


def _planned(cell_states: Sequence[State]) -> pl.DataFrame:
    """Returns the frame `Evidence.planned`: cell, done and why not."""
    cells, done, why = (
        [s.cell.address for s in cell_states],
        [s.done for s in cell_states],
        [_why(s) for s in cell_states],
    )
    return pl.DataFrame({"cell": cells, "done": done, "why": why}, schema_overrides={"why": pl.String})


def _why(state: State) -> str:
    """Returns why a cell is not in the report; empty where it is."""
    if state.done or state.reason in (NOT_RUN, DAMAGED):
        return state.reason
    return "without a result, since the training diverged" if state.diverged else "made from other inputs"
