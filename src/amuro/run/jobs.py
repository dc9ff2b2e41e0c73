"""The jobs of a run: pre-training, audits, lost texts, one for each model. Each is claimed when its turn comes."""

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
    """Live processes: what the study says, else one a core, or one for a device other than the CPU."""
    return study.workers or (len(os.sched_getaffinity(0)) if study.device == "cpu" else 1)


@dataclass(frozen=True)
class Jobs:
    """What one run does, of a plan, into a store that other runs may fill as well."""

    plan: Plan
    store: Store
    claims: Claims
    emit: OnEvent

    def all(self, missing: Sequence[Cell], finished: Sequence[State]) -> list[Job]:
        """In the order in which they should begin."""
        cells = [*missing, *(state.cell for state in finished)]
        return [*self.pretraining(missing), *self.audits(cells), *self.texts(finished), *self.model_jobs(missing)]

    def pretraining(self, missing: Sequence[Cell]) -> list[Job]:
        """One for each series whose checkpoints are made here and are not all there."""
        names = dict.fromkeys(checkpoint.series for checkpoint in made_here(self.plan, missing))
        return [job for name in names for job in self._pretraining(name)]

    def _pretraining(self, name: str) -> list[Job]:
        checkpoints = [c for c in self.plan.checkpoints if c.series == name]

        def left(payload: Payload) -> Payload:
            return {} if all(self._is_there(checkpoint) for checkpoint in checkpoints) else payload

        request_batch = {"pretrain": name}
        return self._job(f"pre-training {name}", f"pre-training {checkpoints[0].identity}", request_batch, left)

    def audits(self, cells: Sequence[Cell]) -> list[Job]:
        """One for the sets that these cells ask and of which nothing is known yet."""

        def left(payload: Payload) -> Payload:
            names = upkeep.unaudited_sets(self.plan, self.store, cells)
            return {**payload, "audit": names} if names else {}

        return self._job("audits", "audits", {}, left)

    def texts(self, finished: Sequence[State]) -> list[Job]:
        """One for what was lost of the wording of finished cells."""

        def left(payload: Payload) -> Payload:
            lost = [cell.address for cell in upkeep.without_texts(self.plan, self.store, finished)]
            return {**payload, "texts": lost} if lost else {}

        return self._job("texts", "texts", {}, left)

    def model_jobs(self, missing: Sequence[Cell]) -> list[Job]:
        """One for each model with missing cells, those of the models included that a rule would choose it from."""
        asked = self._asked({cell.address for cell in missing})
        following = _following([model.checkpoint for model in asked])
        return [
            Job(
                model.address,
                self._payload({"model": model.address, "cells": cells, "following": following[model.checkpoint]}),
                self._ready(model),
                self._share(model.address, self._left),
            )
            for model, cells in asked.items()
        ]  # fmt: skip

    def _asked(self, wanted: set[str]) -> dict[Model, list[str]]:
        by_model = self.plan.cells_by_model()
        served = {model: grid.candidates(model) for model in self.plan.models}
        members = {member for model, own in served.items() for member in own if member != model}
        asked = {
            model: [c.address for m in dict.fromkeys((model, *own)) for c in by_model.get(m, ()) if c.address in wanted]
            for model, own in served.items()
            if model not in members
        }
        return {model: cells for model, cells in asked.items() if cells}

    def _left(self, payload: Payload) -> Payload:
        """What of a model job no other run has done meanwhile."""
        cells = payload["cells"]
        if self.claims.contested:
            asked = [state for state in states(self.plan, self.store) if state.cell.address in payload["cells"]]
            for state in (state for state in asked if state.done):
                self.emit({"event": "there", "cell": state.cell.address})
            cells = [state.cell.address for state in asked if state.missing]
        return {**payload, "cells": cells} if cells else {}

    def _ready(self, model: Model) -> Callable[[], bool]:
        made = _is_made_here(self.plan, model.checkpoint.series)
        return lambda: not made or self._is_there(model.checkpoint)

    def _is_there(self, checkpoint: Checkpoint) -> bool:
        folder = folder_of(self.plan, self.store, checkpoint)
        return folder is not None and folder.is_dir()

    def _job(self, name: str, work: str, work_of: Payload, left: Callable[[Payload], Payload]) -> list[Job]:
        """The job of that name, if anything of it is left to do."""
        payload = left(self._payload(work_of))
        return [Job(name, payload, lambda: True, self._share(work, left))] if payload else []

    def _share(self, work: str, left: Callable[[Payload], Payload]) -> Share:
        return Share(self.claims, work, left, lambda: self.emit({"event": "waits", "job": work}))

    def _payload(self, further: Mapping[str, Any]) -> dict[str, Any]:
        return {"study": self.plan.study.model_dump_json(), "store": str(self.store.root), **further}


def made_here(plan: Plan, missing: Sequence[Cell]) -> list[Checkpoint]:
    """The checkpoints of these cells that amuro pre-trains itself."""
    checkpoints = dict.fromkeys(cell.model.checkpoint for cell in missing)
    return [checkpoint for checkpoint in checkpoints if _is_made_here(plan, checkpoint.series)]


def _is_made_here(plan: Plan, name: str) -> bool:
    return load_series_kind(plan.study.series[name].kind).pretraining is not None


def _following(checkpoints: Sequence[Checkpoint]) -> dict[Checkpoint, str | None]:
    """Checkpoint → address of the one that is run after it, to be read ahead."""
    order = list(dict.fromkeys(checkpoints))
    return {checkpoint: after.address if after else None for checkpoint, after in zip_longest(order, order[1:])}
