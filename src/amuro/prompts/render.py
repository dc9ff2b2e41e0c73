"""Example → prompt: the same words to learn and to be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, zip_longest
from random import Random

from amuro.core.errors import DataError
from amuro.core.types import Example, Task
from amuro.prompts.formats import load_format


def prompt(task: Task, format_name: str, example: Example) -> str:
    """What is read before the answer, without a trailing space."""
    return load_format(format_name).render(task, example)


def answer(task: Task, text: str) -> str:
    """What is learned and what is scored: the answer with the task's closing mark, without a leading space."""
    return text + task.answer_suffix


def options(task: Task, example: Example) -> tuple[str, ...]:
    """Candidate answers in scoring order: the label words, the example's own options, or, where text is
    generated, the right answer alone (its likelihood tells knowledge from output form).
    """
    if task.kind == "generation":
        return (example.answer,)
    return task.labels if task.kind == "classification" else example.options


def gold(task: Task, example: Example) -> int:
    """Place of the right one among the options."""
    return options(task, example).index(example.answer) if example.gold is None else example.gold


def template(task: Task, format_name: str) -> str:
    """The wording with field names in the place of data: what a plan compares without loading rows."""
    inputs = {key: f"<{key}>" for key, _ in task.fields}
    gap = "" if task.encoding == "whole_text" else " "
    return prompt(task, format_name, Example("", "", inputs, "<answer>")) + gap + answer(task, "<answer>")


def turns(task: Task, format_name: str, example: Example) -> list[tuple[str, str]]:
    """(prompt, answer) of each turn to be learned, in order; one pair unless the example is a dialogue."""
    earlier = [(replace(example, inputs=inputs, earlier=()), reply) for inputs, reply in example.earlier]
    asked = [prompt(task, format_name, turn) for turn, _ in earlier] + [prompt(task, format_name, example)]
    said = [answer(task, reply) for _, reply in earlier] + [answer(task, example.answer)]
    return [
        ((task.field_separator if i else "") + text, reply)
        for i, (text, reply) in enumerate(zip(asked, said, strict=True))
    ]


def shots_text(task: Task, format_name: str, shots: Sequence[Example]) -> list[tuple[str, str]]:
    """(prompt, answer) of each shot; all but the first prompt begin with the task's separator."""
    pairs = [(prompt(task, format_name, shot), answer(task, shot.answer)) for shot in shots]
    return [(text if i == 0 else task.separator + text, reply) for i, (text, reply) in enumerate(pairs)]


def question(example: Example) -> tuple[tuple[str, str], ...]:
    """What is asked, apart from case, spaces and the order of the options: alike in two rows, they ask the same."""
    earlier = [part for inputs, reply in example.earlier for part in (*sorted(inputs.items()), ("", reply))]
    parts = [*earlier, *sorted(example.inputs.items()), *(("option", text) for text in sorted(example.options))]
    return tuple((key, " ".join(text.lower().split())) for key, text in parts)


def draw_shots(
    task: Task, pool: Sequence[Example], shots: int, shot_seed: int, asked: Example | None = None
) -> tuple[Example, ...]:
    """Shots from the training split, the same for every row of a cell, but for a row (`asked`) that is among them.

    Label tasks take their labels in turn, in a random order, so that no class is shown more than once more
    than another while it has rows. The pool is shuffled by `shot_seed` alone, so k + 1 shots begin with the k shots,
    and a row that stands among the shots, by its words, is shown the next ones in its own place. Raises DataError
    where the pool holds fewer.
    """
    rng = Random(shot_seed)
    order = rng.sample(range(len(pool)), len(pool))
    groups = rng.sample(task.labels, len(task.labels)) if task.kind == "classification" else (None,)
    own = question(asked) if asked else None

    def queue(label: str | None) -> Iterator[Example]:
        return (pool[i] for i in order if label in (None, pool[i].answer) and not (own and own == question(pool[i])))

    turns = (shot for turn in zip_longest(*map(queue, groups)) for shot in turn if shot is not None)
    found = tuple(islice(turns, shots))
    if len(found) < shots:
        whose = f" beside the question of {asked.id} itself" if asked else ""
        raise DataError(
            f"{shots} shots are asked of {task.name}, whose split train holds {len(found)} rows{whose}",
            "ask with fewer shots, or give train more rows",
        )
    return found


def own_shots(
    task: Task, pool: Sequence[Example], shared: Sequence[Example], shot_seed: int, examples: Sequence[Example]
) -> dict[int, tuple[Example, ...]]:
    """Row → its own shots, for each row of `examples` whose question stands among the `shared` shots."""
    shown = {question(shot) for shot in shared}
    return {
        row: draw_shots(task, pool, len(shared), shot_seed, example)
        for row, example in enumerate(examples)
        if shown and question(example) in shown
    }
