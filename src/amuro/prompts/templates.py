"""Helpers of formats: a task's own template, its labelled fields, and how parts are joined."""

from __future__ import annotations

import re
from collections.abc import Iterable

from amuro.core.errors import DataError
from amuro.core.types import EVERY_FORMAT, Example, Task

_PLACE = re.compile(r"(?P<space> ?)\{(?P<name>\w+)\}")
"""A field name in braces, with the space before it."""


def override(format_name: str, task: Task, example: Example) -> str | None:
    """Returns the task's own template for this format, filled in; None if it has none.

    Each `{field}` is replaced by that input in one pass: braces in the data stay as they are, and there is no
    template language. An empty value removes the space before it, and the end is stripped, except in the paper's
    exact texts (encoding *whole_text*). Raises DataError for a field that the example lacks, and if the paper has no
    such template.
    """
    exact = task.encoding == "whole_text"

    def filled(place: re.Match[str]) -> str:
        value = _value(task, example, place["name"])
        return place["space"] + value if value or exact else ""

    template = task.templates.get(format_name, task.templates.get(EVERY_FORMAT))
    if template is None and task.shots_from != "train":  # only the paper takes its shots elsewhere
        raise DataError(
            f"the paper has no {format_name} template of {task.name}", f"it has {', '.join(task.templates)}"
        )
    text = None if template is None else _PLACE.sub(filled, template)
    if text is None or exact:
        return text
    ends_in_data = any(value != value.rstrip() and text.endswith(value) for value in example.inputs.values())
    return join(task, [text]) if ends_in_data else text.rstrip()


def join(task: Task, parts: Iterable[str]) -> str:
    """Joins the parts that are not empty by the task's field separator; the result never ends in a blank.

    Raises DataError if the last part ends in one: the answer follows after one space, so the blank would be lost.
    """
    text = task.field_separator.join(part for part in parts if part)
    if text != text.rstrip():
        blanks = text[len(text.rstrip()) :]
        cure = 'give the task an answer_prefix, or set normalize = "ends", which removes such blanks'
        raise DataError(f"a prompt of {task.name} ends in {blanks!r}, and its answer follows after a space", cure)
    return text


def labelled(task: Task, example: Example) -> list[str]:
    """Returns `label: value` for each field, in order. Fields with an empty value are left out."""
    return [f"{label}: {value}" if label else value for label, value in _fields(task, example) if value]


def values(task: Task, example: Example) -> list[str]:
    """Returns the values of the fields, in order, without labels."""
    return [value for _, value in _fields(task, example)]


def cased_like(task: Task, words: str) -> str:
    """Returns the words with a capital if the task's instruction begins with one (the embedded
    world is lower-case).
    """
    return words[:1].upper() + words[1:] if task.instruction[:1].isupper() else words


def _fields(task: Task, example: Example) -> list[tuple[str, str]]:
    """Returns (label, value) of each field."""
    return [(label, _value(task, example, name)) for name, label in task.fields]


def _value(task: Task, example: Example, name: str) -> str:
    """Returns an input of the example. Raises DataError if it has none of that name."""
    if name not in example.inputs:
        raise DataError(
            f"the template of task '{task.name}' names '{name}', which example {example.id} does not have",
            f"its inputs: {', '.join(example.inputs) or 'none'}",
        )
    return example.inputs[name]
