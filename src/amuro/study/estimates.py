"""How long a study would take: the arithmetic of `study/cost.py` at assumed speeds, or at those of its own jobs.

A model job's ledger says what it did (cells, tokens, optimiser steps) and how long that took. What the same arithmetic
gives for it, against what it took, corrects the estimate of jobs like it: same engine, device, precision and kind of
work, and a model of about the same size. Nothing else is taken from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from amuro.core.types import Cell
from amuro.series import _pretrained, load_series_kind
from amuro.study import row_counts
from amuro.study.config import Study
from amuro.study.cost import Costs, Work, costs, gpu_seconds
from amuro.study.plan import Plan
from amuro.study.status import State
from amuro.study.store import Store

CORE_FLOPS = 4e10
"""Of one CPU core in float32 on models of a few million weights."""
CELL_SECONDS, ROW_SECONDS = 0.1, 5e-4
"""Of words, ids, predictions and their storing, besides arithmetic."""
STEP_SECONDS = 0.01
"""Of one optimiser step, besides arithmetic."""
PLAIN_ROW_SECONDS, PLAIN_STEPS = 2e-2, 4
"""Of a row whose options are read one by one, and by how much a step with padded rows is slower."""
START_SECONDS = 6.0
"""Of a worker: torch and transformers are loaded."""
LOAD_SECONDS, LOAD_BYTES = 1.0, 1e9
"""Of one checkpoint, and bytes of its weights a second."""
TOY_CELL_SECONDS = 0.02
ALIKE = 2.0
"""Models up to so many times larger or smaller are alike."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of one core, or of the device where it is no CPU. What is not known is not counted (`Costs.unknown`)."""

    asking_seconds: float
    """With the loading of checkpoints."""
    tuning_seconds: float
    pretraining_seconds: float
    """Of series that are made here and are not there yet."""
    model_jobs: int
    measured: int
    """Visits that are estimated by the ledgers of model jobs like them."""

    @property
    def seconds(self) -> float:
        return self.asking_seconds + self.tuning_seconds + self.pretraining_seconds

    def facts(self) -> dict[str, float]:
        """As plain data."""
        return {"seconds": self.seconds, **asdict(self)}


def of_missing(plan: Plan, found: Sequence[State], store: Store, gpu: str) -> tuple[Estimate, Costs]:
    """What the missing cells among `found` take. Raises DataError where the files of a task are not what is asked."""
    missing = [state.cell for state in found if state.missing]
    cost = costs(plan, missing, row_counts.check(plan, missing, only_here=True))
    return estimate(plan, missing, cost, store, gpu), cost


def estimate(plan: Plan, missing: Sequence[Cell], cost: Costs, store: Store, gpu: str) -> Estimate:
    """How long what is missing takes. `gpu` names the GPU whose speed is assumed where the device is no CPU."""
    notes = [note for note in store.notes("ledger") if "work" in note]
    asking = tuning = 0.0
    measured = 0
    for work, jobs in Counter(cost.works).items():
        like = [note for note in notes if _alike(note, work, plan.study)]
        batches, tunes = assumed(work, plan.study, gpu)
        asking += jobs * batches * _correction(like, plan.study, gpu, 0)
        tuning += jobs * tunes * _correction(like, plan.study, gpu, 1)
        measured += jobs * bool(like)
    if plan.study.engine != "toy":
        asking += START_SECONDS * min(max(1, plan.study.workers), len(cost.works))
    return Estimate(asking, tuning, _pretraining(plan, missing, store, gpu), len(cost.works), measured)


def assumed(work: Work, study: Study, gpu: str) -> tuple[float, float]:
    """Seconds of asking (with loading) and of tuning, at assumed speeds."""
    if study.engine == "toy":
        return work.cells * TOY_CELL_SECONDS, 0.0
    load = LOAD_SECONDS + 4 * work.parameters / LOAD_BYTES
    row, step = (PLAIN_ROW_SECONDS, PLAIN_STEPS * STEP_SECONDS) if work.plain else (ROW_SECONDS, STEP_SECONDS)
    request_batch = load + work.cells * CELL_SECONDS + work.rows * row + _arithmetic(work.asking_flops, study, gpu)
    return request_batch, work.steps * step + _arithmetic(work.tuning_flops, study, gpu)


def _arithmetic(flops: float, study: Study, gpu: str) -> float:
    return flops / CORE_FLOPS if study.device == "cpu" else gpu_seconds(flops, gpu)


def _correction(notes: Sequence[Mapping[str, Any]], study: Study, gpu: str, kind: int) -> float:
    """What model jobs took by what is assumed for them: of asking (kind 0) or of tuning (1); 1 where there are none."""
    expected = sum(assumed(Work(**note["work"]), study, gpu)[kind] for note in notes)
    taken = _taken(notes, study.device == "cpu")[kind]
    return taken / expected if expected > 0 < taken else 1.0


def _taken(notes: Sequence[Mapping[str, Any]], of_core: bool) -> tuple[float, float]:
    """Seconds of asking and of tuning, all model jobs together: what one trains for those after it, they count too."""
    clock, tuning, core = (sum(n[key] for n in notes) for key in ("seconds", "tuning_seconds", "core_seconds"))
    share = core / clock if of_core and clock else 1.0
    return (clock - tuning) * share, tuning * share


def _alike(note: Mapping[str, Any], work: Work, study: Study) -> bool:
    """Whether a ledger is of such a model job: its speed tells that of this one."""
    where = (study.engine, study.device, study.precision, work.method)
    done = Work(**note["work"])
    same = (note["engine"], note["device"], note["precision"], done.method) == where
    near = max(done.parameters, work.parameters) <= ALIKE * min(done.parameters, work.parameters)
    return same and near and done.cells > 0


def _pretraining(plan: Plan, missing: Sequence[Cell], store: Store, gpu: str) -> float:
    """Seconds of the series among what is missing that are made here and are not there."""
    found = 0.0
    for name in dict.fromkeys(cell.model.checkpoint.series for cell in missing):
        declare = load_series_kind(plan.study.series[name].kind).pretraining
        own = [checkpoint for checkpoint in plan.checkpoints if checkpoint.series == name]
        if declare and not all(_pretrained.at_hand(checkpoint, store.root / "series") for checkpoint in own):
            found += _arithmetic(declare(plan.series_options(name)).flops, plan.study, gpu)
    return found
