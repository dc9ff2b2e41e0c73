"""Checks the data against a study before it runs: readable sets, enough training rows, enough rows for shots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from random import Random
from statistics import fmean

from amuro.core.errors import DataError
from amuro.core.types import Cell, Example, Recipe, Size, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.study.plan import Plan
from amuro.study.tables import parts

_SAMPLE = 100
"""Rows from which mean lengths are estimated."""
CHARACTERS_A_TOKEN = 4
"""Assumed for English text and a vocabulary of about ten thousand entries."""


def check(plan: Plan, cells: Sequence[Cell], only_here: bool = False) -> dict[str, Size | None]:
    """Returns task → its size, for all tasks that `cells` evaluate or train on.

    Reads every set of them; with `only_here` only those whose source is a file, and takes the stated size of the
    others. Raises DataError for an empty, unlabelled or constant set, and if a set has fewer rows than the study
    trains on or draws shots from.
    """
    rows = _Rows(plan)
    sizes = {name: _stated(plan, name) for name in plan.tasks}
    for task, splits in _needed(plan, cells).items():
        if not only_here or _is_here(plan, task):
            sizes[task] = rows.size(task, splits)
            rows.check_shots(task, cells)
    for recipe in dict.fromkeys(cell.model.recipe for cell in cells if cell.model.recipe):
        counted = {name: size for name, _ in recipe.mixture if (size := sizes[name]) and _is_exact(plan, name)}
        enough_to_learn(recipe, {name: size.rows["train"] for name, size in counted.items() if "train" in size.rows})
    return sizes


def enough_to_learn(recipe: Recipe, there: Mapping[str, int]) -> dict[str, int]:
    """Returns task → the number of its training rows in a recipe. Raises DataError if a task has fewer (`there`: task
    → rows, if known).
    """
    wanted = parts(recipe.rows, recipe.mixture)
    for task, rows in wanted.items():
        if rows > there.get(task, rows):
            most = recipe.rows * there[task] // rows
            raise DataError(
                f"recipe {recipe.name} asks for {rows:,} training rows of {task}, which has {there[task]:,}",
                f"set rows = {most} or fewer",
            )
    return wanted


class _Rows:
    """Reads the rows of a plan; keeps the last two sets."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._loaded = lru_cache(maxsize=2)(self._load)  # a task's train and the set that is asked

    def size(self, task: str, splits: Sequence[str]) -> Size:
        """Returns the size of a task: rows are counted, tokens are estimated from the characters of a sample."""
        definition = self._plan.tasks[task]
        rows, prompt_lengths, answer_lengths = {}, [0.0], [0.0]
        for split in splits:
            examples = self._loaded(task, split)
            rows[split] = len(examples)
            sample = Random(0).sample(examples, min(_SAMPLE, len(examples)))
            prompt_lengths += [len(render.prompt(definition, "default", example)) for example in sample]
            answer_lengths += [_answer(definition, example) for example in sample]
        prompt_tokens, answer_tokens = (
            max(1, round(fmean(counts[1:] or counts) / CHARACTERS_A_TOKEN))
            for counts in (prompt_lengths, answer_lengths)
        )
        return Size(
            rows, 1 if definition.kind == "language_modeling" else prompt_tokens, answer_tokens, 0.0, "the rows"
        )

    def check_shots(self, task: str, cells: Sequence[Cell]) -> None:
        """Raises DataError if train has too few rows for the shots; rows that repeat an evaluated question do not
        count.
        """
        definition = self._plan.tasks[task]
        combinations = {
            (c.eval_set.split, c.shots, c.shot_seed, c.limit) for c in cells if c.eval_set.task == task and c.shots
        }
        for split, shots, shot_seed, limit in sorted(combinations) if definition.shots_from != "evaluation" else ():
            pool = self._loaded(task, "train")
            if definition.shots_from == "train":
                drawn = render.draw_shots(definition, pool, shots, shot_seed)
                render.own_shots(definition, pool, drawn, shot_seed, self._loaded(task, split)[:limit])
            elif shots > len(pool):
                raise DataError(f"{shots} shots are asked of {task}, whose train holds {len(pool)} rows", "ask fewer")

    def _load(self, task: str, split: str) -> list[Example]:
        """Returns the examples of a split."""
        return sources.examples(self._plan.task_with_source(task), split, self._plan.revision(task))


def _answer(task: Task, example: Example) -> float:
    """Returns the characters of an answer, or the mean over the options."""
    return fmean(map(len, render.options(task, example) or (example.answer,)))


def _needed(plan: Plan, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Returns task → its splits that are read, train last."""
    splits_by_task: dict[str, dict[str, None]] = {}
    for task, split in sorted(set(_sets(plan, cells)), key=lambda pair: (pair[0], pair[1] == "train", pair[1])):
        splits_by_task.setdefault(task, {})[split] = None
    return {task: list(splits) for task, splits in splits_by_task.items()}


def _sets(plan: Plan, cells: Sequence[Cell]) -> Iterator[tuple[str, str]]:
    """Yields (task, split) of every set that the cells read, with repetitions."""
    for cell in cells:
        yield cell.eval_set.task, cell.eval_set.split
        if cell.shots and plan.tasks[cell.eval_set.task].shots_from != "evaluation":
            yield cell.eval_set.task, "train"
    for recipe in {cell.model.recipe for cell in cells if cell.model.recipe}:
        yield from ((task, "train") for task, _ in recipe.mixture)


def _is_here(plan: Plan, task: str) -> bool:
    """Whether a task's rows come from a file on this machine."""
    return plan.source(task).startswith("file:")


def _stated(plan: Plan, task: str) -> Size | None:
    """Returns the size that a task states, or None if the study reads another source."""
    definition = plan.tasks[task]
    return definition.size if plan.source(task) == definition.source else None


def _is_exact(plan: Plan, task: str) -> bool:
    """Whether the size is counted, or stated for exactly the revision that is read."""
    revision = plan.revision(task)
    return not plan.source(task).startswith("hub:") or (revision is not None and revision == plan.tasks[task].revision)
