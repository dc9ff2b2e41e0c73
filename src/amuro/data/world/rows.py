"""Rows of every world task, as in a data file: plain values, deterministic, each with its cluster.

The splits `train`, `dev` and `test` use values and strangers that tuning may see; `test_ood` uses held-out ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from zlib import crc32

import numpy as np

from amuro.core.errors import DataError, nearest
from amuro.data.world import corpus, questions
from amuro.data.world.facts import World, world

Row = dict[str, object]
SIZES: Mapping[str, int] = {"train": 4000, "dev": 300, "test": 500, "test_ood": 500}
"""Split → rows."""
DOCUMENTS = 300
"""Rows of the corpus task: held-out documents for bits per byte."""

_MAKERS: Mapping[str, Callable[[World, np.random.Generator, str, int], Row]] = {
    "inference": questions.inference,
    "paraphrase": questions.paraphrase,
    "reading": questions.reading,
    "inverse": questions.inverse,
    "question": questions.question,
    "summary": questions.summary,
    "instruct": questions.instruct,
    "facts": questions.facts,
}
NAMES = (*_MAKERS, "corpus")


def rows(name: str, split: str, world_seed: int) -> list[Row]:
    """All rows of a split; no row of another split has the inputs of a train row.

    Raises DataError on an unknown name or split.
    """
    if name not in NAMES:
        raise DataError(f"the world has no rows named '{name}'", nearest(name, NAMES))
    known = ("test",) if name == "corpus" else tuple(SIZES)
    if split not in known:
        raise DataError(f"world:{name} has no split '{split}'", nearest(split, known))
    if name == "corpus":
        return [_document(world_seed, number) for number in range(DOCUMENTS)]
    if split == "train":
        return list(_train(name, world_seed))
    trained = _trained(name, world_seed)
    drawn = (_draws(name, split, world_seed, number) for number in range(SIZES[split]))
    return [next(row for row in draws if _visible_text(row) not in trained) for draws in drawn]


@lru_cache(maxsize=16)
def _train(name: str, world_seed: int) -> tuple[Row, ...]:
    """The train rows, cached because every other split is compared with them."""
    return tuple(next(_draws(name, "train", world_seed, number)) for number in range(SIZES["train"]))


@lru_cache(maxsize=16)
def _trained(name: str, world_seed: int) -> frozenset[str]:
    """The inputs of all train rows, as text."""
    return frozenset(_visible_text(row) for row in _train(name, world_seed))


def _draws(name: str, split: str, world_seed: int, number: int) -> Iterator[Row]:
    """An endless stream of candidates for row `number` of the split."""
    rng = np.random.default_rng([world_seed, crc32(f"{name}/{split}".encode()), number])
    while True:
        yield {"id": f"{name}-{split}-{number}", **_MAKERS[name](world(world_seed), rng, split, number)}


def _visible_text(row: Row) -> str:
    """The row's inputs (everything but ids and answers) as one text, for comparison."""
    hidden = ("id", "cluster", "label", "answer", "options", "summary")
    return repr([value for key, value in row.items() if key not in hidden])


def _document(world_seed: int, number: int) -> Row:
    """Row `number` of the corpus task."""
    text = corpus.document(world_seed, 0, "held_out", number)
    return {"id": f"corpus-test-{number}", "cluster": f"document-{number}", "text": text}
