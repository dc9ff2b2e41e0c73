"""Checks of a user-defined task: keys that contradict each other, and labels that cannot be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amuro.core.errors import DataError

if TYPE_CHECKING:
    from amuro.tasks._custom import OwnTask


def refuse_half_a_choice(name: str, table: OwnTask) -> None:
    """Raises DataError for keys of multiple choice that contradict each other."""
    if table.options and table.labels:
        raise DataError(f"tasks.{name} has options and labels", "labels are the same for every row, options are not")
    if table.contexts and table.cloze:
        raise DataError(f"tasks.{name} has contexts and cloze", "a cloze text makes the contexts: leave one out")
    if table.has_contexts and not table.options:
        raise DataError(f"tasks.{name} has contexts and no options", "name the columns of the options")
    if table.answer_by != "text" and not table.options:
        raise DataError(f'tasks.{name} says answer_by = "{table.answer_by}" and no options', "name their columns")


def refuse_one_word(name: str, table: OwnTask) -> None:
    """Raises DataError if there are fewer than two different labels."""
    key, words = ("labels", table.labels) if table.labels else ("answers", tuple(table.answers.values()))
    if words and not table.options and len(set(words)) < 2:
        what = f"tasks.{name}: every one of its {len(words)} {key} is {words[0]!r}"
        raise DataError(what, "give two or more words, each its own")
    if len(set(table.labels)) < len(table.labels):
        raise DataError(f"tasks.{name} names a label twice: {', '.join(table.labels)}", "name each once")
