"""Renders an example as a prompt: the same text in training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, zip_longest
from random import Random

from amuro.core.errors import DataError
from amuro.core.types import Example, Task
from amuro.prompts import templates
from amuro.prompts.formats import load_format


def prompt(task: Task, format_name: str, example: Example) -> str:
    """Returns the text before the answer, without a trailing space: by the task's own template for this format, where
    it has one, else by the format.
    """
    text = templates.override(format_name, task, example)
    return load_format(format_name).render(task, example) if text is None else text


def answer(task: Task, text: str) -> str:
    """Returns the answer with the task's suffix, without a leading space: what is trained and scored."""
    return text + task.answer_suffix


def options(task: Task, example: Example) -> tuple[str, ...]:
    """Returns the candidate answers in scoring order: the labels, the example's options, or for generation the gold
    answer alone (its likelihood separates knowledge from formatting).
    """
    if task.kind == "generation":
        return (example.answer,)
    return task.labels if task.kind == "classification" else example.options


def gold(task: Task, example: Example) -> int:
    """Returns the index of the gold answer among the options."""
    return options(task, example).index(example.answer) if example.gold is None else example.gold


def template(task: Task, format_name: str) -> str:
    """Returns the prompt and answer with field names in place of data: plans compare it without reading rows."""
    inputs = {key: f"<{key}>" for key, _ in task.fields}
    gap = "" if task.encoding == "whole_text" else " "
    return prompt(task, format_name, Example("", "", inputs, "<answer>")) + gap + answer(task, "<answer>")


def turns(task: Task, format_name: str, example: Example) -> list[tuple[str, str]]:
    """Returns (prompt, answer) of each turn to train on, in order; one pair unless the example is a dialogue."""
    earlier = [(replace(example, inputs=inputs, earlier=()), reply) for inputs, reply in example.earlier]
    prompts = [prompt(task, format_name, turn) for turn, _ in earlier] + [prompt(task, format_name, example)]
    answers = [answer(task, reply) for _, reply in earlier] + [answer(task, example.answer)]
    return [
        ((task.field_separator if i else "") + text, reply)
        for i, (text, reply) in enumerate(zip(prompts, answers, strict=True))
    ]


def shots_text(task: Task, format_name: str, shots: Sequence[Example]) -> list[tuple[str, str]]:
    """Returns (prompt, answer) of each shot; all but the first prompt begin with the task's separator."""
    pairs = [(prompt(task, format_name, shot), answer(task, shot.answer)) for shot in shots]
    return [(text if i == 0 else task.separator + text, reply) for i, (text, reply) in enumerate(pairs)]


def question(example: Example) -> tuple[tuple[str, str], ...]:
    """Returns the question without case, spacing and order of options: equal for two rows that have the same
    question.
    """
    earlier = [part for inputs, reply in example.earlier for part in (*sorted(inputs.items()), ("", reply))]
    parts = [*earlier, *sorted(example.inputs.items()), *(("option", text) for text in sorted(example.options))]
    return tuple((key, " ".join(text.lower().split())) for key, text in parts)


def draw_shots(
    task: Task, pool: Sequence[Example], shots: int, shot_seed: int, asked: Example | None = None
) -> tuple[Example, ...]:
    """Samples shots from the train rows, the same for every row of a cell except a row (`asked`) that is among them.

    Classification tasks take their labels in turn, in a random order, so that no label has two more shots than
    another while it has rows. The pool is shuffled by `shot_seed` alone, so that k + 1 shots begin with the k shots;
    a row that is among the shots gets the next ones instead of itself. Raises DataError if the pool has too few rows.
    """
    rng = Random(shot_seed)
    order = rng.sample(range(len(pool)), len(pool))
    groups = rng.sample(task.labels, len(task.labels)) if task.kind == "classification" else (None,)
    asked_question = question(asked) if asked else None

    def queue(label: str | None) -> Iterator[Example]:
        return (
            pool[i]
            for i in order
            if label in (None, pool[i].answer) and not (asked_question and asked_question == question(pool[i]))
        )

    turns = (shot for turn in zip_longest(*map(queue, groups)) for shot in turn if shot is not None)
    drawn = tuple(islice(turns, shots))
    if len(drawn) < shots:
        whose = f" beside the question of {asked.id} itself" if asked else ""
        raise DataError(
            f"{shots} shots are wanted for {task.name}, whose split train has {len(drawn)} rows{whose}",
            "use fewer shots, or give train more rows",
        )
    return drawn


def own_shots(
    task: Task, pool: Sequence[Example], shared: Sequence[Example], shot_seed: int, examples: Sequence[Example]
) -> dict[int, tuple[Example, ...]]:
    """Returns row → its own shots, for each row of `examples` whose question is among the `shared` shots."""
    shared_questions = {question(shot) for shot in shared}
    return {
        row: draw_shots(task, pool, len(shared), shot_seed, example)
        for row, example in enumerate(examples)
        if shared_questions and question(example) in shared_questions
    }
