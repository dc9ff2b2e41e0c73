"""The one door to rows: (source, split, revision) → rows, and (task, split) → examples.

Sources:
- `world:NAME`: the embedded world;
- `hub:NAMESPACE/NAME[:CONFIG]`: a data set of the hub, by the real `datasets` client;
- `hub:NAMESPACE/NAME/FOLDER`: the Parquet files in FOLDER/SPLIT of one, as the hub exports what would need a script;
- `file:PATH`: JSONL, CSV, Parquet, or a folder of them named by split.

A split may be cut: `train[:500]`, `train[500:]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from amuro.core import hub
from amuro.core.errors import AmuroError, DataError, HubError, nearest
from amuro.core.text import single_spaced
from amuro.core.types import STATED_SPLITS, Example, Task
from amuro.data import columns, files
from amuro.data.columns import Columns, MissingError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPLIT = re.compile(r"(?P<name>[\w.-]+)(?:\[(?P<start>\d*):(?P<stop>\d*)\])?")
_ANSWER_NEEDS_TWO_KINDS = ("classification", "multiple_choice", "generation")


def rows(source: str, split: str, revision: str | None = None, cache: Path | None = None) -> list[dict[str, Any]]:
    """The rows of one split in the source's own order and with its own fields.

    `split` is the source's name for it. `revision` is a commit or branch of a hub data set, or the seed of a world.
    Where no row has an `id`, or ids of the hub repeat, each is named by its place in the whole split (`train-17`).
    Raises DataError (HubError where the network or the hub refuses) with the place and the cure.
    """
    kind, _, rest = source.partition(":")
    name, start, stop = _parse_split(source, split)
    if kind == "world":
        whole = _world(rest, name, revision)
    elif kind == "hub":
        whole = _hub(rest, name, revision, cache)
    elif kind == "file":
        whole = files.read(rest, name)
    else:
        raise DataError(
            f"source '{source}' is none of world:NAME, hub:NAMESPACE/NAME[:CONFIG], file:PATH",
            f"write hub:{source} for a data set of the hub" if "/" in source else "",
        )
    return _named(whole, name, f"{source} {name}")[start:stop]


def _named(whole: list[dict[str, Any]], split: str, place: str) -> list[dict[str, Any]]:
    """The rows with an id of text each. Raises DataError where some rows have one and others have not."""
    nameless = [number for number, row in enumerate(whole) if columns.is_missing(row.get("id"))]
    if nameless and len(nameless) < len(whole):
        raise DataError(
            f"{place}, row {nameless[0] + 1} has no id, and {len(whole) - len(nameless)} other rows have one",
            "give every row an id, or none (each is then named by its place)",
        )
    ids = [] if nameless else [_id(row, f"{place}, row {number}") for number, row in enumerate(whole, 1)]
    if len(set(ids)) < len(whole):
        ids = [f"{split}-{number}" for number in range(len(whole))]
    return [{**row, "id": own} for row, own in zip(whole, ids, strict=True)]


def _id(row: dict[str, Any], place: str) -> str:
    try:
        return columns.name(row, "id")
    except DataError as wrong:
        raise DataError(f"{place}: {wrong.message}", "an id is text or a whole number") from wrong


@dataclass(frozen=True, slots=True)
class Loaded:
    """The examples of a split that are asked, and what stood beside them."""

    examples: list[Example]
    there: int
    """Rows of the whole split, those left out counted."""
    whole: int
    """Examples of the whole split, before a limit."""
    clusters: int
    """Of the whole split."""
    dropped: tuple[str, ...] = ()
    """Ids of rows that were left out because a value was missing, as the task says."""


def examples(
    task: Task,
    split: str,
    revision: str | None = None,
    limit: int | None = None,
    draw_seed: int | None = None,
    cache: Path | None = None,
) -> list[Example]:
    """The examples of one of the task's splits, as `load` has them."""
    return load(task, split, revision, limit, draw_seed, cache).examples


def load(
    task: Task,
    split: str,
    revision: str | None = None,
    limit: int | None = None,
    draw_seed: int | None = None,
    cache: Path | None = None,
) -> Loaded:
    """The examples of one of the task's splits, checked; with a limit the first ones, or a draw where a seed is given.

    A draw keeps the source's order, and a smaller limit draws a part of what a larger one draws. Checks see the whole
    split before it is cut. Raises DataError on an unknown split, a row that does not fit the task, two examples of one
    id, an empty split, and a split whose answers are all the same (a hidden test set looks like that).
    """
    if split not in task.splits:
        raise DataError(f"task '{task.name}' has no split '{split}'", nearest(split, task.splits))
    place = f"{task.name}/{split} ({task.source} {task.splits[split]})"
    there = rows(task.source, task.splits[split], revision, cache)
    read = {row["id"]: _example(task, row, place) for row in there}
    found = [example for example in read.values() if example is not None]
    if not found:
        raise _empty(task, len(there), place)
    _check(task, found, place)
    dropped = tuple(name for name, example in read.items() if example is None)
    asked = [found[i] for i in drawn(len(found), limit, draw_seed)]
    return Loaded(asked, len(there), len(found), len({example.cluster for example in found}), dropped)


def drawn(size: int, limit: int | None, draw_seed: int | None) -> list[int]:
    """Which places of a list are kept, in rising order: all, the first `limit`, or a draw of `limit` of them."""
    if limit is None or limit >= size:
        return list(range(size))
    if draw_seed is None:
        return list(range(limit))
    return sorted(int(i) for i in np.random.default_rng(draw_seed).permutation(size)[:limit])


def _parse_split(source: str, split: str) -> tuple[str, int | None, int | None]:
    match = _SPLIT.fullmatch(split)
    if match is None:
        raise DataError(f"split '{split}' of {source} cannot be read", "write train, train[:500] or train[500:]")
    return match["name"], _bound(match["start"]), _bound(match["stop"])


def _bound(digits: str | None) -> int | None:
    return int(digits) if digits else None


@lru_cache(maxsize=64)  # a world's rows are drawn, not read: the same ones are asked for by every model
def _world(name: str, split: str, revision: str | None) -> list[dict[str, Any]]:
    from amuro.data.world.rows import rows as world_rows

    if revision is None or not revision.isdecimal():
        raise DataError(f"the revision of world:{name} is {revision!r}", "it is the seed of the world, a whole number")
    return world_rows(name, split, world_seed=int(revision))


def _hub(name: str, split: str, revision: str | None, cache: Path | None) -> list[dict[str, Any]]:
    """Loads through the hub's clients, which respect HF_HOME, HF_HUB_OFFLINE and HF_ENDPOINT. No script is run."""
    repository, folder, config = hub.parts(name)
    if folder:
        return _exported(repository, f"{folder}/{split}", revision)
    if Path(repository).exists():
        raise DataError(
            f"hub:{name} would be read from the folder {Path(repository).absolute()} instead of the hub",
            f"write file:{repository} if that is meant, else call amuro from another folder",
        )
    import datasets

    try:
        loaded = datasets.load_dataset(
            repository, config, split=split, revision=revision, cache_dir=str(cache) if cache else None
        )
    except Exception as failure:  # the client raises a dozen unrelated classes, some of them built-in
        raise _hub_error(name, split, revision, failure) from failure
    _refuse_other_revision(name, revision, loaded)
    return list(loaded.to_list())


def _exported(repository: str, folder: str, revision: str | None) -> list[dict[str, Any]]:
    """Rows of the Parquet files in a folder of a data set, as the hub's own export has them: one folder a split.

    The `datasets` client reads such folders too, but does not find them again offline.
    """
    found = hub.fetch_rows(repository, f"{folder}/*.parquet", revision or "main")
    files_there = sorted((found / folder).glob("*.parquet"))
    if not files_there:
        raise DataError(
            f"hub:{repository} has no Parquet file in {folder} at revision {revision or 'main'}",
            "check the folder and the split's name",
        )
    return pl.read_parquet(files_there, glob=False).to_dicts()


def _refuse_other_revision(name: str, revision: str | None, loaded: Any) -> None:
    """Offline the client falls back to whichever revision it cached last; its folder is named after the commit."""
    found = {Path(part["filename"]).parent.name for part in getattr(loaded, "cache_files", ())}
    if revision and _COMMIT.fullmatch(revision) and found - {revision}:
        raise DataError(
            f"hub:{name} was asked for at revision {revision}, and the cache holds {', '.join(sorted(found))}",
            "go online once to fetch the pinned revision, or pin the one that is there",
        )


def _hub_error(name: str, split: str, revision: str | None, failure: Exception) -> AmuroError:
    """The client's failure as one sentence with a cure. Its own first line is kept: it names what it looked for."""
    said = str(failure).strip().split("\n")[0].rstrip(".")
    place = f"hub:{name} split '{split}'" + (f" at revision {revision}" if revision else "")
    if "script" in said.lower():
        return DataError(
            f"{place} is a data set that needs a loading script, and none is run: {said}",
            "name a copy in Parquet (the revision refs/convert/parquet often is one)",
        )
    if isinstance(failure, ValueError):
        return DataError(f"{place} cannot be read: {said}", "check the configuration and the split's name")
    return HubError(
        f"{place} cannot be had: {said}",
        "check the name, the network and HF_TOKEN (gated sets need one); offline, fill the cache first, or "
        "name file:PATH for this task in the study's [sources]",
    )


def _example(task: Task, row: dict[str, Any], place: str) -> Example | None:
    """None where a value is missing and the task leaves such rows out."""
    try:
        example = task.example(Columns(row))
    except DataError as wrong:
        if isinstance(wrong, MissingError) and task.missing == "drop":
            return None
        raise DataError(f"{place}, row {row.get('id')}: {wrong.message}", wrong.cure) from wrong
    except KeyError as missing:
        fields = ", ".join(name for name in row if name != "id")  # which may be a name that was given here
        schema = f"; the schema stands at {task.page}" if task.page.startswith("http") else ""
        raise DataError(
            f"{place}, row {row.get('id')} has no field {missing}", f"its fields: {fields}{schema}"
        ) from missing
    except (TypeError, ValueError, IndexError, AttributeError) as wrong:
        raise DataError(f"{place}, row {row.get('id')} cannot be read: {wrong}", f"the row: {row}"[:300]) from wrong
    _check_one(task, example, place)
    return example


def _check_one(task: Task, example: Example, place: str) -> None:
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
    """Everything in an example that is written or shown."""
    yield from (example.id, example.cluster, *example.inputs.values(), example.answer, *example.options)
    for inputs, reply in example.earlier:
        yield from (*inputs.values(), reply)
    for inputs in example.contexts:
        yield from inputs.values()


def _check_answer(task: Task, example: Example, at: str) -> None:
    if not example.answer.strip():
        raise DataError(f"{at} has an empty answer", "leave such rows out of the file, or mend the task's `example`")
    if task.kind == "classification" and example.answer not in task.labels:
        blanks = single_spaced(example.answer) in task.labels
        cure = (
            'say normalize = "spaces" in the task'
            if blanks
            else f"the labels of '{task.name}' are {', '.join(task.labels)}"
        )
        raise DataError(f"{at} has the label {example.answer!r}", cure)
    if task.kind == "multiple_choice" and example.answer not in example.options:
        raise DataError(f"{at} has the answer {example.answer!r}", f"its options are {list(example.options)}")


def _empty(task: Task, there: int, place: str) -> DataError:
    if there:
        return DataError(f"each of the {there} rows in {place} has a missing value and is left out", "fill them in")
    cure = "check the split's name and its bounds"
    if task.splits == STATED_SPLITS:
        stated = ", ".join(f'{name} = "{source}"' for name, source in STATED_SPLITS.items())
        cure = f"a task whose table says no splits has {stated}: say others there"
    return DataError(f"{place} is empty", cure)


def _check(task: Task, found: Sequence[Example], place: str) -> None:
    twice = _first_repeated(example.id for example in found)
    if twice is not None:
        raise DataError(f"{place} has the id {twice!r} twice", "ids must be unique within a split")
    if (
        not task.hidden_gold
        and task.kind in _ANSWER_NEEDS_TWO_KINDS
        and len({example.answer for example in found}) == 1
    ):
        raise DataError(
            f"every one of the {len(found)} answers in {place} is {found[0].answer!r}",
            "a hidden test set looks like that: name a labelled split",
        )


def _first_repeated(ids: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            return name
        seen.add(name)
    return None
