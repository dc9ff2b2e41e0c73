"""What a study would cost before anything is loaded: tokens, FLOPs, GPU hours, disk, downloads. Estimates, shown as ~.

Rows and mean tokens come from each task's `size` (with its source), parameters from the series. A few-shot prefix is
read once for all rows. With N parameters a token costs 2·N FLOPs to read and 6·N to learn from (Kaplan et al. 2020,
arXiv:2001.08361, §2.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from amuro.plan import Plan
from amuro.types import Cell, Checkpoint, Model, Recipe, Task

GPUS: Mapping[str, tuple[float, float]] = {
    "A100-80GB": (312e12, 0.35),
    "H100-80GB": (989e12, 0.30),
    "H200": (989e12, 0.30),
    "L40S": (362e12, 0.35),
    "RTX-4090": (165e12, 0.40),
}
"""Name → dense bfloat16 FLOP/s by NVIDIA's data sheets, and the share of it that is assumed to be reached."""

OPTIONS = 4
"""Options of a multiple-choice question."""
PREDICTION_BYTES = 120
"""Of one kept prediction, measured on the embedded demo."""
WEIGHT_BYTES = 4
"""Of one parameter in downloaded weights, where the series does not say how large its files are."""
CORE_FLOPS = 5e10
"""Of one CPU core in float32, where no ledger tells: about what the demo reaches."""
GENERATION_SLOWDOWN = 10
"""How much slower a written token is than a read one: decoding is bound by memory, not by arithmetic. Assumed."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Of what is missing; None where a task or a series does not tell its size."""

    read_tokens: float
    written_tokens: float
    """At the most: as if nothing stopped early."""
    learned_tokens: float
    flops: float
    disk_mb: float
    download_mb: float
    unknown: tuple[str, ...]
    """Tasks and series whose size is not known: they are not counted."""

    @property
    def core_seconds(self) -> float:
        """Seconds of one CPU core."""
        return self.flops / CORE_FLOPS

    def gpu_hours(self, gpu: str) -> float:
        """Hours on one GPU of that name (see GPUS)."""
        peak, share = GPUS[gpu]
        return self.flops / (peak * share) / 3600


def costs(plan: Plan, missing: Sequence[Cell]) -> Costs:
    """What filling `missing` takes; each tuned model is tuned once for each rate that its rule tries."""
    read = written = learned = flops = disk = 0.0
    unknown: dict[str, None] = {}
    for cell in missing:
        task, size = plan.tasks[cell.eval_set.task], cell.model.checkpoint.parameters
        if task.size is None or size is None:
            unknown |= dict.fromkeys(_nameless(task, cell.model.checkpoint))
            continue
        reads, writes = cell_tokens(task, cell)
        read, written = read + reads, written + writes
        flops += 2 * size * (reads + GENERATION_SLOWDOWN * writes)
        disk += _rows(task, cell) * PREDICTION_BYTES / 1e6
    for model in dict.fromkeys(cell.model for cell in missing if cell.model.recipe):
        tokens = tuning_tokens(plan, model)
        learned += tokens
        flops += 6 * (model.checkpoint.parameters or 0) * tokens
    return Costs(read, written, learned, flops, disk, _download(plan, missing), tuple(unknown))


def cell_tokens(task: Task, cell: Cell) -> tuple[float, float]:
    """(tokens read, tokens written at the most) of one cell."""
    assert task.size is not None
    asked, said = task.size.prompt_tokens, task.size.answer_tokens
    options = {"label": len(task.labels), "choice": OPTIONS}.get(task.kind, 1)
    rows = _rows(task, cell)
    written = rows * task.max_new_tokens if cell.decoding == "greedy" else 0
    return cell.shots * (asked + said) + rows * (asked + options * said), written


def tuning_tokens(plan: Plan, model: Model) -> float:
    """Tokens that the tuning of one model reads, all rates of its rule together; a task of unknown size adds none."""
    recipe = model.recipe
    assert recipe is not None
    rates = len(recipe.learning_rates) if model.learning_rate is None else 1
    return rates * recipe.epochs * sum(_learned(plan.tasks[name], share, recipe) for name, share in recipe.mixture)


def _learned(task: Task, share: float, recipe: Recipe) -> float:
    if task.size is None:
        return 0.0
    rows = recipe.rows * share / sum(weight for _, weight in recipe.mixture)
    return rows * min(task.size.prompt_tokens + task.size.answer_tokens, recipe.max_length)


def _rows(task: Task, cell: Cell) -> int:
    assert task.size is not None
    return min(cell.limit, task.size.rows.get(cell.eval_set.split, cell.limit))


def _nameless(task: Task, checkpoint: Checkpoint) -> Iterable[str]:
    if task.size is None:
        yield task.name
    if checkpoint.parameters is None:
        yield checkpoint.series


def _download(plan: Plan, missing: Sequence[Cell]) -> float:
    """Megabytes of weights and rows that come from a hub; what lies in the hub client's cache already is not known."""
    weights = {
        c.address: (c.bytes or WEIGHT_BYTES * (c.parameters or 0)) / 1e6
        for c in (cell.model.checkpoint for cell in missing)
        if c.source.startswith("hub:")
    }
    tasks = {cell.eval_set.task for cell in missing} | {
        name for cell in missing if cell.model.recipe for name, _ in cell.model.recipe.mixture
    }
    rows = [
        size.megabytes for name in tasks if plan.source(name).startswith("hub:") and (size := plan.tasks[name].size)
    ]
    return sum(weights.values()) + sum(rows)
