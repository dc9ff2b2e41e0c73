"""The jobs of a run: pre-training, audits, lost prompts, and one per model. A job is claimed when it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from amuro.core.types import Cell, Checkpoint, Model
from amuro.run import upkeep
from amuro.run.checkpoint_loader import folder_of
from amuro.run.claims import Claims, Payload, Share
from amuro.run.executors.base import Job, OnEvent
from amuro.series import load_series_kind
from amuro.study import grid
from amuro.study.config import Study
from amuro.study.plan import Plan
from amuro.study.status import State, states
from amuro.study.store import Store


def workers(study: Study) -> int:
    """Returns the number of worker processes: the study's, else one per core, or one if the device is no CPU."""
    return study.workers or (len(os.sched_getaffinity(0)) if study.device == "cpu" else 1)


@dataclass(frozen=True)
class Jobs:
    """Makes the jobs of one run of a plan. Other runs may fill the same store."""

    plan: Plan
    store: Store
    claims: Claims
    emit: OnEvent

    def all(self, missing: Sequence[Cell], finished: Sequence[State]) -> list[Job]:
        """Returns all jobs in the order in which they should start."""
        cells = [*missing, *(state.cell for state in finished)]
        return [*self.pretraining(missing), *self.audits(cells), *self.texts(finished), *self.model_jobs(missing)]

    def pretraining(self, missing: Sequence[Cell]) -> list[Job]:
        """Returns one job per series that amuro pre-trains and whose checkpoints are not all in the store."""
        names = dict.fromkeys(checkpoint.series for checkpoint in made_here(self.plan, missing))
        return [job for name in names for job in self._pretraining(name)]

    def _pretraining(self, name: str) -> list[Job]:
        """Returns the pre-training job of a series, if anything is left to do."""
        checkpoints = [c for c in self.plan.checkpoints if c.series == name]

        def left(payload: Payload) -> Payload:
            return {} if all(self._is_there(checkpoint) for checkpoint in checkpoints) else payload

        work = {"pretrain": name}
        return self._job(f"pre-training {name}", f"pre-training {checkpoints[0].identity}", work, left)

    def audits(self, cells: Sequence[Cell]) -> list[Job]:
        """Returns the job that audits the evaluation sets of these cells, if any has no stored audit."""

        def left(payload: Payload) -> Payload:
            names = upkeep.unaudited_sets(self.plan, self.store, cells)
            return {**payload, "audit": names} if names else {}

        return self._job("audits", "audits", {}, left)

    def texts(self, finished: Sequence[State]) -> list[Job]:
        """Returns the job that stores the lost prompts of finished cells again, if any are lost."""

        def left(payload: Payload) -> Payload:
            lost = [cell.address for cell in upkeep.without_texts(self.plan, self.store, finished)]
            return {**payload, "texts": lost} if lost else {}

        return self._job("texts", "texts", {}, left)

    def model_jobs(self, missing: Sequence[Cell]) -> list[Job]:
        """Returns one job per model with missing cells; candidate rates belong to the job of their choice."""
        cells_by_model = self._asked({cell.address for cell in missing})
        following = _following([model.checkpoint for model in cells_by_model])
        return [
            Job(
                model.address,
                self._payload({"model": model.address, "cells": cells, "following": following[model.checkpoint]}),
                self._ready(model),
                self._share(model.address, self._left),
            )
            for model, cells in cells_by_model.items()
        ]  # fmt: skip

    def _asked(self, wanted: set[str]) -> dict[Model, list[str]]:
        """Returns model → addresses of the cells among `wanted` that its job fills."""
        by_model = self.plan.cells_by_model()
        candidates = {model: grid.candidates(model) for model in self.plan.models}
        candidate_models = {
            candidate for model, models in candidates.items() for candidate in models if candidate != model
        }
        cells_by_job = {
            model: [
                c.address for m in dict.fromkeys((model, *models)) for c in by_model.get(m, ()) if c.address in wanted
            ]
            for model, models in candidates.items()
            if model not in candidate_models
        }
        return {model: cells for model, cells in cells_by_job.items() if cells}

    def _left(self, payload: Payload) -> Payload:
        """Returns the payload without the cells that another run has filled meanwhile; {} if none is left."""
        cells = payload["cells"]
        if self.claims.contested:
            cell_states = [state for state in states(self.plan, self.store) if state.cell.address in payload["cells"]]
            for state in (state for state in cell_states if state.done):
                self.emit({"event": "there", "cell": state.cell.address})
            cells = [state.cell.address for state in cell_states if state.missing]
        return {**payload, "cells": cells} if cells else {}

    def _ready(self, model: Model) -> Callable[[], bool]:
        """Returns whether the model's checkpoint exists, as a function to call later."""
        made = _is_made_here(self.plan, model.checkpoint.series)
        return lambda: not made or self._is_there(model.checkpoint)

    def _is_there(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint's folder exists."""
        folder = folder_of(self.plan, self.store, checkpoint)
        return folder is not None and folder.is_dir()

    def _job(self, name: str, work: str, work_of: Payload, left: Callable[[Payload], Payload]) -> list[Job]:
        """Returns the job in a list, or [] if nothing is left to do."""
        payload = left(self._payload(work_of))
        return [Job(name, payload, lambda: True, self._share(work, left))] if payload else []

    def _share(self, work: str, left: Callable[[Payload], Payload]) -> Share:
        """Returns the claim on a piece of work."""
        return Share(self.claims, work, left, lambda: self.emit({"event": "waits", "job": work}))

    def _payload(self, further: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the payload of a job: the study, the store and `further` keys, as plain data."""
        return {"study": self.plan.study.model_dump_json(), "store": str(self.store.root), **further}


def made_here(plan: Plan, missing: Sequence[Cell]) -> list[Checkpoint]:
    """Returns the checkpoints of these cells that amuro pre-trains itself, each once."""
    checkpoints = dict.fromkeys(cell.model.checkpoint for cell in missing)
    return [checkpoint for checkpoint in checkpoints if _is_made_here(plan, checkpoint.series)]


def _is_made_here(plan: Plan, name: str) -> bool:
    """Whether amuro pre-trains this series."""
    return load_series_kind(plan.study.series[name].kind).pretraining is not None


def _following(checkpoints: Sequence[Checkpoint]) -> dict[Checkpoint, str | None]:
    """Returns checkpoint → address of the checkpoint that runs after it, whose files are read ahead."""
    order = list(dict.fromkeys(checkpoints))
    return {checkpoint: after.address if after else None for checkpoint, after in zip_longest(order, order[1:])}
