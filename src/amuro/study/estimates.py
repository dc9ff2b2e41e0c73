"""Estimates how long a study takes: the costs of `study/cost.py` at assumed speeds, corrected by earlier model jobs.

A model job's ledger records its amounts (cells, tokens, optimiser steps) and its duration. The ratio of the measured
to the assumed duration corrects the estimate of similar jobs: same engine, device, precision and method, and a model
of about the same size.
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
"""FLOP/s of one CPU core in float32 on models of a few million parameters."""
CELL_SECONDS, ROW_SECONDS = 0.1, 5e-4
"""Seconds per cell and per row for prompts, token ids, predictions and their storing, without arithmetic."""
STEP_SECONDS = 0.01
"""Seconds per optimiser step, without arithmetic."""
PLAIN_ROW_SECONDS, PLAIN_STEPS = 2e-2, 4
"""Seconds per row whose options are processed one by one, and slowdown of a step with padded rows."""
START_SECONDS = 6.0
"""Seconds to start a worker process: it imports torch and transformers."""
LOAD_SECONDS, LOAD_BYTES = 1.0, 1e9
"""Seconds to load a checkpoint, plus bytes of weights per second."""
TOY_CELL_SECONDS = 0.02
"""Seconds per cell of the toy engine."""
ALIKE = 2.0
"""Models are similar in size if their parameters differ by at most this factor."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of one core, or of the device if that is no CPU. What is unknown is not counted (`Costs.unknown`)."""

    asking_seconds: float
    """Evaluation, including the loading of checkpoints."""
    tuning_seconds: float
    pretraining_seconds: float
    """Series that amuro pre-trains and that are not in the store yet."""
    model_jobs: int
    """Number of model jobs."""
    measured: int
    """Number of model jobs whose estimate is corrected by ledgers of similar jobs."""

    @property
    def seconds(self) -> float:
        """Evaluation, tuning and pre-training."""
        return self.asking_seconds + self.tuning_seconds + self.pretraining_seconds

    def facts(self) -> dict[str, float]:
        """Returns the estimate as plain data."""
        return {"seconds": self.seconds, **asdict(self)}


def of_missing(plan: Plan, cell_states: Sequence[State], store: Store, gpu: str) -> tuple[Estimate, Costs]:
    """Estimates the missing cells among `cell_states`. Raises DataError if a task's files do not have the planned
    rows.
    """
    missing = [state.cell for state in cell_states if state.missing]
    cost = costs(plan, missing, row_counts.check(plan, missing, only_here=True))
    return estimate(plan, missing, cost, store, gpu), cost


def estimate(plan: Plan, missing: Sequence[Cell], cost: Costs, store: Store, gpu: str) -> Estimate:
    """Returns the estimate of the missing cells. `gpu`: the GPU whose speed is assumed if the device is no CPU."""
    notes = [note for note in store.notes("ledger") if "work" in note]
    evaluation = tuning = 0.0
    measured = 0
    for work, jobs in Counter(cost.works).items():
        similar = [note for note in notes if _alike(note, work, plan.study)]
        evaluation_seconds, tuning_seconds = assumed(work, plan.study, gpu)
        evaluation += jobs * evaluation_seconds * _correction(similar, plan.study, gpu, 0)
        tuning += jobs * tuning_seconds * _correction(similar, plan.study, gpu, 1)
        measured += jobs * bool(similar)
    if plan.study.engine != "toy":
        evaluation += START_SECONDS * min(max(1, plan.study.workers), len(cost.works))
    return Estimate(evaluation, tuning, _pretraining(plan, missing, store, gpu), len(cost.works), measured)


def assumed(work: Work, study: Study, gpu: str) -> tuple[float, float]:
    """Returns the seconds of evaluation (with loading) and of tuning of one model job at the assumed speeds."""
    if study.engine == "toy":
        return work.cells * TOY_CELL_SECONDS, 0.0
    load = LOAD_SECONDS + 4 * work.parameters / LOAD_BYTES
    row, step = (PLAIN_ROW_SECONDS, PLAIN_STEPS * STEP_SECONDS) if work.plain else (ROW_SECONDS, STEP_SECONDS)
    evaluation = load + work.cells * CELL_SECONDS + work.rows * row + _arithmetic(work.asking_flops, study, gpu)
    return evaluation, work.steps * step + _arithmetic(work.tuning_flops, study, gpu)


def _arithmetic(flops: float, study: Study, gpu: str) -> float:
    """Returns the seconds that `flops` take on the study's device."""
    return flops / CORE_FLOPS if study.device == "cpu" else gpu_seconds(flops, gpu)


def _correction(notes: Sequence[Mapping[str, Any]], study: Study, gpu: str, kind: int) -> float:
    """Returns measured / assumed seconds of earlier model jobs, of evaluation (`kind` 0) or tuning (1); 1 without
    any.
    """
    expected = sum(assumed(Work(**note["work"]), study, gpu)[kind] for note in notes)
    taken = _taken(notes, study.device == "cpu")[kind]
    return taken / expected if expected > 0 < taken else 1.0


def _taken(notes: Sequence[Mapping[str, Any]], of_core: bool) -> tuple[float, float]:
    """Returns the measured seconds of evaluation and of tuning, summed over model jobs. `of_core`: seconds of one
    core.
    """
    clock, tuning, core = (sum(n[key] for n in notes) for key in ("seconds", "tuning_seconds", "core_seconds"))
    share = core / clock if of_core and clock else 1.0
    return (clock - tuning) * share, tuning * share


def _alike(note: Mapping[str, Any], work: Work, study: Study) -> bool:
    """Whether a ledger is of a similar model job, so that its speed applies."""
    where = (study.engine, study.device, study.precision, work.method)
    done = Work(**note["work"])
    same = (note["engine"], note["device"], note["precision"], done.method) == where
    near = max(done.parameters, work.parameters) <= ALIKE * min(done.parameters, work.parameters)
    return same and near and done.cells > 0


def _pretraining(plan: Plan, missing: Sequence[Cell], store: Store, gpu: str) -> float:
    """Returns the seconds to pre-train the series that amuro makes and that the store lacks."""
    seconds = 0.0
    for name in dict.fromkeys(cell.model.checkpoint.series for cell in missing):
        declare = load_series_kind(plan.study.series[name].kind).pretraining
        checkpoints = [checkpoint for checkpoint in plan.checkpoints if checkpoint.series == name]
        if declare and not all(_pretrained.at_hand(checkpoint, store.root / "series") for checkpoint in checkpoints):
            seconds += _arithmetic(declare(plan.series_options(name)).flops, plan.study, gpu)
    return seconds
