"""Makes the plan of a study: every model and every cell. Pure: reads no weights, no rows and no network.

The refusals are in `study/plan_checks.py`; which models and cells a table means, in `study/grid.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amuro.core.errors import StudyError
from amuro.core.hashing import digest
from amuro.core.types import Cell, Checkpoint, EvalSet, Model, Recipe, Task
from amuro.prompts import render
from amuro.series import load_series_kind
from amuro.study import grid, plan_checks
from amuro.study.config import Study
from amuro.study.tables import Series, Tune

SEMANTICS = {"prompt": 2, "tune": 2, "score": 2, "generate": 2}
"""Step → version of its semantics. A developer raises it when the step's results can change; it is part of the key of
every cell that the step contributes to, so that stores fill those cells again.
"""

JUDGED = {"metric", "chance", "family"}
"""Keys of a user-defined task that change no prediction, only how predictions are scored and grouped."""


@dataclass(frozen=True)
class Plan:
    """The models and cells of one study."""

    study: Study
    checkpoints: tuple[Checkpoint, ...]
    """Of every series, in the order of the study's tables."""
    models: tuple[Model, ...]
    """Every model with at least one cell: by step, bases first, then by tuning seed and address."""
    cells: tuple[Cell, ...]
    """Every cell once, in the order of `models`."""
    roles: Mapping[str, str]
    """Cell address → role of its set for its model (in_domain, out_of_domain, dev, facts, corpus, base, cross_task).
    The same set has different roles for different models.
    """

    def cells_by_model(self) -> dict[Model, tuple[Cell, ...]]:
        """Returns each model with all its cells (the unit of work), in the order of `models`."""
        grouped: dict[Model, list[Cell]] = {model: [] for model in self.models}
        for cell in self.cells:
            grouped[cell.model].append(cell)
        return {model: tuple(cells) for model, cells in grouped.items()}

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Every task that is evaluated or tuned on, by name, sorted."""
        names = {cell.eval_set.task for cell in self.cells}
        names |= {task for tune in self.study.tune for task in tune.tasks}
        return {name: self.study.task(name) for name in sorted(names)}

    def source(self, task: str) -> str:
        """Returns where a task's rows come from: the study's `sources` entry, else the task's own source."""
        return self.study.sources.get(task, self.tasks[task].source)

    def revision(self, task: str) -> str | None:
        """Returns what pins a task's rows: the seed of the world for `world:` sources, else a commit of the hub or
        None.
        """
        if self.source(task).startswith("world:"):
            return str(self.study.world_seed)
        stated = self.tasks[task].revision if self.source(task) == self.tasks[task].source else None
        return self.study.revisions.get(task, stated)

    def origin(self, task: str, split: str) -> dict[str, Any]:
        """Returns the identity of a set's rows, part of an audit's key. A protocol may read other rows for the same
        split.
        """
        return {
            "task": task,
            "split": split,
            "source": self.source(task),
            "revision": self.revision(task),
            "protocol": self.study.protocol,
        }

    def asked(self, task: str, split: str) -> dict[str, Any]:
        """Returns the largest row limit and number of shots with which a set is evaluated, part of an audit's key."""
        cells = [cell for cell in self.cells if cell.eval_set == EvalSet(task, split)]
        limit = max((cell.limit for cell in cells), default=None)
        shots = max((cell.shots for cell in cells), default=0)
        return {"limit": limit, "shots": shots, "shot_seed": self.study.shot_seed if shots else 0}

    def task_with_source(self, task: str) -> Task:
        """Returns the task with the source that this study reads."""
        return dataclasses.replace(self.tasks[task], source=self.source(task))

    def series_options(self, name: str) -> dict[str, Any]:
        """Returns the options of a series' table; kind `world` gets the study's `world_seed` unless it sets its own."""
        return series_options(self.study, self.study.series[name])

    def declared(self, cell: Cell) -> dict[str, Any]:
        """Returns the inputs of a cell that are known without loading anything; if one changes, the cell is stale."""
        task = self.tasks[cell.eval_set.task]
        inputs: dict[str, Any] = {
            "template": render.template(task, cell.format),
            "instruction": cell.instruction,
            "separator": task.separator if cell.shots else "",
            "labels": list(task.labels),
            "task": self._own(task.name),
            "stop": list(task.stop) if task.kind == "generation" else [],
            "max_new_tokens": task.max_new_tokens if task.kind == "generation" else 0,
            "source": self._place(task.name),
            "splits": {name: self.tasks[of].splits[split] for name, (of, split) in self.rows_read(cell).items()},
            "revision": self.revision(task.name),
            "engine": engine_name(self.study),
            "semantics": {k: SEMANTICS[k] for k in ("prompt", "generate" if task.kind == "generation" else "score")},
        }
        if self.study.protocol != "corrected":
            inputs["asking"] = [task.shots_from, task.encoding, task.label_scoring]
        if task.unconditional:
            inputs["unconditional"] = task.unconditional
        if cell.model.recipe is not None:
            inputs["tuning"] = self.tuning(cell.model)
        return inputs

    def tuning(self, model: Model) -> dict[str, Any]:
        """Returns the inputs of a tuned model: its recipe, training templates and sources, and how its rate is
        chosen.
        """
        assert model.recipe is not None
        names = [name for name, _ in model.recipe.mixture]
        declared: dict[str, Any] = {
            "semantics": SEMANTICS["tune"],
            "recipe": model.recipe_digest,
            "words": {name: render.template(self.tasks[name], model.recipe.format) for name in names},
            "tasks": {name: self._own(name) for name in names},
            "sources": {name: [self._place(name), self.revision(name)] for name in names},
        }
        if model.learning_rate is None:
            metrics = {name: self.tasks[name].metric for name in names}
            declared["choice"] = {"rows": self.study.dev_limit, "metrics": metrics}
        return declared

    def rows_read(self, cell: Cell) -> dict[str, tuple[str, str]]:
        """Returns the rows that a cell's result depends on: their purpose → (task, split as amuro names it)."""
        task, model = self.tasks[cell.eval_set.task], cell.model
        rows = {"evaluated": (task.name, cell.eval_set.split)}
        if cell.shots and task.shots_from != "evaluation":
            rows["shots"] = (task.name, "train")
        for name, _ in model.recipe.mixture if model.recipe else ():
            rows[f"learned {name}"] = (name, "train")
            if model.learning_rate is None and "dev" in self.tasks[name].splits:
                rows[f"chosen on {name}"] = (name, "dev")
        return rows

    def outside(self, cell: Cell) -> list[str]:
        """Returns the dotted names of the tasks and formats outside the package that a cell uses, sorted."""
        recipe = cell.model.recipe
        names = [cell.eval_set.task, cell.format, *([recipe.format] if recipe else [])]
        names += [task for task, _ in recipe.mixture] if recipe else []
        return sorted({name for name in names if "." in name and name not in self.study.tasks})

    def _place(self, task: str) -> str:
        """Returns the source of a task's rows; 'file' for any file, whose bytes are digested wherever it is stored."""
        source = self.source(task)
        return "file" if source.startswith("file:") else source

    def _own(self, task: str) -> dict[str, Any]:
        """Returns the keys of a user-defined task that decide its examples; {} for a shipped task."""
        table = self.study.tasks.get(task)
        return table.model_dump(mode="json", exclude=JUDGED | {"source", "splits"}) if table else {}


def engine_name(study: Study) -> str:
    """Returns the name of the engine; the toy engine's name carries a digest of its simulator parameters."""
    return study.engine if study.engine != "toy" else f"toy-{digest(dict(study.toy))[:8]}"


def make(study: Study) -> Plan:
    """Makes the plan of a study.

    Raises `StudyError` if a block names no cell, if two blocks evaluate the same cell with different limits, if a
    metric does not fit its task, if an architecture is not supported, or if the grid is too large.
    """
    for name in study.task_names:
        plan_checks.refuse_unfit_metric(study.task(name))
    checkpoints = tuple(c for name in study.series for c in _checkpoints(study, name))
    plan_checks.refuse_unknown_steps(study, checkpoints)
    recipes = {tune.name: _recipe(tune, study.protocol) for tune in study.tune}
    for recipe in recipes.values():
        plan_checks.refuse_blind_choice(study, recipe)
    tuned_per_checkpoint = sum(grid.models_per_checkpoint(tune) for tune in study.tune)
    plan_checks.refuse_many("models", len(checkpoints) * (1 + tuned_per_checkpoint))
    bases = [Model(checkpoint) for checkpoint in checkpoints]
    tuned = [m for tune in study.tune for m in grid.tuned_models(tune, recipes[tune.name], checkpoints)]
    roles: dict[str, str] = {}
    cells: dict[str, Cell] = {}
    for cell, role in grid.cells(study, bases, tuned):
        cells.setdefault(cell.address, cell)
        roles.setdefault(cell.address, role)
    plan_checks.refuse_two_limits(cells.values())
    plan_checks.refuse_unfit_architecture(study, cells.values())
    order = {model: i for i, model in enumerate(sorted({c.model for c in cells.values()}, key=_model_order))}
    ordered = sorted(cells.values(), key=lambda cell: order[cell.model])
    return Plan(study, checkpoints, tuple(order), tuple(ordered), roles)


def series_options(study: Study, series: Series) -> dict[str, Any]:
    """Returns the same as `Plan.series_options`, before there is a plan."""
    return {"world_seed": study.world_seed, **series.options} if series.kind == "world" else series.options


def _model_order(model: Model) -> tuple[Any, ...]:
    """Returns the sort key of `Plan.models`."""
    return (model.checkpoint.step, model.recipe is not None, model.tune_seed or 0, model.address)


def _checkpoints(study: Study, name: str) -> tuple[Checkpoint, ...]:
    """Returns the checkpoints of a series. Raises StudyError if there are none."""
    series = study.series[name]
    checkpoints = load_series_kind(series.kind).checkpoints(name, series_options(study, series))
    if not checkpoints:
        raise StudyError(f"series {name} has no checkpoint", cure="name at least one step or folder")
    return checkpoints


def _recipe(tune: Tune, protocol: str) -> Recipe:
    """Returns the recipe of a [[tune]] table; keys that choose checkpoints, seeds and sets are no part of it."""
    shared = {f.name: getattr(tune, f.name) for f in dataclasses.fields(Recipe) if hasattr(tune, f.name)}
    return Recipe(**shared, mixture=tuple(tune.tasks.items()), learning_rates=tune.learning_rate, protocol=protocol)
