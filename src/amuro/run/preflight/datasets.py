"""Audits the evaluation sets of a study before it runs and scores baselines that have no weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from amuro.core.errors import AmuroError
from amuro.core.hashing import digest
from amuro.core.types import EvalSet, Example, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.run.preflight import ceiling as ceilings
from amuro.run.preflight.baselines import baselines, constant_string
from amuro.run.preflight.dataset_audit import Note, TaskAudit, audit
from amuro.study.audit_keys import BELOW, filed
from amuro.study.config import eval_set
from amuro.study.inputs import Inputs
from amuro.study.plan import Plan
from amuro.study.store import Store
from amuro.tasks.metrics import load_metric

DEFAULT_CONTEXT = 2048
"""Context length in tokens if no recipe states one (the paper's)."""
CACHE = Path("amuro-store/series")
"""Folder of fetched checkpoints in the default store."""


def keep(plan: Plan, store: Store, eval_sets: Sequence[str]) -> None:
    """Audits the sets (TASK/SPLIT) and commits the audits and baselines; baselines are fitted once per task."""
    inputs = Inputs(plan, store)
    for name, group in groupby(sorted(map(eval_set, eval_sets), key=str), key=lambda chosen: chosen.task):
        task, train = plan.task_with_source(name), _train(plan, name)
        tests = {chosen.split: _asked(plan, chosen) for chosen in group}
        examples_by_split = {split: loaded.examples for split, loaded in tests.items()}
        fitted = baselines(task, train, examples_by_split) if train else dict.fromkeys(tests, ())
        for split, loaded in tests.items():
            place = filed(plan, inputs, name, split)
            scores = {baseline.name: baseline.value for baseline in fitted[split]}
            result = _audited(plan, EvalSet(name, split), loaded, train, scores.get("constant_string"))
            for facts in (result.facts() | place, {"audit": "baselines", **place, "baselines": scores}):
                store.commit("audits", digest(facts), facts, {})


def audit_all(plan: Plan) -> tuple[list[TaskAudit], dict[str, str]]:
    """Returns (audits, set → why it is refused) of every evaluated set except dev splits. Reads rows, no weights."""
    audits, refused = [], {}
    for chosen in dict.fromkeys(cell.eval_set for cell in plan.cells if cell.eval_set.split != "dev"):
        task = plan.task_with_source(chosen.task)
        try:
            loaded, train = _asked(plan, chosen), _train(plan, chosen.task)
            best = ceilings.lowest(plan, chosen, loaded.examples, ceilings.encoders(plan, CACHE))
            if plan.study.protocol != "paper":
                ceilings.refuse(chosen, best)
            constant = _constant(task, train, loaded.examples)
            result = _audited(plan, chosen, loaded, train, constant)
            short = (Note(BELOW, str(best)),) if best.short else ()
            audits.append(replace(result, notes=(*result.notes, *short)))
        except AmuroError as error:
            refused[str(chosen)] = str(error)
    return audits, refused


def _constant(task: Task, train: Sequence[Example], examples: Sequence[Example]) -> float | None:
    """Returns the score of the best constant answer; None for tasks without generation or a metric without best
    value.
    """
    judged = train and task.kind == "generation" and load_metric(task.metric).best is not None
    return constant_string(task, train)(examples) if judged else None


def _asked(plan: Plan, chosen: EvalSet) -> sources.Loaded:
    """Returns the rows of a set that the study evaluates."""
    limit = plan.asked(chosen.task, chosen.split)["limit"]
    return sources.load(plan.task_with_source(chosen.task), chosen.split, plan.revision(chosen.task), limit)


def _train(plan: Plan, name: str) -> list[Example]:
    """Returns all train rows of a task; [] if it has none."""
    task = plan.task_with_source(name)
    return sources.examples(task, "train", plan.revision(name)) if "train" in task.splits else []


def _audited(
    plan: Plan, chosen: EvalSet, loaded: sources.Loaded, train: Sequence[Example], constant: float | None
) -> TaskAudit:
    """Audits a set as this study evaluates it: with its largest number of shots and the recipes' shortest context."""
    task, protocol = plan.task_with_source(chosen.task), plan.asked(chosen.task, chosen.split)
    return audit(
        task,
        chosen.split,
        loaded.examples,
        train,
        protocol["shots"],
        context=min((tune.max_length for tune in plan.study.tune), default=DEFAULT_CONTEXT),
        constant=constant,
        limit=protocol["limit"],
        whole_rows=loaded.whole,
        whole_clusters=loaded.clusters,
        dropped=loaded.dropped,
        replaced=_replaced(task, loaded.examples, train, protocol["shots"], protocol["shot_seed"]),
    )


def _replaced(task: Task, examples: Sequence[Example], train: Sequence[Example], shots: int, shot_seed: int) -> int:
    """Returns the number of rows that are among the shots and get other shots instead."""
    if not shots or task.shots_from != "train":
        return 0
    return len(render.own_shots(task, train, render.draw_shots(task, train, shots, shot_seed), shot_seed, examples))
