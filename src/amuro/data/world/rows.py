"""Rows of every world task, as a data file would hold them: plain, deterministic, each with its cluster.

Splits: `train`, `dev`, `test` draw values and strangers that may be tuned on; `test_ood` draws those that never are.
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
DOCUMENTS = 300

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
    """All rows of a split; dev and test ask nothing that train asks. Raises DataError on an unknown name or split."""
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
    return [next(row for row in draws if _asked(row) not in trained) for draws in drawn]


@lru_cache(maxsize=16)
def _train(name: str, world_seed: int) -> tuple[Row, ...]:
    """Train, drawn once: it is read itself, and every other split keeps away from it."""
    return tuple(next(_draws(name, "train", world_seed, number)) for number in range(SIZES["train"]))


@lru_cache(maxsize=16)
def _trained(name: str, world_seed: int) -> frozenset[str]:
    """What train asks."""
    return frozenset(_asked(row) for row in _train(name, world_seed))


def _draws(name: str, split: str, world_seed: int, number: int) -> Iterator[Row]:
    """Rows that could be number `number` of the split, without end."""
    rng = np.random.default_rng([world_seed, crc32(f"{name}/{split}".encode()), number])
    while True:
        yield {"id": f"{name}-{split}-{number}", **_MAKERS[name](world(world_seed), rng, split, number)}


def _asked(row: Row) -> str:
    """All that a model is shown."""
    hidden = ("id", "cluster", "label", "answer", "options", "summary")
    return repr([value for key, value in row.items() if key not in hidden])


def _document(world_seed: int, number: int) -> Row:
    text = corpus.document(world_seed, 0, "held_out", number)
    return {"id": f"corpus-test-{number}", "cluster": f"document-{number}", "text": text}
