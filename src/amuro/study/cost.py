"""What a study would cost before anything is loaded: tokens, FLOPs, GPU hours, disk, downloads. Estimates, shown as ~.

Rows and mean tokens come from each task's `size` (with its source) or, where the rows lie here, from themselves;
parameters from the series. A few-shot prefix is read once for all rows. With N parameters a token costs 2·N FLOPs to
read and 6·N to learn from (Kaplan et al. 2020, arXiv:2001.08361, §2.1).
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
"""Task → what is known of its size."""

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
GENERATION_SLOWDOWN = 10
"""How much slower a written token is than a read one: decoding is bound by memory, not by arithmetic. Assumed."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one model job does, as far as sizes are known; or what it did, in its ledger."""

    parameters: int = 0
    """0 where the series does not tell."""
    method: str = ""
    """Of tuning; empty for a base."""
    cells: int = 0
    rows: int = 0
    read: float = 0.0
    """Tokens, as are the next two."""
    written: float = 0.0
    """At the most: as if nothing stopped early."""
    learned: float = 0.0
    steps: int = 0
    """Of the optimiser, all rates of a rule together."""
    plain: bool = False
    """Rows are read one by one: the model is of a kind that shares nothing between them."""

    @property
    def asking_flops(self) -> float:
        """A written token counts as many as can be read meanwhile."""
        return 2.0 * self.parameters * (self.read + GENERATION_SLOWDOWN * self.written)

    @property
    def tuning_flops(self) -> float:
        return 6.0 * self.parameters * self.learned


@dataclass(frozen=True, slots=True)
class Costs:
    """Of what is missing; what a task or a series does not tell is not counted."""

    works: tuple[Work, ...]
    """One a model job."""
    disk_mb: float
    download_mb: float
    unknown: tuple[str, ...]
    """Tasks and series whose size is not known."""

    @property
    def flops(self) -> float:
        return sum(work.asking_flops + work.tuning_flops for work in self.works)

    @property
    def read_tokens(self) -> float:
        return sum(work.read for work in self.works)

    @property
    def written_tokens(self) -> float:
        """At the most: as if nothing stopped early."""
        return sum(work.written for work in self.works)

    @property
    def learned_tokens(self) -> float:
        return sum(work.learned for work in self.works)

    def facts(self) -> dict[str, Any]:
        """As plain data, the model jobs together."""
        names = ("flops", "read_tokens", "written_tokens", "learned_tokens", "disk_mb", "download_mb", "unknown")
        return {name: getattr(self, name) for name in names}

    def gpu_hours(self, gpu: str) -> float:
        """Hours on one GPU of that name (see GPUS)."""
        return gpu_seconds(self.flops, gpu) / 3600


def gpu_seconds(flops: float, gpu: str) -> float:
    """Seconds of one GPU of that name (see GPUS)."""
    peak, share = GPUS[gpu]
    return flops / (peak * share)


def costs(plan: Plan, missing: Sequence[Cell], sizes: Sizes | None = None) -> Costs:
    """What filling `missing` takes; each tuned model is tuned once for each rate that its rule tries.

    sizes: what is known of each task, where that is more than what the tasks themselves say.
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
    """The model in whose job a cell is filled: one that a rule chooses from is made in the job of the choice."""
    chosen_from = model.recipe is not None and len(model.recipe.learning_rates) > 1
    return replace(model, learning_rate=None) if chosen_from else model


def _work(plan: Plan, model: Model, cells: Sequence[Cell], sizes: Sizes) -> Work:
    asked = [(cell, size) for cell in cells if (size := sizes[cell.eval_set.task])]
    plain = read_plainly(plan, model)
    tokens = [cell_tokens(plan.tasks[cell.eval_set.task], cell, size, plain) for cell, size in asked]
    return Work(
        model.checkpoint.parameters or 0,
        model.recipe.method if model.recipe else "",
        cells=len(cells),
        rows=sum(_rows(cell, size) for cell, size in asked),
        read=sum(read for read, _ in tokens),
        written=sum(written for _, written in tokens),
        learned=tuning_tokens(model, sizes) if model.recipe else 0.0,
        steps=_steps(model.recipe) * _rates(model) if model.recipe else 0,
        plain=plain,
    )


def read_plainly(plan: Plan, model: Model) -> bool:
    """Whether the rows of a model are read one by one, by the configuration that lies here."""
    if plan.study.engine == "toy":
        return False
    kind = load_series_kind(plan.study.series[model.checkpoint.series].kind)
    folder = kind.at_hand(model.checkpoint, Path())  # series that are made here are of a fast kind: none is looked for
    return is_plain(folder / "config.json" if folder else None)


def cell_tokens(task: Task, cell: Cell, size: Size, plain: bool = False) -> tuple[float, float]:
    """(tokens read, tokens written at the most) of one cell. Read plainly, each option has shots and prompt anew."""
    asked, said = size.prompt_tokens, size.answer_tokens
    options = {"classification": len(task.labels), "multiple_choice": OPTIONS}.get(task.kind, 1)
    rows = _rows(cell, size)
    written = rows * task.max_new_tokens if cell.decoding == "greedy" else 0
    if plain:
        return rows * options * ((cell.shots + 1) * (asked + said)), written
    return cell.shots * (asked + said) + rows * (asked + options * said), written


def tuning_tokens(model: Model, sizes: Sizes) -> float:
    """Tokens that the tuning of one model reads, all rates of its rule together; a task of unknown size adds none."""
    recipe = model.recipe
    assert recipe is not None
    return _rates(model) * recipe.epochs * sum(_learned(sizes[name], share, recipe) for name, share in recipe.mixture)


def _learned(size: Size | None, share: float, recipe: Recipe) -> float:
    if size is None:
        return 0.0
    rows = recipe.rows * share / sum(weight for _, weight in recipe.mixture)
    return rows * min(size.prompt_tokens + size.answer_tokens, recipe.max_length)


def _steps(recipe: Recipe) -> int:
    return recipe.epochs * ceil(recipe.rows / recipe.batch_size)


def _rates(model: Model) -> int:
    return len(model.recipe.learning_rates) if model.recipe and model.learning_rate is None else 1


def _rows(cell: Cell, size: Size) -> int:
    return min(cell.limit, size.rows.get(cell.eval_set.split, cell.limit))


def _nameless(cell: Cell, sizes: Sizes) -> Iterable[str]:
    recipe = cell.model.recipe
    for task in (cell.eval_set.task, *(name for name, _ in (recipe.mixture if recipe else ()))):
        if sizes[task] is None:
            yield task
    if cell.model.checkpoint.parameters is None:
        yield cell.model.checkpoint.series


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
