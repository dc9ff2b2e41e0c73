"""Builds the data of a report from results. Needs no model, no rows and no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from amuro.report.examples import choose_examples, count_changes, pairs
from amuro.report.exporters.base import Source
from amuro.report.model import ReportData
from amuro.results.analyze import Results
from amuro.study import audit_keys
from amuro.study.inputs import UNKNOWN
from amuro.study.plan import Plan
from amuro.study.series_audits import last_kept, of_study
from amuro.study.store import Manifest, Store


def book(plan: Plan, store: Store, found: Results) -> ReportData:
    """Returns the data that a report prints."""
    study, weights = plan.study, _weights(found.manifests)
    compared = pairs(found.evidence.items, {task.name: task.metric for task in plan.tasks.values()})
    return ReportData(
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
    """Returns what exporters get: the report's data, and the stored predictions of each cell."""

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
    """Returns sentences on what was done."""
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
    """Returns a function from prompt hash to the prompt's text."""
    keys = sorted({manifest["prompts"] for manifest in found.manifests.values()})
    manifests = [m for m in (store.manifest("prompts", key) for key in keys) if m is not None]
    frames = [f for f in (store.frame(m, "prompts.parquet") for m in manifests) if f is not None]
    known = {row["prompt_hash"]: row["prefix"] + row["text"] for frame in frames for row in frame.iter_rows(named=True)}
    return lambda prompt_hash: known.get(prompt_hash, "(the text of this prompt is no longer in the store)")


def _weights(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Returns checkpoint → digest of the weights of its cells; nothing for checkpoints without weights."""
    known = {m["coordinates"]["checkpoint"]: m["declared"]["checkpoint"]["weights"] for m in manifests.values()}
    return {checkpoint: weights for checkpoint, weights in known.items() if weights != UNKNOWN}


def _series_seeds(plan: Plan) -> dict[str, Any]:
    """Returns the seeds of the series that amuro pre-trains."""
    return {
        f"{name}.{key}": value
        for name in plan.study.series
        for key, value in plan.series_options(name).items()
        if key.endswith("_seed")
    }


def _ledger(plan: Plan, store: Store) -> pl.DataFrame:
    """Returns one row per model job: duration and costs."""
    ours = {model.address for model in plan.models}
    kept = ("seconds", "tokens", "flops", "peak_memory_mb")
    rows = [{"model": n["model"], **{k: n[k] for k in kept}} for n in store.notes("ledger") if n["model"] in ours]
    types = {"model": pl.String, "seconds": pl.Float64, "tokens": pl.Int64, "flops": pl.Float64,
             "peak_memory_mb": pl.Float64}  # fmt: skip
    return pl.DataFrame(rows, schema=types)


def _environment(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Returns versions and machine of the cells; if cells differ, every value that occurs."""
    seen: dict[str, dict[str, None]] = {}
    for manifest in manifests.values():
        for key, value in manifest["provenance"].items():
            seen.setdefault(key, {})[value] = None
    return {key: " · ".join(values) for key, values in seen.items()}


def _encoding(plan: Plan, store: Store) -> str:
    """Returns a sentence on how often separate and joint encoding of prompt and answer differ, over all evaluated
    prompts.
    """
    audits = [m for m in store.manifests("audits") if m["audit"] == "encoding" and m["task"] in plan.tasks]
    pairs, differing = sum(m["pairs"] for m in audits), sum(m["disagreements"] for m in audits)
    worst = ", ".join(sorted({m["task"] for m in audits if m["disagreements"]}))
    return f"{differing} of {pairs} pairs differ from joint encoding" + (f" ({worst})" if worst else "")


def _baselines(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Returns the stored scores of models without weights."""
    return [
        {"task": m["task"], "split": m["split"], "name": name, "value": value}
        for m in audit_keys.kept(plan, store, "baselines")
        for name, value in m["baselines"].items()
    ]


def series_audits(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Returns the last stored audit of each series, for the checkpoints of this study."""
    subjects = [of_study(plan, name, store.root / "series") for name in plan.study.series]
    kept = [audit for subject in subjects if (audit := last_kept(store, subject)) is not None]
    return [{key: audit[key] for key in ("series", "inspected", "faults", "unchecked")} for audit in kept]
