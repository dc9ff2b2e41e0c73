"""Rows of every world task, as a data file would hold them: plain, deterministic, each with its cluster.

Splits: `train`, `dev`, `test` draw values and strangers that may be tuned on; `test_ood` draws those that never are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from zlib import crc32

import numpy as np

from amuro.errors import DataError, nearest
from amuro.world import corpus, questions
from amuro.world.facts import World, world

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
    """All rows of a split, no two alike in `train`. Raises DataError on an unknown name or split."""
    if name not in NAMES:
        raise DataError(f"the world has no rows named '{name}'", nearest(name, NAMES))
    known = ("test",) if name == "corpus" else tuple(SIZES)
    if split not in known:
        raise DataError(f"world:{name} has no split '{split}'", nearest(split, known))
    if name == "corpus":
        return [_document(world_seed, number) for number in range(DOCUMENTS)]
    rng = np.random.default_rng([world_seed, crc32(f"{name}/{split}".encode())])
    return [_row(name, split, world_seed, rng, number) for number in range(SIZES[split])]


def _row(name: str, split: str, world_seed: int, rng: np.random.Generator, number: int) -> Row:
    return {"id": f"{name}-{split}-{number}", **_MAKERS[name](world(world_seed), rng, split, number)}


def _document(world_seed: int, number: int) -> Row:
    text = corpus.document(world_seed, 0, "held_out", number)
    return {"id": f"corpus-test-{number}", "cluster": f"document-{number}", "text": text}
