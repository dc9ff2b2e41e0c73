"""What a plan refuses before anything is loaded: each check raises a `StudyError` with the place and the cure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from amuro.core import architectures, registry
from amuro.core.errors import StudyError
from amuro.core.types import Cell, Checkpoint, Recipe, Task, exact
from amuro.series import load_series_kind
from amuro.study.config import Study
from amuro.tasks.metrics import load_metric

MOST = 100_000
"""Most cells, and most models, of one study. A larger grid is a mistake and would take minutes to list."""


def refuse_unfit_metric(task: Task) -> None:
    """Raises StudyError if the task's metric does not exist or cannot score tasks of this kind."""
    try:
        metric = load_metric(task.metric)
    except StudyError as error:
        raise StudyError(f"the metric of task '{task.name}': {error.message}", error.cure) from error
    if why := metric.unfit(task):
        fit = [name for name in registry.names("metrics") if not load_metric(name).unfit(task)]
        raise StudyError(f"metric {task.metric} {why} ('{task.name}')", f"name one of: {', '.join(fit)}")


def refuse_unfit_architecture(study: Study, cells: Iterable[Cell]) -> None:
    """Raises StudyError for a series whose architecture cannot be evaluated or tuned as the study plans.

    The architecture is read from the `config.json` of the series' first planned checkpoint. A series without such a
    file on this machine is not checked here.
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


def refuse_blind_choice(study: Study, recipe: Recipe) -> None:
    """Raises StudyError if a recipe has several learning rates and one of its tasks has no dev split.

    The rate is chosen by the scores on dev; without dev rows nothing could decide between the rates.
    """
    for name, _ in recipe.mixture if len(recipe.learning_rates) > 1 else ():
        if "dev" not in study.task(name).splits:
            rates = ", ".join(map(exact, recipe.learning_rates))
            raise StudyError(
                f"tune {recipe.name} lets the rates {rates} compete, but its task {name} has no dev split",
                cure="name one learning_rate, or give the task rows for dev",
            )


def refuse_unknown_steps(study: Study, checkpoints: tuple[Checkpoint, ...]) -> None:
    """Raises StudyError if a table names a checkpoint step or a tuning seed that the study does not have."""
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


def _refuse_unknown(place: str, what: str, values: tuple[int, ...], known: set[int]) -> None:
    """Raises StudyError for the first of `values` (steps or seeds, by `what`) that is not among the known ones."""
    for value in values:
        if value not in known:
            shown = ", ".join(map(str, sorted(known)[:12])) or "none"
            raise StudyError(f"{place} names {what} {value}, which is not there", cure=f"{what}s: {shown}")


def refuse_many(what: str, number: int) -> None:
    """Raises StudyError if a study plans more than `MOST` cells or models."""
    if number > MOST:
        raise StudyError(f"this study plans {number:,} {what}", cure=f"plan at most {MOST:,}")


def refuse_two_limits(cells: Iterable[Cell]) -> None:
    """Raises StudyError if two cells differ only in their row limit.

    Their scores could not be compared, and the report would show only one of them.
    """
    limits: dict[tuple[str, ...], int] = {}
    for cell in cells:
        coordinates = (cell.model.address, str(cell.eval_set), cell.format, str(cell.shots))
        if limits.setdefault(coordinates, cell.limit) != cell.limit:
            raise StudyError(
                f"{cell.model.address} is evaluated on {cell.eval_set} "
                f"with limits {limits[coordinates]} and {cell.limit}",
                cure="give every block that evaluates this set the same limit (of a dev split: dev_limit)",
            )
