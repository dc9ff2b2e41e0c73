"""Study → every model to make and every cell to fill. Pure: no weights, no rows, no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from amuro.core import architectures, registry
from amuro.core.errors import StudyError
from amuro.core.hashing import digest
from amuro.core.types import Cell, Checkpoint, EvalSet, Model, Recipe, Task, exact
from amuro.prompts import render
from amuro.series import load_series_kind
from amuro.study.config import Study, eval_set
from amuro.study.tables import ROLES, Evaluate, Series, Tune
from amuro.tasks.metrics import load_metric

SEMANTICS = {"prompt": 2, "tune": 2, "score": 2, "generate": 2}
"""Bumped by a developer when a step's results can change; part of every key that the step feeds."""

JUDGED = {"metric", "chance", "family"}
"""Keys of a task of one's own that change no prediction, only what is said of it."""

FACTS_FAMILY, CORPUS_FAMILY = "facts", "corpus"


@dataclass(frozen=True)
class Plan:
    """The grid. `roles` says what each cell's set is to its model: a relation, never a fact of the task."""

    study: Study
    checkpoints: tuple[Checkpoint, ...]
    models: tuple[Model, ...]
    cells: tuple[Cell, ...]
    roles: Mapping[str, str]

    def cells_by_model(self) -> dict[Model, tuple[Cell, ...]]:
        """The unit of work: a model and all its cells, earlier checkpoints and bases first."""
        grouped: dict[Model, list[Cell]] = {model: [] for model in self.models}
        for cell in self.cells:
            grouped[cell.model].append(cell)
        return {model: tuple(cells) for model, cells in grouped.items()}

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Every task that is asked or tuned on, by name."""
        names = {cell.eval_set.task for cell in self.cells}
        names |= {task for tune in self.study.tune for task in tune.tasks}
        return {name: self.study.task(name) for name in sorted(names)}

    def source(self, task: str) -> str:
        return self.study.sources.get(task, self.tasks[task].source)

    def revision(self, task: str) -> str | None:
        """What pins the rows: the world's seed for `world:` sources, the commit of a data set of the hub."""
        if self.source(task).startswith("world:"):
            return str(self.study.world_seed)
        own = self.tasks[task].revision if self.source(task) == self.tasks[task].source else None
        return self.study.revisions.get(task, own)

    def origin(self, task: str, split: str) -> dict[str, Any]:
        """What the rows of a set are, as audits are filed: the same split may mean other rows in another protocol."""
        return {
            "task": task,
            "split": split,
            "source": self.source(task),
            "revision": self.revision(task),
            "protocol": self.study.protocol,
        }

    def asked(self, task: str, split: str) -> dict[str, Any]:
        """How a set is asked: the most rows, and with how many shots, as audits are filed beside `origin`."""
        cells = [cell for cell in self.cells if cell.eval_set == EvalSet(task, split)]
        limit = max((cell.limit for cell in cells), default=None)
        shots = max((cell.shots for cell in cells), default=0)
        return {"limit": limit, "shots": shots, "shot_seed": self.study.shot_seed if shots else 0}

    def task_with_source(self, task: str) -> Task:
        """The task as this study loads it."""
        return dataclasses.replace(self.tasks[task], source=self.source(task))

    def series_options(self, name: str) -> dict[str, Any]:
        """A series' own keys; an embedded one lives in the study's world unless it names another."""
        return series_options(self.study, self.study.series[name])

    def declared(self, cell: Cell) -> dict[str, Any]:
        """The inputs of a cell that are known without loading anything; a change in them makes the cell stale."""
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
        """What a tuned model declares: its recipe, the words it learns from, and by what its rate was chosen."""
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
        """What rows a cell's result stands on: what they are for → (task, our split)."""
        task, model = self.tasks[cell.eval_set.task], cell.model
        found = {"evaluated": (task.name, cell.eval_set.split)}
        if cell.shots and task.shots_from != "evaluation":
            found["shots"] = (task.name, "train")
        for name, _ in model.recipe.mixture if model.recipe else ():
            found[f"learned {name}"] = (name, "train")
            if model.learning_rate is None and "dev" in self.tasks[name].splits:
                found[f"chosen on {name}"] = (name, "dev")
        return found

    def outside(self, cell: Cell) -> list[str]:
        """Modules outside the package that word or read a cell: dotted names of tasks and formats."""
        recipe = cell.model.recipe
        names = [cell.eval_set.task, cell.format, *([recipe.format] if recipe else [])]
        names += [task for task, _ in recipe.mixture] if recipe else []
        return sorted({name for name in names if "." in name and name not in self.study.tasks})

    def _place(self, task: str) -> str:
        """Where rows come from. Of files only that they are files: their bytes tell the rest, wherever they lie."""
        source = self.source(task)
        return "file" if source.startswith("file:") else source

    def _own(self, task: str) -> dict[str, Any]:
        """How the study makes examples of rows, for tasks that it states itself; what judges answers does not count."""
        own = self.study.tasks.get(task)
        return own.model_dump(mode="json", exclude=JUDGED | {"source", "splits"}) if own else {}


def engine_name(study: Study) -> str:
    return study.engine if study.engine != "toy" else f"toy-{digest(dict(study.toy))[:8]}"


MOST = 100_000
"""Cells, and models, of one study: more cannot be meant, and would take minutes to list."""


def make(study: Study) -> Plan:
    """The whole grid of a study. Raises `StudyError` where a block names nothing that exists, where two blocks ask the
    same with other limits, where a task's metric cannot judge it, and where the grid is too large.
    """
    for name in study.task_names:
        refuse_unfit_metric(study.task(name))
    checkpoints = tuple(c for name in study.series for c in _checkpoints(study, name))
    _refuse_unknown_steps(study, checkpoints)
    recipes = {tune.name: _recipe(tune, study.protocol) for tune in study.tune}
    for recipe in recipes.values():
        _refuse_blind_choice(study, recipe)
    _refuse_many("models", sum(len(checkpoints) * _runs(tune) for tune in study.tune) + len(checkpoints))
    bases = [Model(checkpoint) for checkpoint in checkpoints]
    tuned = [m for tune in study.tune for m in _tuned(tune, recipes[tune.name], checkpoints)]
    roles: dict[str, str] = {}
    cells: dict[str, Cell] = {}
    for cell, role in _cells(study, bases, tuned):
        cells.setdefault(cell.address, cell)
        roles.setdefault(cell.address, role)
    _refuse_two_limits(cells.values())
    _refuse_unfit(study, cells.values())
    order = {model: i for i, model in enumerate(sorted({c.model for c in cells.values()}, key=_model_order))}
    kept = sorted(cells.values(), key=lambda cell: order[cell.model])
    return Plan(study, checkpoints, tuple(order), tuple(kept), roles)


def refuse_unfit_metric(task: Task) -> None:
    """Raises StudyError where the task's metric is not there or cannot judge it."""
    try:
        metric = load_metric(task.metric)
    except StudyError as error:
        raise StudyError(f"the metric of task '{task.name}': {error.message}", error.cure) from error
    if why := metric.unfit(task):
        fit = [name for name in registry.names("metrics") if not load_metric(name).unfit(task)]
        raise StudyError(f"metric {task.metric} {why} ('{task.name}')", f"name one of: {', '.join(fit)}")


def _refuse_unfit(study: Study, cells: Iterable[Cell]) -> None:
    """Refuse a series whose kind of model cannot be asked or tuned as the study says, by the `config.json` of its first
    checkpoint, where that lies on this machine.
    """
    first: dict[str, Checkpoint] = {}
    recipes: dict[str, dict[Recipe, None]] = {}
    for model in dict.fromkeys(cell.model for cell in cells):
        first.setdefault(model.checkpoint.series, model.checkpoint)
        recipes.setdefault(model.checkpoint.series, {}).update({model.recipe: None} if model.recipe else {})
    for name, checkpoint in first.items():
        kind = load_series_kind(study.series[name].kind)
        folder = None if kind.pretraining else kind.at_hand(checkpoint, Path())
        if folder is not None:
            architectures.refuse_unfit(folder, recipes[name])


def series_options(study: Study, series: Series) -> dict[str, Any]:
    """See `Plan.series_options`."""
    return {"world_seed": study.world_seed, **series.options} if series.kind == "world" else series.options


def _model_order(model: Model) -> tuple[Any, ...]:
    return (model.checkpoint.step, model.recipe is not None, model.tune_seed or 0, model.address)


def _checkpoints(study: Study, name: str) -> tuple[Checkpoint, ...]:
    series = study.series[name]
    found = load_series_kind(series.kind).checkpoints(name, series_options(study, series))
    if not found:
        raise StudyError(f"series {name} has no checkpoint", cure="name at least one step or folder")
    return found


def _recipe(tune: Tune, protocol: str) -> Recipe:
    shared = {f.name: getattr(tune, f.name) for f in dataclasses.fields(Recipe) if hasattr(tune, f.name)}
    return Recipe(**shared, mixture=tuple(tune.tasks.items()), learning_rates=tune.learning_rate, protocol=protocol)


def _refuse_blind_choice(study: Study, recipe: Recipe) -> None:
    """Several rates compete on the dev rows of what is learned: without any, the first would be taken unseen."""
    for name, _ in recipe.mixture if len(recipe.learning_rates) > 1 else ():
        if "dev" not in study.task(name).splits:
            rates = ", ".join(map(exact, recipe.learning_rates))
            raise StudyError(
                f"tune {recipe.name} lets the rates {rates} compete, but its task {name} has no dev split",
                cure="name one learning_rate, or give the task rows for dev",
            )


def _refuse_unknown_steps(study: Study, checkpoints: tuple[Checkpoint, ...]) -> None:
    steps = {c.step for c in checkpoints}
    for tune in study.tune:
        _refuse_unknown(f"tune {tune.name}", "step", (*tune.checkpoints, *tune.replicate_seeds_at), steps)
        _refuse_unknown(
            f"tune {tune.name}: replicate_seeds_at", "step", tune.replicate_seeds_at, {*tune.checkpoints} or steps
        )
    seeds = {seed for tune in study.tune for seed in (*tune.tune_seeds, *tune.replicate_seeds)}
    for i, block in enumerate(study.evaluate):
        _refuse_unknown(f"evaluate[{i}]", "step", block.checkpoints, steps)
        _refuse_unknown(f"evaluate[{i}]", "tune_seed", block.tune_seeds, seeds)


def _refuse_unknown(place: str, what: str, named: tuple[int, ...], known: set[int]) -> None:
    for value in named:
        if value not in known:
            shown = ", ".join(map(str, sorted(known)[:12])) or "none"
            raise StudyError(f"{place} names {what} {value}, which is not there", cure=f"{what}s: {shown}")


def _refuse_many(what: str, number: int) -> None:
    if number > MOST:
        raise StudyError(f"this study plans {number:,} {what}", cure=f"plan at most {MOST:,}")


def _refuse_two_limits(cells: Iterable[Cell]) -> None:
    """Cells that differ in their limit alone could not be compared, and only one of them would be told."""
    limits: dict[tuple[str, ...], int] = {}
    for cell in cells:
        asked = (cell.model.address, str(cell.eval_set), cell.format, str(cell.shots))
        if limits.setdefault(asked, cell.limit) != cell.limit:
            raise StudyError(
                f"{cell.eval_set} is asked of {cell.model.address} with limits {limits[asked]} and {cell.limit}",
                cure="give every block that asks it the same limit (of a dev split: dev_limit)",
            )


def _runs(tune: Tune) -> int:
    """Models that a recipe makes of one checkpoint at the most, those that a rule chooses from included."""
    rates = len(tune.learning_rate)
    return (len(tune.tune_seeds) + len(tune.replicate_seeds)) * (rates + (rates > 1))


def _tuned(tune: Tune, recipe: Recipe, checkpoints: tuple[Checkpoint, ...]) -> Iterator[Model]:
    recipe_digest = digest({**dataclasses.asdict(recipe), "name": ""})
    for checkpoint in checkpoints:
        if tune.checkpoints and checkpoint.step not in tune.checkpoints:
            continue
        more = tune.replicate_seeds if checkpoint.step in tune.replicate_seeds_at else ()
        for tune_seed in dict.fromkeys((*tune.tune_seeds, *more)):
            rate = recipe.learning_rates[0] if len(recipe.learning_rates) == 1 else None
            yield Model(checkpoint, recipe, recipe_digest, tune_seed, rate)


def candidates(model: Model) -> tuple[Model, ...]:
    """The members of the grid from which a rule chooses; the model itself where its rate is fixed."""
    if model.recipe is None or model.learning_rate is not None:
        return (model,)
    return tuple(dataclasses.replace(model, learning_rate=rate) for rate in model.recipe.learning_rates)


def _cells(study: Study, bases: list[Model], tuned: list[Model]) -> Iterator[tuple[Cell, str]]:
    tunes = {tune.name: tune for tune in study.tune}
    for i, block in enumerate(study.evaluate):
        selected = _selected(block, bases, tuned)
        sets = {name: _sets(block, [tune]) for name, tune in tunes.items()}
        of_all = _sets(block, [tune for tune in study.tune if _names(block, tune.name)] or study.tune)
        asked = [(model, sets[model.recipe.name] if model.recipe else of_all) for model in selected]
        number = sum(len(chosen) for _, chosen in asked) * len(block.formats) * len(block.shots)
        if not number:
            raise StudyError(f"evaluate[{i}] asks nothing of any model", _cure_of_nothing(block, study))
        _refuse_many(f"cells in evaluate[{i}]", number)
        for model, of_model in asked:
            tune = tunes[model.recipe.name] if model.recipe else None
            for chosen in of_model:
                role = _role(study, chosen, tune)
                for name in block.formats:
                    for shots in block.shots:
                        yield from _with_dev(study, model, chosen, name, shots, block.limit, role)
    for model in tuned:
        if model.learning_rate is None:
            yield from _choice_cells(study, model)


def _with_dev(
    study: Study, model: Model, chosen: EvalSet, format_name: str, shots: int, limit: int, role: str
) -> Iterator[tuple[Cell, str]]:
    """The cell, and where its answers are labels, or the model is a base, the dev cell that reads it.

    Calibration and the choice of the best way of prompting may not look at the rows that are judged.
    """
    task = study.task(chosen.task)
    decoding = "greedy" if task.kind == "generation" else "likelihood"

    def cell(eval_set: EvalSet, rows: int) -> Cell:
        shot_seed = study.shot_seed if shots else 0
        return Cell(
            model,
            eval_set,
            format_name,
            shots,
            shot_seed,
            decoding,
            study.protocol,
            rows,
            study.precision,
            study.device,
        )

    yield cell(chosen, limit), role
    read_on_dev = task.kind == "classification" or model.recipe is None
    if "dev" in task.splits and chosen.split != "dev" and read_on_dev:
        yield cell(EvalSet(task.name, "dev"), study.dev_limit), "dev"


def _choice_cells(study: Study, model: Model) -> Iterator[tuple[Cell, str]]:
    assert model.recipe is not None
    for member in candidates(model):
        for task, _ in model.recipe.mixture:
            for cell, _role_name in _with_dev(
                study, member, EvalSet(task, "dev"), model.recipe.format, 0, study.dev_limit, "dev"
            ):
                yield cell, "dev"


def _selected(block: Evaluate, bases: list[Model], tuned: list[Model]) -> list[Model]:
    chosen = list(bases) if "base" in block.models else []
    chosen += [m for m in tuned if m.recipe and _names(block, m.recipe.name)]
    return [
        m
        for m in chosen
        if (not block.checkpoints or m.checkpoint.step in block.checkpoints)
        and (not block.tune_seeds or m.recipe is None or m.tune_seed in block.tune_seeds)
    ]


def _names(block: Evaluate, recipe: str) -> bool:
    return "tuned" in block.models or recipe in block.models


def _sets(block: Evaluate, tunes: Sequence[Tune]) -> list[EvalSet]:
    """What a block asks: its sets, with those of `tunes` in the place of a role."""
    texts = [name for text in block.sets for name in (_of_role(tunes, text) if text in ROLES else (text,))]
    return [eval_set(text) for text in dict.fromkeys(texts)]


def _of_role(tunes: Sequence[Tune], role: str) -> tuple[str, ...]:
    return tuple(name for tune in tunes for name in getattr(tune, role))


def _cure_of_nothing(block: Evaluate, study: Study) -> str:
    if not study.tune and block.models != ("base",):
        return "it names tuned models, and the study has no [[tune]]"
    return "its models, sets, checkpoints and tune_seeds leave nothing over"


def _role(study: Study, chosen: EvalSet, tune: Tune | None) -> str:
    """What a set is to a model: what its recipe says of it, before anything that the task's family tells."""
    said = [role for role in ROLES if tune is not None and str(chosen) in getattr(tune, role)]
    family = study.task(chosen.task).family
    if chosen.split == "dev" and family not in (FACTS_FAMILY, CORPUS_FAMILY):
        return "dev"
    if said:
        return said[0]
    if family in (FACTS_FAMILY, CORPUS_FAMILY):
        return family
    return "base" if tune is None else "cross_task"
