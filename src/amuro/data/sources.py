"""All data come in here: (source, split, revision) → rows, and (task, split) → examples.

Sources:
- `world:NAME`: the embedded world;
- `hub:NAMESPACE/NAME[:CONFIG]`: a data set of the hub, loaded by the `datasets` client;
- `hub:NAMESPACE/NAME/FOLDER`: Parquet files in FOLDER/SPLIT of a data set (the hub's export of script data sets);
- `file:PATH`: JSONL, CSV, Parquet, or a folder of them named by split.

A part of a split is named as in `train[:500]` or `train[500:]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from amuro.core.errors import DataError, nearest
from amuro.core.text import single_spaced
from amuro.core.types import STATED_SPLITS, Example, Task
from amuro.data import columns, files
from amuro.data.columns import Columns, MissingError
from amuro.data.hub_rows import hub_rows

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPLIT = re.compile(r"(?P<name>[\w.-]+)(?:\[(?P<start>\d*):(?P<stop>\d*)\])?")
_ANSWER_NEEDS_TWO_KINDS = ("classification", "multiple_choice", "generation")


def rows(source: str, split: str, revision: str | None = None, cache: Path | None = None) -> list[dict[str, Any]]:
    """The rows of one split in the source's order and with its fields, each with an `id`.

    split: the source's name of the split. revision: a commit or branch of a hub data set, or the seed of a world.
    cache: folder of the `datasets` client's cache; None: the client's own.
    Where no row has an `id`, or ids repeat, rows are named by their index in the whole split (`train-17`).
    Raises DataError, or HubError where the network or the hub fails.
    """
    kind, _, rest = source.partition(":")
    name, start, stop = _parse_split(source, split)
    if kind == "world":
        all_rows = _world(rest, name, revision)
    elif kind == "hub":
        all_rows = hub_rows(rest, name, revision, cache)
    elif kind == "file":
        all_rows = files.read(rest, name)
    else:
        raise DataError(
            f"source '{source}' is none of world:NAME, hub:NAMESPACE/NAME[:CONFIG], file:PATH",
            f"write hub:{source} for a data set of the hub" if "/" in source else "",
        )
    return _with_ids(all_rows, name, f"{source} {name}")[start:stop]


def _with_ids(all_rows: list[dict[str, Any]], split: str, place: str) -> list[dict[str, Any]]:
    """The rows, each with a text `id`. Raises DataError where some rows have an id and others have none."""
    nameless = [number for number, row in enumerate(all_rows) if columns.is_missing(row.get("id"))]
    if nameless and len(nameless) < len(all_rows):
        raise DataError(
            f"{place}, row {nameless[0] + 1} has no id, and {len(all_rows) - len(nameless)} other rows have one",
            "give every row an id, or none (each is then named by its place)",
        )
    ids = [] if nameless else [_id(row, f"{place}, row {number}") for number, row in enumerate(all_rows, 1)]
    if len(set(ids)) < len(all_rows):
        ids = [f"{split}-{number}" for number in range(len(all_rows))]
    return [{**row, "id": row_id} for row, row_id in zip(all_rows, ids, strict=True)]


def _id(row: dict[str, Any], place: str) -> str:
    """The row's id as text. Raises DataError where it is neither text nor a whole number."""
    try:
        return columns.name(row, "id")
    except DataError as wrong:
        raise DataError(f"{place}: {wrong.message}", "an id is text or a whole number") from wrong


@dataclass(frozen=True, slots=True)
class Loaded:
    """The examples of a split to evaluate, and counts of the whole split."""

    examples: list[Example]
    """After the limit."""
    there: int
    """Rows of the whole split, including dropped ones."""
    whole: int
    """Examples of the whole split, before the limit."""
    clusters: int
    """Clusters of the whole split."""
    dropped: tuple[str, ...] = ()
    """Ids of rows that were dropped because a value was missing (a task with `missing = "drop"`)."""


def examples(
    task: Task,
    split: str,
    revision: str | None = None,
    limit: int | None = None,
    draw_seed: int | None = None,
    cache: Path | None = None,
) -> list[Example]:
    """The examples of one of the task's splits; arguments and errors as in `load`."""
    return load(task, split, revision, limit, draw_seed, cache).examples


def load(
    task: Task,
    split: str,
    revision: str | None = None,
    limit: int | None = None,
    draw_seed: int | None = None,
    cache: Path | None = None,
) -> Loaded:
    """The checked examples of one of the task's splits, at most `limit` of them.

    With `draw_seed` they are a random sample in the source's order, and a smaller limit gives a subset of a larger
    one's sample; without it they are the first ones. Checks cover the whole split, before the limit.
    Raises DataError on an unknown split, a row that does not fit the task, duplicate ids, an empty split, and a split
    whose answers are all the same (as in test sets with hidden labels).
    """
    if split not in task.splits:
        raise DataError(f"task '{task.name}' has no split '{split}'", nearest(split, task.splits))
    place = f"{task.name}/{split} ({task.source} {task.splits[split]})"
    all_rows = rows(task.source, task.splits[split], revision, cache)
    by_id = {row["id"]: _example(task, row, place) for row in all_rows}
    valid = [example for example in by_id.values() if example is not None]
    if not valid:
        raise _empty(task, len(all_rows), place)
    _check(task, valid, place)
    dropped = tuple(row_id for row_id, example in by_id.items() if example is None)
    chosen = [valid[i] for i in drawn(len(valid), limit, draw_seed)]
    return Loaded(chosen, len(all_rows), len(valid), len({example.cluster for example in valid}), dropped)


def drawn(size: int, limit: int | None, draw_seed: int | None) -> list[int]:
    """Indices to keep of a list of `size`, in rising order: all, the first `limit`, or a random sample of `limit`."""
    if limit is None or limit >= size:
        return list(range(size))
    if draw_seed is None:
        return list(range(limit))
    return sorted(int(i) for i in np.random.default_rng(draw_seed).permutation(size)[:limit])


def _parse_split(source: str, split: str) -> tuple[str, int | None, int | None]:
    """`train[:500]` → (name, start, stop); None where a bound is not stated. Raises DataError on other forms."""
    match = _SPLIT.fullmatch(split)
    if match is None:
        raise DataError(f"split '{split}' of {source} cannot be read", "write train, train[:500] or train[500:]")
    return match["name"], _bound(match["start"]), _bound(match["stop"])


def _bound(digits: str | None) -> int | None:
    """The digits as a number; None where there are none."""
    return int(digits) if digits else None


@lru_cache(maxsize=64)  # a world's rows take time to draw, and every model needs the same ones
def _world(name: str, split: str, revision: str | None) -> list[dict[str, Any]]:
    """The rows of `world:NAME`. Raises DataError where `revision` is no seed."""
    from amuro.data.world.rows import rows as world_rows

    if revision is None or not revision.isdecimal():
        raise DataError(f"the revision of world:{name} is {revision!r}", "it is the seed of the world, a whole number")
    return world_rows(name, split, world_seed=int(revision))


def _example(task: Task, row: dict[str, Any], place: str) -> Example | None:
    """The row as an example of the task, checked; None where a value is missing and the task drops such rows.

    Raises DataError, with the row, where it does not fit the task.
    """
    try:
        example = task.example(Columns(row))
    except DataError as wrong:
        if isinstance(wrong, MissingError) and task.missing == "drop":
            return None
        raise DataError(f"{place}, row {row.get('id')}: {wrong.message}", wrong.cure) from wrong
    except KeyError as missing:
        fields = ", ".join(name for name in row if name != "id")  # `id` may have been added here
        schema = f"; the schema stands at {task.page}" if task.page.startswith("http") else ""
        raise DataError(
            f"{place}, row {row.get('id')} has no field {missing}", f"its fields: {fields}{schema}"
        ) from missing
    except (TypeError, ValueError, IndexError, AttributeError) as wrong:
        raise DataError(f"{place}, row {row.get('id')} cannot be read: {wrong}", f"the row: {row}"[:300]) from wrong
    _check_one(task, example, place)
    return example


def _check_one(task: Task, example: Example, place: str) -> None:
    """Raise DataError where an example lacks an id, a cluster or an input, or holds what is no text."""
    at = f"{place}, example {ascii(example.id)[1:-1]}"
    for text in _texts(example):
        if not isinstance(text, str):
            raise DataError(f"{at} holds {text!r}", "every id, cluster, input, answer and option is text")
        if _SURROGATE.search(text):
            raise DataError(f"{at} holds half a character: {text!a:.80}", "write the whole character, or leave it out")
    if not example.id or not example.cluster:
        raise DataError(f"{at} has no {'cluster' if example.id else 'id'}", "each example needs both")
    for key, _ in task.fields:
        if key not in example.inputs:
            raise DataError(f"{at} has no input '{key}'", f"its inputs: {', '.join(example.inputs)}")
    _check_answer(task, example, at)


def _texts(example: Example) -> Iterator[str]:
    """All texts of an example, in the order of its fields."""
    yield from (example.id, example.cluster, *example.inputs.values(), example.answer, *example.options)
    for inputs, reply in example.earlier:
        yield from (*inputs.values(), reply)
    for inputs in example.contexts:
        yield from inputs.values()


def _check_answer(task: Task, example: Example, at: str) -> None:
    """Raise DataError where the answer is empty, no label of the task, or not among the options."""
    if not example.answer.strip():
        raise DataError(f"{at} has an empty answer", "leave such rows out of the file, or mend the task's `example`")
    if task.kind == "classification" and example.answer not in task.labels:
        blanks = single_spaced(example.answer) in task.labels
        cure = (
            'set normalize = "spaces" in the task'
            if blanks
            else f"the labels of '{task.name}' are {', '.join(task.labels)}"
        )
        raise DataError(f"{at} has the label {example.answer!r}", cure)
    if task.kind == "multiple_choice" and example.answer not in example.options:
        raise DataError(f"{at} has the answer {example.answer!r}", f"its options are {list(example.options)}")


def _empty(task: Task, row_count: int, place: str) -> DataError:
    """The error for a split without examples, of `row_count` rows."""
    if row_count:
        return DataError(f"each of the {row_count} rows in {place} has a missing value and is left out", "fill them in")
    cure = "check the split's name and its bounds"
    if task.splits == STATED_SPLITS:
        stated = ", ".join(f'{name} = "{source}"' for name, source in STATED_SPLITS.items())
        cure = f"a task whose table says no splits has {stated}: say others there"
    return DataError(f"{place} is empty", cure)


def _check(task: Task, examples: Sequence[Example], place: str) -> None:
    """Raise DataError where ids repeat, or all answers of a split are the same."""
    repeated = _first_repeated(example.id for example in examples)
    if repeated is not None:
        raise DataError(f"{place} has the id {repeated!r} twice", "ids must be unique within a split")
    if (
        not task.hidden_gold
        and task.kind in _ANSWER_NEEDS_TWO_KINDS
        and len({example.answer for example in examples}) == 1
    ):
        raise DataError(
            f"every one of the {len(examples)} answers in {place} is {examples[0].answer!r}",
            "a hidden test set looks like that: name a labelled split",
        )


def _first_repeated(ids: Iterable[str]) -> str | None:
    """The first id that occurs for the second time; None where all differ."""
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            return name
        seen.add(name)
    return None
