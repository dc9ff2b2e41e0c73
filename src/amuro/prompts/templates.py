"""What every format is worded with: a task's own template, its labelled fields, and the way to join them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from amuro.core.errors import DataError
from amuro.core.types import Example, Task

_PLACE = re.compile(r"(?P<space> ?)\{(?P<name>\w+)\}")


def override(format_name: str, task: Task, example: Example) -> str | None:
    """The task's own template for this format, filled; None where it has none.

    Each `{field}` becomes the input of that name in one pass: braces in the data stay as they are, and no template
    language is read. An empty value takes the space before its place with it, and the end is stripped, but not where
    the paper's text is kept to the character (encoding *whole_text*). Raises DataError on a place that is no input of
    the example, and where the paper has no such wording.
    """
    exact = task.encoding == "whole_text"

    def filled(place: re.Match[str]) -> str:
        value = _value(task, example, place["name"])
        return place["space"] + value if value or exact else ""

    template = task.templates.get(format_name)
    if template is None and task.shots_from != "train":  # only the paper takes its shots elsewhere
        raise DataError(f"the paper has no {format_name} wording of {task.name}", f"it has {', '.join(task.templates)}")
    text = None if template is None else _PLACE.sub(filled, template)
    if text is None or exact:
        return text
    ends_in_data = any(value != value.rstrip() and text.endswith(value) for value in example.inputs.values())
    return join(task, [text]) if ends_in_data else text.rstrip()


def join(task: Task, parts: Iterable[str]) -> str:
    """The parts that are not empty, parted as the task parts its fields; never ends in a blank.

    Raises DataError where the last part ends in one: an answer follows after one space, so it would be lost.
    """
    text = task.field_separator.join(part for part in parts if part)
    if text != text.rstrip():
        blanks = text[len(text.rstrip()) :]
        cure = 'give the task an answer_prefix, or say normalize = "ends", which takes such blanks off'
        raise DataError(f"a prompt of {task.name} ends in {blanks!r}, and its answer follows after a space", cure)
    return text


def labelled(task: Task, example: Example) -> list[str]:
    """`label: value` for each field, in order. A field whose value is empty is left out, with its label."""
    return [f"{label}: {value}" if label else value for label, value in _fields(task, example) if value]


def values(task: Task, example: Example) -> list[str]:
    """The values of the fields, in order, without labels."""
    return [value for _, value in _fields(task, example)]


def cased_like(task: Task, words: str) -> str:
    """The words with a capital where the task's instruction begins with one (the embedded world is lower-case)."""
    return words[:1].upper() + words[1:] if task.instruction[:1].isupper() else words


def _fields(task: Task, example: Example) -> list[tuple[str, str]]:
    return [(label, _value(task, example, name)) for name, label in task.fields]


def _value(task: Task, example: Example, name: str) -> str:
    if name not in example.inputs:
        raise DataError(
            f"the wording of task '{task.name}' names '{name}', which example {example.id} does not have",
            f"its inputs: {', '.join(example.inputs) or 'none'}",
        )
    return example.inputs[name]
