"""What the data hold against what a study asks for: sets that can be read, enough rows to learn, enough shots."""

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
CHARACTERS_A_TOKEN = 4
"""Of English text and a vocabulary of some ten thousand entries."""


def check(plan: Plan, cells: Sequence[Cell], only_here: bool = False) -> dict[str, Size | None]:
    """Task → its size, of all that `cells` ask and learn.

    Loads every set of them, or those alone that lie here as files; what is said of the others stands in their task. An
    empty, unlabelled or constant set stops here (DataError), and so does one from which fewer rows or shots can be
    drawn than are asked.
    """
    read = _Rows(plan)
    sizes = {name: _stated(plan, name) for name in plan.tasks}
    for task, splits in _needed(plan, cells).items():
        if not only_here or _is_here(plan, task):
            sizes[task] = read.size(task, splits)
            read.check_shots(task, cells)
    for recipe in dict.fromkeys(cell.model.recipe for cell in cells if cell.model.recipe):
        counted = {name: size for name, _ in recipe.mixture if (size := sizes[name]) and _is_exact(plan, name)}
        enough_to_learn(recipe, {name: size.rows["train"] for name, size in counted.items() if "train" in size.rows})
    return sizes


def enough_to_learn(recipe: Recipe, there: Mapping[str, int]) -> dict[str, int]:
    """Task → the rows of it that a recipe teaches. Raises DataError where fewer are there (if that is known)."""
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
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._loaded = lru_cache(maxsize=2)(self._load)  # a task's train and the set that is asked

    def size(self, task: str, splits: Sequence[str]) -> Size:
        """Counted; tokens are guessed from the characters of a sample."""
        about = self._plan.tasks[task]
        rows, read, said = {}, [0.0], [0.0]
        for split in splits:
            examples = self._loaded(task, split)
            rows[split] = len(examples)
            sample = Random(0).sample(examples, min(_SAMPLE, len(examples)))
            read += [len(render.prompt(about, "default", example)) for example in sample]
            said += [_answer(about, example) for example in sample]
        asked, answered = (max(1, round(fmean(counts[1:] or counts) / CHARACTERS_A_TOKEN)) for counts in (read, said))
        return Size(rows, 1 if about.kind == "language_modeling" else asked, answered, 0.0, "the rows")

    def check_shots(self, task: str, cells: Sequence[Cell]) -> None:
        """Raises DataError where train has fewer rows than shots, those not counted that ask what is asked."""
        about = self._plan.tasks[task]
        asked = {
            (c.eval_set.split, c.shots, c.shot_seed, c.limit) for c in cells if c.eval_set.task == task and c.shots
        }
        for split, shots, shot_seed, limit in sorted(asked) if about.shots_from != "evaluation" else ():
            pool = self._loaded(task, "train")
            if about.shots_from == "train":
                drawn = render.draw_shots(about, pool, shots, shot_seed)
                render.own_shots(about, pool, drawn, shot_seed, self._loaded(task, split)[:limit])
            elif shots > len(pool):
                raise DataError(f"{shots} shots are asked of {task}, whose train holds {len(pool)} rows", "ask fewer")

    def _load(self, task: str, split: str) -> list[Example]:
        return sources.examples(self._plan.task_with_source(task), split, self._plan.revision(task))


def _answer(task: Task, example: Example) -> float:
    """Characters of an answer, or of the mean option."""
    return fmean(map(len, render.options(task, example) or (example.answer,)))


def _needed(plan: Plan, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Task → the splits of it that are read, train last."""
    found: dict[str, dict[str, None]] = {}
    for task, split in sorted(set(_sets(plan, cells)), key=lambda pair: (pair[0], pair[1] == "train", pair[1])):
        found.setdefault(task, {})[split] = None
    return {task: list(splits) for task, splits in found.items()}


def _sets(plan: Plan, cells: Sequence[Cell]) -> Iterator[tuple[str, str]]:
    for cell in cells:
        yield cell.eval_set.task, cell.eval_set.split
        if cell.shots and plan.tasks[cell.eval_set.task].shots_from != "evaluation":
            yield cell.eval_set.task, "train"
    for recipe in {cell.model.recipe for cell in cells if cell.model.recipe}:
        yield from ((task, "train") for task, _ in recipe.mixture)


def _is_here(plan: Plan, task: str) -> bool:
    return plan.source(task).startswith("file:")


def _stated(plan: Plan, task: str) -> Size | None:
    """What a task says of its own source."""
    about = plan.tasks[task]
    return about.size if plan.source(task) == about.source else None


def _is_exact(plan: Plan, task: str) -> bool:
    """Whether the rows are counted, or stated for the very revision that is read."""
    revision = plan.revision(task)
    return not plan.source(task).startswith("hub:") or (revision is not None and revision == plan.tasks[task].revision)
