"""The examples in the page's JSON: one card per example, answers as indices, so that thousands stay small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from amuro.core.coordinates import RECIPE
from amuro.report.examples import CHANGES, KINDS, RIGHT, TRANSITIONS
from amuro.report.formatting import number, plain, split_words
from amuro.report.model import ReportData
from amuro.report.naming import Recipe, recipe_words, recipes_of, roles_of
from amuro.report.plots.svg import shorten
from amuro.report.tables import checkpoint_names

PROMPT_LIMIT, ANSWER_LIMIT = 4_000, 600
"""Characters that the page shows; the whole text is in the store."""
TASK_LIMIT, FEWEST = 60_000, 6
"""Characters of all prompts and answers of one task, and how many examples stand there whatever their length."""
NOTHING = -1
"""Stands for an answer that was not given: the cell has not run, or was never asked."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Names:
    """The lists of names that the indices of a card refer to, in the page's order."""

    tasks: tuple[str, ...]
    splits: tuple[str, ...]
    tuned: tuple[Recipe, ...]
    checkpoints: tuple[str, ...]
    formats: tuple[str, ...]

    def in_words(self, book: ReportData) -> dict[str, list[str]]:
        """Returns the same lists for readers."""
        known, recipes, roles = checkpoint_names(book), recipe_words(book.scores), self._roles(book)
        return {
            "tasks": [plain(name) for name in self.tasks],
            "splits": [split_words(name, roles.get(name, "")) for name in self.splits],
            "tuned": [recipes.get(name, plain(name.tuned_on)) for name in self.tuned],
            "checkpoints": [known.get(name, name) for name in self.checkpoints],
            "formats": [plain(name) for name in self.formats],
        }

    def _roles(self, book: ReportData) -> dict[str, str]:
        """Returns split → in or out of domain, if it is the same for all tasks."""
        roles_by_split: dict[str, set[str]] = {}
        for (_, split), role in roles_of(book.scores).items():
            roles_by_split.setdefault(split, set()).add(role)
        return {split: min(roles) for split, roles in roles_by_split.items() if len(roles) == 1}


def names_of(book: ReportData) -> Names:
    """Returns all names in examples and counts; tasks that a recipe trains on come first."""
    frames = [frame for frame in (book.examples, book.changes) if frame.height]

    def of(column: str) -> set[str]:
        return {name for frame in frames for name in frame[column].unique()}

    tuned = {recipe for frame in frames for recipe in recipes_of(frame)}
    taught, places = of("tuned_on"), of("checkpoint")
    known = [name for name in checkpoint_names(book) if name in places]
    return Names(
        tuple(sorted(of("task"), key=lambda name: (name not in taught, name))),
        tuple(sorted(of("split"))),
        tuple(sorted(tuned)),
        (*known, *sorted(places.difference(known))),
        tuple(sorted(of("format"), key=lambda name: (name != "default", name))),
    )


def pack(book: ReportData, names: Names) -> list[dict[str, Any]]:
    """Returns one card per example, in the order of the frame; a task is cut when its share of
    characters is used up.
    """
    rows_by_example: dict[tuple[str, ...], list[Row]] = {}
    for row in book.examples.iter_rows(named=True):
        rows_by_example.setdefault((row["task"], row["split"], row["example_id"]), []).append(row)
    cards = [_card(rows, names) for rows in rows_by_example.values()]
    by_task = [[card for card in cards if card["task"] == place] for place in range(len(names.tasks))]
    return [card for mine in by_task for card in _with_room(mine)]


def _with_room(cards: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    used = 0
    for place, card in enumerate(cards):
        used += sum(len(asked["prompt"]) for asked in card["asked"]) + sum(len(words) for words, _ in card["said"])
        if place >= FEWEST and used > TASK_LIMIT:
            return
        yield card


def _card(rows: Sequence[Row], names: Names) -> dict[str, Any]:
    said: dict[tuple[str, int], int] = {}
    forms = sorted({row["format"] for row in rows}, key=names.formats.index)
    first = rows[0]
    return {
        "task": names.tasks.index(first["task"]), "split": names.splits.index(first["split"]),
        "id": first["example_id"], "cluster": first["cluster"], "gold": first["gold"],
        "asked": [_asked([row for row in rows if row["format"] == form], names, said) for form in forms],
        "said": [list(answer) for answer in said],
    }  # fmt: skip


def _asked(rows: Sequence[Row], names: Names, said: dict[tuple[str, int], int]) -> dict[str, Any]:
    """Returns the answers in one format: of the base by checkpoint, of tuned models by recipe and checkpoint."""
    base = [NOTHING] * len(names.checkpoints)
    tuned: list[list[int] | int] = [0] * len(names.tuned)
    for row in rows:
        place, turn = (
            names.checkpoints.index(row["checkpoint"]),
            names.tuned.index(Recipe(*(row[name] for name in RECIPE))),
        )
        base[place] = _answer(row["predicted_base"], row["value_base"], said)
        mine = tuned[turn]
        if isinstance(mine, int):
            mine = tuned[turn] = [NOTHING] * len(names.checkpoints)
        mine[place] = _answer(row["predicted_tuned"], row["value_tuned"], said)
    prompt = shorten(rows[0]["prompt"] or "", PROMPT_LIMIT)
    return {"format": names.formats.index(rows[0]["format"]), "prompt": prompt, "base": base, "tuned": tuned}


def _answer(words: str | None, value: float | None, said: dict[tuple[str, int], int]) -> int:
    """Returns the index of an answer in `said`, whose entries are (text, 1 if correct)."""
    if words is None or value is None:
        return NOTHING
    shown = shorten(words, ANSWER_LIMIT) or "(nothing)"
    shown = shown if value in (0.0, 1.0) else f"{shown} ({number(value)})"
    return said.setdefault((shown, int(value >= RIGHT)), len(said))


def data(book: ReportData, names: Names, cards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns what the page's script reads: names, cards, and the counts by place."""
    counts = changes_by(book, names, "task", "split", *RECIPE, "checkpoint", "format")
    return {
        **names.in_words(book),
        "kinds": {kind: TRANSITIONS[kind] for kind in KINDS},
        "cards": cards,
        "counts": counts,
    }


def changes_by(book: ReportData, names: Names, *keys: str) -> list[list[int]]:
    """Returns the counts of `ReportData.changes`, summed by `keys`: indices into `names`, then the numbers.

    The columns of `RECIPE` are one key.
    """
    if not book.changes.height:
        return []
    lists: dict[str, tuple[Any, ...]] = {"task": names.tasks, "split": names.splits, "tuned": names.tuned,
                                         "checkpoint": names.checkpoints, "format": names.formats}  # fmt: skip
    numbers = [*KINDS, *(f"{kind}_only" for kind in CHANGES)]
    counts = []
    for row in book.changes.group_by(keys).agg(pl.col(numbers).sum()).iter_rows(named=True):
        asked = {"tuned": Recipe(*(row[name] for name in RECIPE))} if RECIPE[0] in keys else {}
        asked |= {key: row[key] for key in keys if key not in RECIPE}
        order = dict.fromkeys("tuned" if key in RECIPE else key for key in keys)
        counts.append([*(lists[key].index(asked[key]) for key in order), *(row[name] for name in numbers)])
    return sorted(counts)
