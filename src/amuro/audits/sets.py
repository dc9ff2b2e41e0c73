"""The evaluation sets of a study before it runs: what each is, and what models without weights score on it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from amuro import data
from amuro.audits.baselines import baselines, constant_string
from amuro.audits.tasks import TaskAudit, audit
from amuro.errors import AmuroError
from amuro.identity import digest
from amuro.plan import Plan
from amuro.store import Store
from amuro.study import eval_set
from amuro.types import EvalSet, Example

DEFAULT_CONTEXT = 2048
"""Tokens that a prompt should fit where no recipe states a length (the paper's)."""


def keep(plan: Plan, store: Store, eval_sets: Sequence[str]) -> None:
    """Audits the sets (TASK/SPLIT) and stores the facts; baselines are fitted once a task."""
    for name, group in groupby(sorted(map(eval_set, eval_sets), key=str), key=lambda chosen: chosen.task):
        task, revision = plan.task_with_source(name), plan.revision(name)
        train = _train(plan, name)
        tests = {chosen.split: data.examples(task, chosen.split, revision) for chosen in group}
        fitted = baselines(task, train, tests) if train else dict.fromkeys(tests, ())
        for split, examples in tests.items():
            origin = plan.origin(name, split)
            scores = {baseline.name: baseline.value for baseline in fitted[split]}
            told = _audited(plan, name, split, examples, train, scores.get("constant_string"))
            for facts in (told.facts() | origin, {"audit": "baselines", **origin, "baselines": scores}):
                store.commit("audits", digest(facts), facts, {})


def audit_all(plan: Plan) -> tuple[list[TaskAudit], dict[str, str]]:
    """(audits, set → why it is refused) of everything that a study asks, dev splits apart. Loads rows, no weights."""
    found, refused = [], {}
    for chosen in dict.fromkeys(cell.eval_set for cell in plan.cells if cell.eval_set.split != "dev"):
        task = plan.task_with_source(chosen.task)
        try:
            examples = data.examples(task, chosen.split, plan.revision(chosen.task))
            train = _train(plan, chosen.task)
        except AmuroError as error:
            refused[str(chosen)] = str(error)
            continue
        constant = constant_string(task, train)(examples) if train and task.kind == "generate" else None
        found.append(_audited(plan, chosen.task, chosen.split, examples, train, constant))
    return found, refused


def _train(plan: Plan, name: str) -> list[Example]:
    task = plan.task_with_source(name)
    return data.examples(task, "train", plan.revision(name)) if "train" in task.splits else []


def _audited(
    plan: Plan, task: str, split: str, examples: Sequence[Example], train: Sequence[Example], constant: float | None
) -> TaskAudit:
    """One set as this study asks it: with its most shots, and the context that its recipes are cut to."""
    shots = [cell.shots for cell in plan.cells if cell.eval_set == EvalSet(task, split)]
    context = min((tune.max_length for tune in plan.study.tune), default=DEFAULT_CONTEXT)
    return audit(plan.task_with_source(task), split, examples, train, max(shots, default=0), context, constant)
