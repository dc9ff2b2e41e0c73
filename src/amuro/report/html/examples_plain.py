"""The examples without the script: a few cards per task, and the table of all changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amuro.core.coordinates import RECIPE
from amuro.report.examples import CHANGES, KINDS, TRANSITIONS
from amuro.report.formatting import count
from amuro.report.html.examples_json import NOTHING, Names, changes_by
from amuro.report.model import ReportData
from amuro.report.tables import Square, Table

STATIC = 2
"""Examples of a task that can be read without the script."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as the page shows it before the script runs."""

    task: str
    split: str
    asked: str
    card: Mapping[str, Any]
    rows: tuple[tuple[str, str, str, str, str], ...]
    """checkpoint, tuned on, base answer, tuned answer, kind of change: the last checkpoint, the first format."""


def first_cards(cards: Sequence[Mapping[str, Any]], words: Mapping[str, Sequence[str]]) -> list[Shown]:
    """Returns the first cards of each task; `words` are the names that their indices refer to."""
    by_task = [[card for card in cards if card["task"] == place] for place in range(len(words["tasks"]))]
    return [_shown(card, words) for mine in by_task for card in mine[:STATIC]]


def _shown(card: Mapping[str, Any], words: Mapping[str, Sequence[str]]) -> Shown:
    asked, said = card["asked"][0], card["said"]
    last = max(place for place, answer in enumerate(asked["base"]) if answer != NOTHING or place == 0)
    rows = tuple(
        (words["checkpoints"][last], words["tuned"][turn], *_answers(said, asked["base"][last], answers[last]))
        for turn, answers in enumerate(asked["tuned"])
        if answers and answers[last] != NOTHING
    )
    task, split, form = words["tasks"][card["task"]], words["splits"][card["split"]], words["formats"][asked["format"]]
    return Shown(task, split, form, card, rows)


def _answers(said: Sequence[tuple[str, int]], base: int, tuned: int) -> tuple[str, str, str]:
    """Returns the answers of base and tuned model, and the kind of change."""
    if NOTHING in (base, tuned):
        return "not run", "not run", "unknown"
    (before, was), (after, now) = said[base], said[tuned]
    return before, after, (("missed", "won"), ("lost", "kept"))[was][now]


def change_table(book: ReportData, names: Names, words: Mapping[str, Sequence[str]]) -> Table | None:
    """Returns the counts of each kind of change, by recipe, checkpoint and format, over all tasks and sets."""
    if not book.changes.height:
        return None
    rows = changes_by(book, names, *RECIPE, "checkpoint", "format")
    body = tuple(
        (f"tuned on {words['tuned'][tuned]} · {words['checkpoints'][place]} · asked as {words['formats'][form]}",
         tuple(Square(count(number)) for number in (*numbers, sum(numbers[: len(KINDS)]))))
        for tuned, place, form, *numbers in rows
    )  # fmt: skip
    head = (
        *(TRANSITIONS[kind] for kind in KINDS),
        *(f"{TRANSITIONS[kind]}, in this format only" for kind in CHANGES),
        "all pairs",
    )
    return Table("kinds of change", head, body)
