"""Estimates what a study would cost before anything is loaded: tokens, FLOPs, GPU hours, disk, downloads. Shown as ~.

Rows and mean tokens come from each task's `size` (with its source) or, for files on this machine, from the rows;
parameters come from the series. A few-shot prefix is processed once for all rows. With N parameters a token costs 2·N
FLOPs in a forward pass and 6·N in training (Kaplan et al. 2020, arXiv:2001.08361, §2.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from amuro.core.architectures import is_plain
from amuro.core.types import Cell, Model, Recipe, Size, Task
from amuro.series import load_series_kind
from amuro.study.plan import Plan

Sizes = Mapping[str, Size | None]
"""Task → its size, None if unknown."""

GPUS: Mapping[str, tuple[float, float]] = {
    "A100-80GB": (312e12, 0.35),
    "H100-80GB": (989e12, 0.30),
    "H200": (989e12, 0.30),
    "L40S": (362e12, 0.35),
    "RTX-4090": (165e12, 0.40),
}
"""GPU → dense bfloat16 FLOP/s by NVIDIA's data sheets, and the share of it that is assumed to be reached."""

OPTIONS = 4
"""Assumed number of options of a multiple-choice question."""
PREDICTION_BYTES = 120
"""Bytes per stored prediction, measured on the embedded demo."""
WEIGHT_BYTES = 4
"""Bytes per parameter in downloaded weights, if the series does not state the size of its files."""
GENERATION_SLOWDOWN = 10
"""Cost of a generated token in prompt tokens: decoding is bound by memory, not by arithmetic. Assumed."""


@dataclass(frozen=True, slots=True)
class Work:
    """Amounts of one model job: an estimate from known sizes, or what it really did, from its ledger."""

    parameters: int = 0
    """Parameters of the model; 0 if the series does not state them."""
    method: str = ""
    """Method of tuning; '' for a base model."""
    cells: int = 0
    rows: int = 0
    read: float = 0.0
    """Prompt tokens."""
    written: float = 0.0
    """Generated tokens, at most: as if no generation stopped early."""
    learned: float = 0.0
    """Training tokens."""
    steps: int = 0
    """Optimiser steps, summed over the candidate rates."""
    plain: bool = False
    """Whether rows are processed one by one: models of this architecture share no passes between rows."""

    @property
    def asking_flops(self) -> float:
        """FLOPs of evaluation; a generated token counts as `GENERATION_SLOWDOWN` prompt tokens."""
        return 2.0 * self.parameters * (self.read + GENERATION_SLOWDOWN * self.written)

    @property
    def tuning_flops(self) -> float:
        """FLOPs of tuning."""
        return 6.0 * self.parameters * self.learned


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of the missing cells. Tasks and series of unknown size are not counted."""

    works: tuple[Work, ...]
    """One per model job."""
    disk_mb: float
    """Megabytes of predictions."""
    download_mb: float
    """Megabytes of weights and data sets from a hub."""
    unknown: tuple[str, ...]
    """Tasks and series of unknown size."""

    @property
    def flops(self) -> float:
        """FLOPs of evaluation and tuning."""
        return sum(work.asking_flops + work.tuning_flops for work in self.works)

    @property
    def read_tokens(self) -> float:
        """Prompt tokens."""
        return sum(work.read for work in self.works)

    @property
    def written_tokens(self) -> float:
        """Generated tokens, at most: as if no generation stopped early."""
        return sum(work.written for work in self.works)

    @property
    def learned_tokens(self) -> float:
        """Training tokens."""
        return sum(work.learned for work in self.works)

    def facts(self) -> dict[str, Any]:
        """Returns the sums over all model jobs as plain data."""
        names = ("flops", "read_tokens", "written_tokens", "learned_tokens", "disk_mb", "download_mb", "unknown")
        return {name: getattr(self, name) for name in names}

    def gpu_hours(self, gpu: str) -> float:
        """Returns the hours on one GPU (a name in `GPUS`)."""
        return gpu_seconds(self.flops, gpu) / 3600


def gpu_seconds(flops: float, gpu: str) -> float:
    """Returns the seconds that `flops` take on one GPU (a name in `GPUS`)."""
    peak, share = GPUS[gpu]
    return flops / (peak * share)


def costs(plan: Plan, missing: Sequence[Cell], sizes: Sizes | None = None) -> Costs:
    """Estimates what filling the missing cells costs; a model is tuned once per candidate rate.

    `sizes`: sizes of the tasks, if more is known than the tasks state.
    """
    known = sizes or {name: task.size for name, task in plan.tasks.items()}
    jobs: dict[Model, list[Cell]] = {}
    for cell in missing:
        jobs.setdefault(_made_with(cell.model), []).append(cell)
    works = tuple(_work(plan, model, cells, known) for model, cells in jobs.items())
    unknown = dict.fromkeys(name for cell in missing for name in _nameless(cell, known))
    disk = sum(work.rows for work in works) * PREDICTION_BYTES / 1e6
    return Costs(works, disk, _download(plan, missing), tuple(unknown))


def _made_with(model: Model) -> Model:
    """Returns the model in whose job a model is made: candidate rates are tuned in the job of the choice."""
    chosen_from = model.recipe is not None and len(model.recipe.learning_rates) > 1
    return replace(model, learning_rate=None) if chosen_from else model


def _work(plan: Plan, model: Model, cells: Sequence[Cell], sizes: Sizes) -> Work:
    """Returns the amounts of the model job that fills `cells`. Cells of tasks of unknown size count without tokens."""
    sized = [(cell, size) for cell in cells if (size := sizes[cell.eval_set.task])]
    plain = read_plainly(plan, model)
    tokens = [cell_tokens(plan.tasks[cell.eval_set.task], cell, size, plain) for cell, size in sized]
    return Work(
        model.checkpoint.parameters or 0,
        model.recipe.method if model.recipe else "",
        cells=len(cells),
        rows=sum(_rows(cell, size) for cell, size in sized),
        read=sum(read for read, _ in tokens),
        written=sum(written for _, written in tokens),
        learned=tuning_tokens(model, sizes) if model.recipe else 0.0,
        steps=_steps(model.recipe) * _rates(model) if model.recipe else 0,
        plain=plain,
    )


def read_plainly(plan: Plan, model: Model) -> bool:
    """Whether the rows of a model are processed one by one, by the config.json on this machine."""
    if plan.study.engine == "toy":
        return False
    kind = load_series_kind(plan.study.series[model.checkpoint.series].kind)
    folder = kind.at_hand(
        model.checkpoint, Path()
    )  # series made by amuro need no look: their architecture is supported
    return is_plain(folder / "config.json" if folder else None)


def cell_tokens(task: Task, cell: Cell, size: Size, plain: bool = False) -> tuple[float, float]:
    """Returns (prompt tokens, most generated tokens) of one cell. `plain`: shots and prompt are processed again for
    each option.
    """
    prompt, answer = size.prompt_tokens, size.answer_tokens
    options = {"classification": len(task.labels), "multiple_choice": OPTIONS}.get(task.kind, 1)
    rows = _rows(cell, size)
    written = rows * task.max_new_tokens if cell.decoding == "greedy" else 0
    if plain:
        return rows * options * ((cell.shots + 1) * (prompt + answer)), written
    return cell.shots * (prompt + answer) + rows * (prompt + options * answer), written


def tuning_tokens(model: Model, sizes: Sizes) -> float:
    """Returns the training tokens of one model, summed over its candidate rates; tasks of unknown size add none."""
    recipe = model.recipe
    assert recipe is not None
    return _rates(model) * recipe.epochs * sum(_learned(sizes[name], share, recipe) for name, share in recipe.mixture)


def _learned(size: Size | None, share: float, recipe: Recipe) -> float:
    """Returns the training tokens of one task per epoch."""
    if size is None:
        return 0.0
    rows = recipe.rows * share / sum(weight for _, weight in recipe.mixture)
    return rows * min(size.prompt_tokens + size.answer_tokens, recipe.max_length)


def _steps(recipe: Recipe) -> int:
    """Returns the optimiser steps of a recipe."""
    return recipe.epochs * ceil(recipe.rows / recipe.batch_size)


def _rates(model: Model) -> int:
    """Returns how many times a model is tuned: once per candidate rate."""
    return len(model.recipe.learning_rates) if model.recipe and model.learning_rate is None else 1


def _rows(cell: Cell, size: Size) -> int:
    """Returns the rows of a cell: its limit, or all rows of the split if there are fewer."""
    return min(cell.limit, size.rows.get(cell.eval_set.split, cell.limit))


def _nameless(cell: Cell, sizes: Sizes) -> Iterable[str]:
    """Yields the tasks of a cell whose size is unknown, and its series if its parameters are."""
    recipe = cell.model.recipe
    for task in (cell.eval_set.task, *(name for name, _ in (recipe.mixture if recipe else ()))):
        if sizes[task] is None:
            yield task
    if cell.model.checkpoint.parameters is None:
        yield cell.model.checkpoint.series


def _download(plan: Plan, missing: Sequence[Cell]) -> float:
    """Returns the megabytes of weights and rows that come from a hub, including those that its local cache has
    already.
    """
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
