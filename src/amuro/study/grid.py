"""The grid of a study: the tuned models that its recipes make, and the cells that its evaluate blocks name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from amuro.core.errors import StudyError
from amuro.core.hashing import digest
from amuro.core.types import Cell, Checkpoint, EvalSet, Model, Recipe
from amuro.study.config import Study, eval_set
from amuro.study.plan_checks import refuse_many
from amuro.study.tables import ROLES, Evaluate, Tune

FACTS_FAMILY, CORPUS_FAMILY = "facts", "corpus"
"""Task families whose name is the role of their sets: what pre-training taught, and the pre-training text itself."""


def models_per_checkpoint(tune: Tune) -> int:
    """Most models that a recipe makes from one checkpoint: seeds × rates, plus the model of the chosen rate."""
    rates = len(tune.learning_rate)
    return (len(tune.tune_seeds) + len(tune.replicate_seeds)) * (rates + (rates > 1))


def tuned_models(tune: Tune, recipe: Recipe, checkpoints: tuple[Checkpoint, ...]) -> Iterator[Model]:
    """Yields one model per checkpoint and tuning seed; its rate is None if it is still to be chosen on dev."""
    recipe_digest = digest({**dataclasses.asdict(recipe), "name": ""})
    for checkpoint in checkpoints:
        if tune.checkpoints and checkpoint.step not in tune.checkpoints:
            continue
        more = tune.replicate_seeds if checkpoint.step in tune.replicate_seeds_at else ()
        for tune_seed in dict.fromkeys((*tune.tune_seeds, *more)):
            rate = recipe.learning_rates[0] if len(recipe.learning_rates) == 1 else None
            yield Model(checkpoint, recipe, recipe_digest, tune_seed, rate)


def candidates(model: Model) -> tuple[Model, ...]:
    """One model per learning rate of the recipe, from which the rate is chosen; the model itself if its rate is set."""
    if model.recipe is None or model.learning_rate is not None:
        return (model,)
    return tuple(dataclasses.replace(model, learning_rate=rate) for rate in model.recipe.learning_rates)


def cells(study: Study, bases: list[Model], tuned: list[Model]) -> Iterator[tuple[Cell, str]]:
    """Yields every cell of the study with the role of its set, with repetitions if two blocks name the same cell.

    The dev cells from which a learning rate is chosen come last. Raises StudyError for a block that names no cell or
    too many.
    """
    tunes = {tune.name: tune for tune in study.tune}
    for i, block in enumerate(study.evaluate):
        selected = _selected(block, bases, tuned)
        sets = {name: _sets(block, [tune]) for name, tune in tunes.items()}
        of_all = _sets(block, [tune for tune in study.tune if _names(block, tune.name)] or study.tune)
        pairs = [(model, sets[model.recipe.name] if model.recipe else of_all) for model in selected]
        number = sum(len(model_sets) for _, model_sets in pairs) * len(block.formats) * len(block.shots)
        if not number:
            raise StudyError(f"evaluate[{i}] evaluates no model on any set", _cure_of_nothing(block, study))
        refuse_many(f"cells in evaluate[{i}]", number)
        for model, model_sets in pairs:
            tune = tunes[model.recipe.name] if model.recipe else None
            for chosen in model_sets:
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
    """Yields the cell of these coordinates and, for classification tasks and base models, its cell on the dev split.

    Calibration and the choice of the best prompting use the dev rows, never the rows on which the model is scored.
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
    needs_dev = task.kind == "classification" or model.recipe is None
    if "dev" in task.splits and chosen.split != "dev" and needs_dev:
        yield cell(EvalSet(task.name, "dev"), study.dev_limit), "dev"


def _choice_cells(study: Study, model: Model) -> Iterator[tuple[Cell, str]]:
    """Yields the dev cells, one per candidate rate and training task, whose scores choose the rate of `model`."""
    assert model.recipe is not None
    for candidate in candidates(model):
        for task, _ in model.recipe.mixture:
            for cell, _role_name in _with_dev(
                study, candidate, EvalSet(task, "dev"), model.recipe.format, 0, study.dev_limit, "dev"
            ):
                yield cell, "dev"


def _selected(block: Evaluate, bases: list[Model], tuned: list[Model]) -> list[Model]:
    """Returns the models that a block evaluates, by its `models`, `checkpoints` and `tune_seeds`."""
    chosen = list(bases) if "base" in block.models else []
    chosen += [m for m in tuned if m.recipe and _names(block, m.recipe.name)]
    return [
        m
        for m in chosen
        if (not block.checkpoints or m.checkpoint.step in block.checkpoints)
        and (not block.tune_seeds or m.recipe is None or m.tune_seed in block.tune_seeds)
    ]


def _names(block: Evaluate, recipe: str) -> bool:
    """Whether a block evaluates the models of this recipe."""
    return "tuned" in block.models or recipe in block.models


def _sets(block: Evaluate, tunes: Sequence[Tune]) -> list[EvalSet]:
    """Returns the block's evaluation sets; a role is replaced by the sets that `tunes` list under it."""
    texts = [name for text in block.sets for name in (_of_role(tunes, text) if text in ROLES else (text,))]
    return [eval_set(text) for text in dict.fromkeys(texts)]


def _of_role(tunes: Sequence[Tune], role: str) -> tuple[str, ...]:
    """Returns the sets, as TASK/SPLIT, that the recipes list under `in_domain` or `out_of_domain`."""
    return tuple(name for tune in tunes for name in getattr(tune, role))


def _cure_of_nothing(block: Evaluate, study: Study) -> str:
    """Returns the cure for a block without cells."""
    if not study.tune and block.models != ("base",):
        return "it names tuned models, and the study has no [[tune]]"
    return "its models, sets, checkpoints and tune_seeds leave nothing over"


def _role(study: Study, chosen: EvalSet, tune: Tune | None) -> str:
    """Returns the role of a set for a model: dev, what its recipe lists it under, its family, base or cross_task."""
    listed = [role for role in ROLES if tune is not None and str(chosen) in getattr(tune, role)]
    family = study.task(chosen.task).family
    if chosen.split == "dev" and family not in (FACTS_FAMILY, CORPUS_FAMILY):
        return "dev"
    if listed:
        return listed[0]
    if family in (FACTS_FAMILY, CORPUS_FAMILY):
        return family
    return "base" if tune is None else "cross_task"
