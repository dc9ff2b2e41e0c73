"""plan × store → scores, findings, flags and the book that a report prints. Needs no model, no rows and no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from amuro import catalog, flags, scores
from amuro.analysis import Analysis, Evidence
from amuro.audits import filed
from amuro.audits.series import last_kept, of_study
from amuro.errors import DataError
from amuro.exporter import Source
from amuro.identity import digest
from amuro.inputs import UNKNOWN
from amuro.plan import Plan
from amuro.report.book import Book
from amuro.report.examples import choose_examples, count_changes, pairs
from amuro.status import State, diverged_models, other_limits, states
from amuro.store import Manifest, Store
from amuro.study import Study
from amuro.types import Finding

DAMAGED = "damaged and left out"
NOT_RUN = "not run"


@dataclass(frozen=True)
class Results:
    """Everything after the waist for one study."""

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
    evidence = gathered(plan, *scores.tables(store, done, plan.roles, plan.tasks, plan.checkpoints), _planned(found))
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
    limits = other_limits(plan, store)
    return f"cells with fewer rows are there: say --limit {limits[-1]}" if limits else "amuro run STUDY"


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
    return Evidence(items, totals, plan.tasks, plan.study.name, planned, schedules=schedules)


def analyses() -> tuple[Analysis, ...]:
    """Every analysis of the shelf."""
    return tuple(catalog.analysis(name) for name in catalog.names("analyses"))


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
        for m in filed.kept(plan, store, "tasks")
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
            told[flags.Flag(filed.BELOW, f"{asked['task']}/{asked['split']}", detail)] = None
    return list(told)


def _planned(found: Sequence[State]) -> pl.DataFrame:
    cells, done, why = [s.cell.address for s in found], [s.done for s in found], [_why(s) for s in found]
    return pl.DataFrame({"cell": cells, "done": done, "why": why}, schema_overrides={"why": pl.String})


def _why(state: State) -> str:
    """Why a cell is not in the report, in few words; empty where it is."""
    if state.done or state.reason in (NOT_RUN, DAMAGED):
        return state.reason
    return "without a result, since the training diverged" if state.diverged else "made from other inputs"


def book(plan: Plan, store: Store, found: Results) -> Book:
    """What the report prints."""
    study, weights = plan.study, _weights(found.manifests)
    compared = pairs(found.evidence.items, {task.name: task.metric for task in plan.tasks.values()})
    return Book(
        study={
            "name": study.name, "question": study.question, "description": describe(plan),
            "seeds": {**_series_seeds(plan), "world_seed": study.world_seed, "shot_seed": study.shot_seed,
                      "bootstrap_seed": study.bootstrap_seed},
            "engine": study.engine, "precision": study.precision, "device": study.device, "protocol": study.protocol,
        },
        series=[
            {"checkpoint": c.address, "series": c.series, "step": c.step, "tokens": c.tokens,
             "unique_tokens": c.unique_tokens, "schedule": c.schedule, "weights": weights.get(c.address)}
            for c in plan.checkpoints
        ],
        findings=found.findings,
        analyses=found.analyses,
        flags=[{"name": f.name, "where": f.where, "detail": f.detail} for f in found.flags],
        scores=found.evidence.scores,
        items=found.evidence.items,
        examples=choose_examples(compared, _texts(store, found)),
        ledger=_ledger(plan, store),
        planned=found.evidence.planned,
        environment={**_environment(found.manifests), "encoding": _encoding(plan, store)},
        baselines=_baselines(plan, store),
        tasks=plan.tasks,
        changes=count_changes(compared),
        audits=series_audits(plan, store),
    )  # fmt: skip


def source(plan: Plan, store: Store, found: Results) -> Source:
    """What an export is handed: the book, and the kept predictions of each cell."""

    def predictions(cell: str) -> pl.DataFrame | None:
        return store.frame(found.manifests[cell], "predictions.parquet") if cell in found.manifests else None

    return Source(book(plan, store, found), predictions)


SOURCES = {
    "world": "pre-trained here on an invented world",
    "text": "pre-trained here on text from files",
    "folder": "read from local folders",
    "hub": "read from the hub",
    "toy": "made up by the toy engine",
}


def describe(plan: Plan) -> list[str]:
    """What was done, in plain words."""
    tuned = sorted({m.recipe.name for m in plan.models if m.recipe})
    formats = sorted({cell.format for cell in plan.cells})
    origins = sorted({SOURCES.get(series.kind, series.kind) for series in plan.study.series.values()})
    return [
        f"Checkpoints {' and '.join(origins)} are asked as they are, and again after tuning on examples of a task "
        f"({', '.join(tuned) or 'no recipe'}).",
        f"Questions are worded in {len(formats)} format{'s' * (len(formats) != 1)}; asking without examples in the "
        "prompt (zero-shot) is primary.",
    ]


def _texts(store: Store, found: Results) -> Callable[[str], str]:
    """Prompt hash → what was read."""
    keys = sorted({manifest["prompts"] for manifest in found.manifests.values()})
    whole = [m for m in (store.manifest("prompts", key) for key in keys) if m is not None]
    frames = [f for f in (store.frame(m, "prompts.parquet") for m in whole) if f is not None]
    known = {row["prompt_hash"]: row["prefix"] + row["text"] for frame in frames for row in frame.iter_rows(named=True)}
    return lambda prompt_hash: known.get(prompt_hash, "(the text of this prompt is no longer in the store)")


def _weights(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Checkpoint → digest of the weights that its cells stand on; none of a checkpoint without weights."""
    known = {m["coordinates"]["checkpoint"]: m["declared"]["checkpoint"]["weights"] for m in manifests.values()}
    return {checkpoint: weights for checkpoint, weights in known.items() if weights != UNKNOWN}


def _series_seeds(plan: Plan) -> dict[str, Any]:
    return {
        f"{name}.{key}": value
        for name in plan.study.series
        for key, value in plan.series_options(name).items()
        if key.endswith("_seed")
    }


def _ledger(plan: Plan, store: Store) -> pl.DataFrame:
    ours = {model.address for model in plan.models}
    kept = ("seconds", "tokens", "flops", "peak_memory_mb")
    rows = [{"visit": n["model"], **{k: n[k] for k in kept}} for n in store.notes("ledger") if n["model"] in ours]
    types = {"visit": pl.String, "seconds": pl.Float64, "tokens": pl.Int64, "flops": pl.Float64,
             "peak_memory_mb": pl.Float64}  # fmt: skip
    return pl.DataFrame(rows, schema=types)


def _environment(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Versions and machine of the cells; where cells differ, every value that occurs."""
    seen: dict[str, dict[str, None]] = {}
    for manifest in manifests.values():
        for key, value in manifest["provenance"].items():
            seen.setdefault(key, {})[value] = None
    return {key: " · ".join(values) for key, values in seen.items()}


def _encoding(plan: Plan, store: Store) -> str:
    """How often prompt and answer encoded apart differ from their joint encoding, over everything that was asked."""
    audits = [m for m in store.manifests("audits") if m["audit"] == "encoding" and m["task"] in plan.tasks]
    pairs, differing = sum(m["pairs"] for m in audits), sum(m["disagreements"] for m in audits)
    worst = ", ".join(sorted({m["task"] for m in audits if m["disagreements"]}))
    return f"{differing} of {pairs} pairs differ from joint encoding" + (f" ({worst})" if worst else "")


def _baselines(plan: Plan, store: Store) -> list[dict[str, Any]]:
    return [
        {"task": m["task"], "split": m["split"], "name": name, "value": value}
        for m in filed.kept(plan, store, "baselines")
        for name, value in m["baselines"].items()
    ]


def series_audits(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """What the last stored audit of each series says of the checkpoints of this study."""
    subjects = [of_study(plan, name, store.root / "series") for name in plan.study.series]
    kept = [audit for subject in subjects if (audit := last_kept(store, subject)) is not None]
    return [{key: audit[key] for key in ("series", "inspected", "faults", "unchecked")} for audit in kept]
