"""Runs a plan: fills the cells that are missing and skips those that are done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from amuro.core import simulator, stopping
from amuro.core.types import Cell, Checkpoint
from amuro.engine.base import Engine
from amuro.run import jobs, upkeep
from amuro.run.claims import Claims
from amuro.run.executors import inline, processes
from amuro.run.executors.base import Job, OnEvent
from amuro.run.preflight import ceiling as ceilings
from amuro.run.preflight import datasets
from amuro.run.worker import Worker
from amuro.series import _pretrained, load_series_kind
from amuro.series.base import twin_error
from amuro.study import plan as planning
from amuro.study import row_counts
from amuro.study import series_audits as series_audit
from amuro.study.config import Study
from amuro.study.plan import Plan
from amuro.study.status import State, served, states
from amuro.study.store import Store
from amuro.study.twins import blocked

ENTRY_POINT = "amuro.run.runner:perform"
"""The function that worker processes call for each job."""


@dataclass
class Outcome:
    """The result of a run."""

    filled: int = 0
    """Cells that this run filled."""
    failed: dict[str, str] = field(default_factory=dict)
    """Address of a cell (or name of a job without cells) → error."""
    diverged: dict[str, str] = field(default_factory=dict)
    """Address of a model whose training diverged in this run → how. A result, not a failure."""
    elsewhere: int = 0
    """Cells that were missing at the start and were filled by other runs."""
    refused: list[str] = field(default_factory=list)
    """Why checkpoints were left out; their cells are in `failed`."""

    @property
    def failures(self) -> list[str]:
        """One sentence per failure."""
        return [f"{where}: {why}" for where, why in self.failed.items()]


def run(
    plan: Plan, store: Store, on_event: OnEvent, only: Sequence[State] | None = None, alone: bool = False
) -> Outcome:
    """Fills the missing cells of a plan (or of the cells in `only`). Finished cells are never changed.

    What is damaged or lost besides finished cells is reported (event *damaged*) and made again. Everything that can
    be refused is refused before any compute: rows, labels, splits, checkpoints, baselines. Other runs of the same
    store share the work; this run ends when nothing is left to do. `alone`: everything happens in this process.
    """
    store.prepare()
    for cache in (_plan, _worker):  # of an earlier run of this process; files may have changed since
        cache.cache_clear()
    claims = Claims(store.root)
    cell_states = _found(plan, store, only)
    if upkeep.check_made(store, jobs.made_here(plan, [s.cell for s in cell_states if s.missing])):
        cell_states = _found(plan, store, only)
    broken = upkeep.damaged(cell_states, store)
    missing = [s.cell for s in cell_states if s.missing or s.cell.address in broken]
    finished = [s for s in cell_states if s.done and s.cell.address not in broken]
    record = Record(store, missing, on_event)
    _tell(store, record)
    unaudited = set(upkeep.unaudited_sets(plan, store, [s.cell for s in finished]))
    row_counts.check(plan, missing + [s.cell for s in finished if str(s.cell.eval_set) in unaudited])
    ceilings.check(plan, missing, store.root / "series")
    if missing:
        _check_device(plan.study)
    refused = audited(plan, store, missing, record)
    record.outcome.refused = list(refused.values())
    upkeep.keep_series_audits(plan, store, finished)
    missing = [cell for cell in missing if cell.model.checkpoint not in refused]
    _execute(plan, store, claims, jobs.Jobs(plan, store, claims, record).all(missing, finished), record, alone)
    _tell(store, record)
    return record.outcome


def _found(plan: Plan, store: Store, only: Sequence[State] | None) -> list[State]:
    """Returns the present states of the cells (those in `only`): other runs may have filled some meanwhile."""
    wanted = None if only is None else {state.cell.address for state in only}
    return [state for state in states(plan, store) if wanted is None or state.cell.address in wanted]


def _check_device(study: Study) -> None:
    """Checks the device once, before anything is made. Raises the engine's error if it is not available."""
    if study.engine == "torch" and study.device != "cpu":
        from amuro.engine.torch import check_device

        check_device(study.device)


def _execute(plan: Plan, store: Store, claims: Claims, wanted: Sequence[Job], record: OnEvent, alone: bool) -> None:
    """Runs the jobs, in this process or in worker processes, and clears abandoned drafts before and after."""
    drafts = upkeep.Drafts(store)
    drafts.clear()
    if wanted:
        with claims:
            here = alone or plan.study.engine == "toy"
            execute = inline.execute if here else processes.execute
            execute(wanted, ENTRY_POINT, 1 if here else jobs.workers(plan.study), record)
        drafts.clear()


def _tell(store: Store, emit: OnEvent) -> None:
    """Emits an event for each damaged result that was not reported yet."""
    for text in store.told():
        emit({"event": "damaged", "text": text})


class Record:
    """Receives every event of a run: counts it, notes failures in the store and passes it on."""

    def __init__(self, store: Store, missing: Sequence[Cell], on_event: OnEvent) -> None:
        """`missing`: the cells that the run is to fill."""
        self.outcome = Outcome()
        self._store, self._on_event = store, on_event
        self._missing = {cell.address: cell for cell in missing}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Handles one event."""
        match event["event"]:
            case "cell":
                if self._missing.pop(event["cell"], None) is None:  # a dev cell that a rule looked at once more
                    return
                self.outcome.filled += 1
            case "there":  # by another run
                self.outcome.elsewhere += self._missing.pop(event["cell"], None) is not None
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
        """Records a job that failed: all cells that it should have filled have failed with its error."""
        self._store.note("attempts", {"job": job, "error": error, "trace": trace})
        for where in self._behind(job) or [job]:
            self._missing.pop(where, None)
            self.outcome.failed[where] = error

    def _behind(self, name: str) -> list[str]:
        """Returns the missing cells of a model, of its choice of rates, or of a checkpoint."""
        return [
            address
            for address, cell in self._missing.items()
            if name in (cell.model.address, served(cell.model), cell.model.checkpoint.address)
        ]


def audited(plan: Plan, store: Store, missing: Sequence[Cell], on_event: OnEvent) -> dict[Checkpoint, str]:
    """Audits the series of the missing cells; returns refused checkpoint → reason. Audits are stored, no weights are
    read.

    Emits *lost* for each refused checkpoint that has missing cells, and *doubt* for each doubtful one.
    """
    faults: dict[Checkpoint, str] = {}
    for name in dict.fromkeys(cell.model.checkpoint.series for cell in missing):
        result = series_audit.audit(series_audit.of_study(plan, name, store.root / "series"), weights=False)
        series_audit.keep(result, store)
        faults |= result.refused()
        for fault in result.faults:
            if fault.level == "doubtful":
                on_event({"event": "doubt", "job": fault.checkpoint or name, "error": str(fault)})
    twins = blocked(plan, store)
    faults |= {c: str(twin_error(c.address, twins[c.address])) for c in plan.checkpoints if c.address in twins}
    checkpoints = dict.fromkeys(cell.model.checkpoint for cell in missing)
    refused = {checkpoint: faults[checkpoint] for checkpoint in checkpoints if checkpoint in faults}
    for checkpoint, why in refused.items():
        on_event({"event": "lost", "job": checkpoint.address, "error": why})
    return refused


# -- in the worker


def perform(payload: Mapping[str, Any], emit: OnEvent) -> None:
    """Does one job in a worker process: pre-training, audits, prompts or a model job."""
    plan, store = _plan(payload["study"]), _store(payload["store"])
    store.join()
    if "pretrain" in payload:
        pretrain(plan, store, payload["pretrain"], emit)
    elif "audit" in payload:
        datasets.keep(plan, store, payload["audit"])
    else:
        worker = _worker(payload["study"], payload["store"])
        worker.emit = emit
        _run_model(plan, worker, payload)
    _tell(store, emit)


def _run_model(plan: Plan, worker: Worker, payload: Mapping[str, Any]) -> None:
    """Does a model job, or stores lost prompts again."""
    if "texts" in payload:
        lost = set(payload["texts"])
        worker.keep_texts([cell for cell in plan.cells if cell.address in lost])
        return
    model = next(model for model in plan.models if model.address == payload["model"])
    wanted = set(payload["cells"])
    following = next((c for c in plan.checkpoints if c.address == payload.get("following")), None)
    worker.run_model(model, [cell for cell in plan.cells_by_model()[model] if cell.address in wanted], following)


def pretrain(plan: Plan, store: Store, name: str, emit: OnEvent) -> None:
    """Pre-trains a series into the store; resumes an interrupted run."""
    from amuro.engine.pretraining.pretrain import pretrain as train

    declare = load_series_kind(plan.study.series[name].kind).pretraining
    assert declare is not None  # only series that amuro pre-trains have such a job
    declared = declare(plan.series_options(name))

    def on_progress(done: int, total: int, loss: float) -> None:
        emit({"event": "pretrain", "series": name, "done": done, "total": total, "loss": loss})

    folder = _pretrained.folder(declared.digest(), store.root / "series")
    with stopping.held():  # a stop is delayed until the current step is saved
        damaged = partial(store.set_aside, why="a file of it is cut or changed")
        train(declared, folder, on_progress, stopping.wanted, threads(plan.study), damaged)


def engine(study: Study) -> Engine:
    """Returns the engine of a study. Torch is imported only here."""
    if study.engine == "toy":
        from amuro.engine.toy import ToyEngine

        return ToyEngine(simulator.of(study.toy))
    from amuro.engine.torch import TorchEngine

    return TorchEngine(precision=study.precision, device=study.device, threads=threads(study))


def threads(study: Study) -> int:
    """Returns the cores per worker process."""
    return max(1, len(os.sched_getaffinity(0)) // jobs.workers(study))


@lru_cache(maxsize=2)
def _plan(study: str) -> Plan:
    """Returns the plan of a study given as JSON, cached."""
    return planning.make(Study.model_validate_json(study))


@lru_cache(maxsize=1)
def _worker(study: str, store: str) -> Worker:
    """Returns the worker of this process, cached, so that weights and rows stay in memory between jobs."""
    plan = _plan(study)
    return Worker(plan, _store(store), engine(plan.study), lambda event: None)


@lru_cache(maxsize=1)
def _store(root: str) -> Store:
    """Returns the store of this process, cached."""
    return Store(Path(root))
