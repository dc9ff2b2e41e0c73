"""Fill what is missing, skip what is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from amuro import catalog, data, dials, paper_asks, pretrained, prompts, stopping
from amuro import plan as planning
from amuro.audits import series as series_audit
from amuro.audits import sets
from amuro.engine.protocol import Engine
from amuro.executors import inline, processes
from amuro.executors.job import Job, OnEvent
from amuro.plan import Plan
from amuro.status import State, served, states
from amuro.store import Store
from amuro.study import Study
from amuro.types import Cell, Checkpoint, Example, Model
from amuro.visit import Visitor, folder_of

ENTRY_POINT = "amuro.run:perform"


@dataclass
class Outcome:
    """What a run did."""

    filled: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Address of a cell (of a job that has none, its name) → why it failed."""
    diverged: dict[str, str] = field(default_factory=dict)
    """Address of a model whose training diverged now → how: a result, no failure."""

    @property
    def failures(self) -> list[str]:
        return [f"{where}: {why}" for where, why in self.failed.items()]


def run(plan: Plan, store: Store, on_event: OnEvent, only: Sequence[State] | None = None) -> Outcome:
    """Fills the missing cells of a plan (or those of `only`). Finished cells are never touched.

    Everything that can be refused is refused before any compute: rows, labels, splits, checkpoints, baselines.
    """
    missing = [state.cell for state in (states(plan, store) if only is None else only) if state.missing]
    if not missing:
        return Outcome()
    store.prepare()
    check_rows(plan, missing)
    record = Record(store, missing, on_event)
    refused = audited(plan, store, missing, record)
    missing = [cell for cell in missing if cell.model.checkpoint not in refused]
    jobs = [*_pretraining(plan, store, missing), *_audits(plan, store, missing), *_visits(plan, store, missing)]
    toy = plan.study.engine == "toy"
    execute = inline.execute if toy else processes.execute
    execute(jobs, ENTRY_POINT, 1 if toy else workers(plan.study), record)
    return record.outcome


class Record:
    """Hears every event of a run: counts, notes what was lost, and passes it on."""

    def __init__(self, store: Store, missing: Sequence[Cell], on_event: OnEvent) -> None:
        self.outcome = Outcome()
        self._store, self._on_event = store, on_event
        self._missing = {cell.address: cell for cell in missing}

    def __call__(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "cell":
                if self._missing.pop(event["cell"], None) is None:  # a dev cell that a rule looked at once more
                    return
                self.outcome.filled += 1
            case "failed":
                self._missing.pop(event["cell"], None)
                self.outcome.failed[event["cell"]] = event["error"]
            case "lost":
                self._lost(event["job"], event["error"], event.get("trace", ""))
            case "diverged":
                self.outcome.diverged[event["model"]] = event["text"]
                for cell in self._behind(event["model"]):
                    del self._missing[cell]
        self._on_event(event)

    def _lost(self, job: str, error: str, trace: str) -> None:
        """All that a lost visit should have filled has failed, for its reason; another job stands for itself."""
        self._store.note("attempts", {"job": job, "error": error, "trace": trace})
        for where in self._behind(job) or [job]:
            self._missing.pop(where, None)
            self.outcome.failed[where] = error

    def _behind(self, name: str) -> list[str]:
        """The cells still missing that wait for a model's visit, or for a checkpoint."""
        return [
            address
            for address, cell in self._missing.items()
            if name in (cell.model.address, served(cell.model), cell.model.checkpoint.address)
        ]


def workers(study: Study) -> int:
    """Live processes: what the study says, else one a core, or one for a device other than the CPU."""
    return study.workers or (len(os.sched_getaffinity(0)) if study.device == "cpu" else 1)


def check_rows(plan: Plan, cells: Sequence[Cell]) -> None:
    """Loads every set that will be asked or learned; an empty, unlabelled or constant one stops here, and so does one
    from which fewer shots can be drawn than are asked.
    """

    @lru_cache(maxsize=2)  # a task's train and the set that is asked
    def loaded(task: str, split: str) -> list[Example]:
        return data.examples(plan.task_with_source(task), split, plan.revision(task))

    learned = {(task, "train") for cell in cells if cell.model.recipe for task, _ in cell.model.recipe.mixture}
    asked = {(c.eval_set.task, c.eval_set.split, c.shots, c.shot_seed, c.limit) for c in cells}
    for task, split in sorted(learned):
        loaded(task, split)
    for task, split, shots, shot_seed, limit in sorted(asked):
        examples, about = loaded(task, split)[:limit], plan.tasks[task]
        if shots and about.shots_from != "evaluation":
            pool = loaded(task, "train")
            if about.shots_from == "train":
                drawn = prompts.draw_shots(about, pool, shots, shot_seed)
                prompts.own_shots(about, pool, drawn, shot_seed, examples)
            else:
                paper_asks.row_shots(pool, shots, 0)


def audited(plan: Plan, store: Store, missing: Sequence[Cell], on_event: OnEvent) -> set[Checkpoint]:
    """Checkpoints that the audit of their series refuses before any weights are loaded. Audits are kept.

    Tells of each refused checkpoint that has missing cells (event *lost*), and of each doubtful one (*doubt*).
    """
    refused: dict[Checkpoint, str] = {}
    for name in dict.fromkeys(cell.model.checkpoint.series for cell in missing):
        found = series_audit.audit(series_audit.of_study(plan, name, store.root / "series"), weights=False)
        series_audit.keep(found, store)
        refused |= found.refused()
        for fault in found.faults:
            if fault.level == "doubtful":
                on_event({"event": "doubt", "job": fault.checkpoint or name, "error": str(fault)})
    for checkpoint in dict.fromkeys(cell.model.checkpoint for cell in missing):
        if checkpoint in refused:
            on_event({"event": "lost", "job": checkpoint.address, "error": refused[checkpoint]})
    return set(refused)


def _pretraining(plan: Plan, store: Store, missing: Sequence[Cell]) -> list[Job]:
    series = dict.fromkeys(c.model.checkpoint.series for c in missing)
    made = [name for name in series if _is_pretrained(plan, name)]
    names = {name: [c for c in plan.checkpoints if c.series == name] for name in made}
    return [
        Job(f"pre-training {name}", _payload(plan, store, {"pretrain": name}), lambda: True)
        for name, checkpoints in names.items()
        if not all(is_there(plan, store, checkpoint) for checkpoint in checkpoints)
    ]


def _audits(plan: Plan, store: Store, missing: Sequence[Cell]) -> list[Job]:
    known = [m for m in store.manifests("audits") if m["audit"] == "tasks"]
    tests = [c for c in dict.fromkeys(cell.eval_set for cell in missing) if c.split not in ("train", "dev")]
    origins = {str(chosen): plan.origin(chosen.task, chosen.split).items() for chosen in tests}
    wanted = [name for name, origin in origins.items() if not any(origin <= m.items() for m in known)]
    return [Job("audits", _payload(plan, store, {"audit": wanted}), lambda: True)] if wanted else []


def _visits(plan: Plan, store: Store, missing: Sequence[Cell]) -> list[Job]:
    wanted = {cell.address for cell in missing}
    members = _members(plan)
    served_by = {served(cell.model) for cell in missing}  # a rule is visited for its candidates' dev cells as well
    asked = {
        model: [cell.address for cell in cells if cell.address in wanted]
        for model, cells in plan.visits().items()
        if model not in members and model.address in served_by
    }
    following = _following([model.checkpoint for model in asked])
    jobs = []
    for model, cells in asked.items():
        waiting = [other.address for other in _waiting(plan, model, list(asked))]
        ask = {"model": model.address, "cells": cells, "following": following[model.checkpoint], "waiting": waiting}
        jobs.append(Job(model.address, _payload(plan, store, ask), _ready(plan, store, model)))
    return jobs


def _following(checkpoints: Sequence[Checkpoint]) -> dict[Checkpoint, str | None]:
    """Checkpoint → address of the one that is visited after it, to be read ahead."""
    order = list(dict.fromkeys(checkpoints))
    return {checkpoint: after.address if after else None for checkpoint, after in zip_longest(order, order[1:])}


def _waiting(plan: Plan, model: Model, visited: Sequence[Model]) -> list[Model]:
    """The models behind `model` whose adapters stand on the same checkpoint, where one process visits them all."""
    if workers(plan.study) > 1 or not model.is_low_rank:
        return []
    behind = visited[visited.index(model) + 1 :]
    return [other for other in behind if other.is_low_rank and other.checkpoint == model.checkpoint]


def _members(plan: Plan) -> set[Model]:
    """Models that only exist for a rule to choose from: they are visited with the model that they serve."""
    return {m for model in plan.models for m in planning.candidates(model) if m != model}


def _ready(plan: Plan, store: Store, model: Model) -> Callable[[], bool]:
    made_here = _is_pretrained(plan, model.checkpoint.series)
    return lambda: not made_here or is_there(plan, store, model.checkpoint)


def _is_pretrained(plan: Plan, name: str) -> bool:
    return catalog.series(plan.study.series[name].kind).pretraining is not None


def is_there(plan: Plan, store: Store, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint that is pre-trained here has been made."""
    folder = folder_of(plan, store, checkpoint)
    return folder is not None and folder.is_dir()


def _payload(plan: Plan, store: Store, ask: Mapping[str, Any]) -> dict[str, Any]:
    return {"study": plan.study.model_dump_json(), "store": str(store.root), **ask}


# -- in the worker


def perform(payload: Mapping[str, Any], emit: OnEvent) -> None:
    """One job: pre-training of a series, or one visit. What an executor starts."""
    plan = _plan(payload["study"])
    store = Store(Path(payload["store"]))
    if "pretrain" in payload:
        pretrain(plan, store, payload["pretrain"], emit)
        return
    if "audit" in payload:
        sets.keep(plan, store, payload["audit"])
        return
    named = {model.address: model for model in plan.models}
    model = named[payload["model"]]
    wanted = set(payload["cells"])
    visitor = _visitor(payload["study"], payload["store"])
    visitor.emit = emit
    following = next((c for c in plan.checkpoints if c.address == payload.get("following")), None)
    waiting = [named[address] for address in payload.get("waiting", ())]
    visitor.visit(model, [cell for cell in plan.visits()[model] if cell.address in wanted], following, waiting)


def pretrain(plan: Plan, store: Store, name: str, emit: OnEvent) -> None:
    """Pre-trains a series into the store; goes on where an interrupted run stopped."""
    from amuro.engine.pretrain import pretrain as train

    declare = catalog.series(plan.study.series[name].kind).pretraining
    assert declare is not None  # no other series has such a job
    declared = declare(plan.series_options(name))

    def on_progress(done: int, total: int, loss: float) -> None:
        emit({"event": "pretrain", "series": name, "done": done, "total": total, "loss": loss})

    folder = pretrained.folder(declared.digest(), store.root / "series")
    with stopping.held():  # it saves the step that it is at
        train(declared, folder, on_progress, stopping.wanted, threads(plan.study))


def engine(study: Study) -> Engine:
    """The engine that a study asks for. Torch is imported only here."""
    if study.engine == "toy":
        from amuro.engine.toy import ToyEngine

        return ToyEngine(dials.of(study.toy))
    from amuro.engine.torch_engine import TorchEngine

    return TorchEngine(precision=study.precision, device=study.device, threads=threads(study))


def threads(study: Study) -> int:
    """Cores for each live process."""
    return max(1, len(os.sched_getaffinity(0)) // workers(study))


@lru_cache(maxsize=2)
def _plan(study: str) -> Plan:
    return planning.make(Study.model_validate_json(study))


@lru_cache(maxsize=1)
def _visitor(study: str, store: str) -> Visitor:
    plan = _plan(study)
    return Visitor(plan, Store(Path(store)), engine(plan.study), lambda event: None)
