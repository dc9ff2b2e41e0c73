"""plan × store → scores, findings and flags. Needs no model, no rows and no torch."""

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
    """Everything after the store for one study."""

    evidence: Evidence
    analyses: tuple[Analysis, ...]
    findings: tuple[Finding, ...]
    flags: tuple[flags.Flag, ...]
    manifests: Mapping[str, Manifest]
    states: Sequence[State] = ()
    """Of every planned cell, as it was when they were read."""


def results(plan: Plan, store: Store) -> Results:
    """Scores every finished cell of the plan and asks every analysis. Raises `DataError` where nothing is finished."""
    found = [_or_damaged(state, store) for state in states(plan, store)]
    done = {state.cell.address: state.manifest for state in found if state.manifest is not None}
    if not done:
        raise DataError(f"no cell of study {plan.study.name} is finished in {store.root}", cure=_cure(plan, store))
    evidence = gathered(plan, *scoring.tables(store, done, plan.roles, plan.tasks, plan.checkpoints), _planned(found))
    signs = (
        *flags.flags(evidence.scores, evidence.items, plan.tasks),
        *_of_sets(plan, store),
        *_of_ceilings(plan, done),
        *_diverged(found),
        *_cut_lessons(plan, store, done),
    )
    return Results(evidence, analyses(), tuple(findings(plan.study, evidence)), signs, done, found)


def _cure(plan: Plan, store: Store) -> str:
    """What brings cells into the report: the limit under which they were filled, or a run."""
    caveats = other_limits(plan, store)
    return f"cells with fewer rows are there: say --limit {caveats[-1]}" if caveats else "amuro run STUDY"


def _diverged(found: Sequence[State]) -> list[flags.Flag]:
    """A flag for each model that has no result since its training diverged."""
    return [
        flags.Flag(flags.DIVERGED, model.address, f"{how}; {cells} of its cells have no result")
        for model, (how, cells) in diverged_models(found).items()
    ]


def _cut_lessons(plan: Plan, store: Store, done: Mapping[str, Manifest]) -> list[flags.Flag]:
    """A flag for each tuned model of which training rows were cut to fit."""
    keys = {manifest["coordinates"]["model"]: manifest["model_key"] for manifest in done.values()}
    rows = {model.address: model.recipe.rows for model in plan.models if model.recipe}
    trained = {address: store.manifest("models", keys[address]) for address in keys if address in rows}
    return [
        flags.Flag(flags.CUT, address, f"{known['training']['truncated']} of {rows[address]} training rows")
        for address, known in trained.items()
        if known and known.get("training", {}).get("truncated")
    ]


def gathered(plan: Plan, items: pl.DataFrame, totals: pl.DataFrame, planned: pl.DataFrame) -> Evidence:
    """The two tidy frames with all that analyses are given besides."""
    schedules = {checkpoint.address: checkpoint.schedule for checkpoint in plan.checkpoints}
    return Evidence(items, totals, plan.tasks, plan.study.name, planned, schedules=schedules, delta=plan.study.delta)


def analyses() -> tuple[Analysis, ...]:
    """Every analysis."""
    return tuple(load_analysis(name) for name in registry.names("analyses"))


def findings(study: Study, evidence: Evidence) -> list[Finding]:
    """What every analysis says, each with a stream of its own name: adding one changes no other's draws.

    In a study of several series each sentence begins with its own.
    """
    several = evidence.scores["series"].n_unique() > 1
    return [
        replace(finding, statement=f"{finding.series}: {finding.statement}") if several and finding.series else finding
        for member in analyses()
        for finding in member.run(evidence, np.random.default_rng([study.bootstrap_seed, _number(member.name)]))
    ]


def _number(name: str) -> int:
    return int(digest(name)[:8], 16)


def _of_sets(plan: Plan, store: Store) -> list[flags.Flag]:
    """What the audit of each set has to say, as flags beside those of the scores."""
    return [
        flags.Flag(name, f"{m['task']}/{m['split']}", detail)
        for m in audit_keys.kept(plan, store, "tasks")
        for name, detail, _refused in m["notes"]
    ]


def _or_damaged(state: State, store: Store) -> State:
    """The state, unless the predictions behind it are no longer what was written: then it is as if not run."""
    sound = state.manifest is None or store.verify(state.manifest)
    return state if sound else State(state.cell, None, DAMAGED)


def _of_ceilings(plan: Plan, done: Mapping[str, Manifest]) -> list[flags.Flag]:
    """A flag for each set of which right answers themselves do not get the best score of the task's metric."""
    told: dict[flags.Flag, None] = {}
    for manifest in done.values():
        asked, (metric, detail) = manifest["coordinates"], manifest.get("ceiling", ("", ""))
        if detail and plan.tasks[asked["task"]].metric == metric:
            told[flags.Flag(audit_keys.BELOW, f"{asked['task']}/{asked['split']}", detail)] = None
    return list(told)


def _planned(found: Sequence[State]) -> pl.DataFrame:
    cells, done, why = [s.cell.address for s in found], [s.done for s in found], [_why(s) for s in found]
    return pl.DataFrame({"cell": cells, "done": done, "why": why}, schema_overrides={"why": pl.String})


def _why(state: State) -> str:
    """Why a cell is not in the report, in few words; empty where it is."""
    if state.done or state.reason in (NOT_RUN, DAMAGED):
        return state.reason
    return "without a result, since the training diverged" if state.diverged else "made from other inputs"
