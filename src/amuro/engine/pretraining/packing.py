"""Documents → rows of equal length: none is cut, and each is marked so that it attends to itself only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

IGNORED = -100
"""Target where nothing is to be learned."""
WAITING = 64
"""Documents that wait for a place where they fit; more waste less, and mix their order more."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Arrays of (rows, length)."""

    ids: Ids
    documents: Ids
    """1, 2, … by document within a row; 0 where the row is empty."""
    targets: Ids
    """The next token; end-of-text after a document's last word."""


class Packer:
    """Packs an endless, numbered stream. Its whole state is which numbers wait and which comes next."""

    def __init__(self, text: Callable[[int], str], tokenizer: Tokenizer, eos: int, rows: int, length: int) -> None:
        self._text, self._tokenizer, self._eos = text, tokenizer, eos
        self._rows, self._length = rows, length
        self._waiting: dict[int, list[int]] = {}
        self._next = 0

    @property
    def state(self) -> dict[str, list[int] | int]:
        return {"waiting": list(self._waiting), "next": self._next}

    def restore(self, waiting: list[int], following: int) -> None:
        self._waiting = dict(zip(waiting, self._encode(waiting), strict=True))
        self._next = following

    def batch(self) -> Batch:
        """The next rows. A document longer than a row is left out."""
        shape = (self._rows, self._length)
        ids, documents, targets = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, IGNORED)
        for row in range(self._rows):
            self._fill_row(ids[row], documents[row], targets[row])
        return Batch(ids, documents, targets)

    def _fill_row(self, ids: Ids, documents: Ids, targets: Ids) -> None:
        start, number = 0, 1
        while (tokens := self._fitting(self._length - start)) is not None:
            end = start + len(tokens)
            ids[start:end], documents[start:end] = tokens, number
            targets[start:end] = [*tokens[1:], self._eos]
            start, number = end, number + 1

    def _fitting(self, room: int) -> list[int] | None:
        """The first waiting document that fits, taken out."""
        self._refill()
        found = next((number for number, tokens in self._waiting.items() if len(tokens) <= room), None)
        return None if found is None else self._waiting.pop(found)

    def _refill(self) -> None:
        while len(self._waiting) < WAITING:
            numbers = list(range(self._next, self._next + WAITING))
            self._next += WAITING
            fresh = zip(numbers, self._encode(numbers), strict=True)
            self._waiting |= {number: tokens for number, tokens in fresh if len(tokens) <= self._length}

    def _encode(self, numbers: list[int]) -> list[list[int]]:
        return [e.ids for e in self._tokenizer.encode_batch_fast([self._text(number) for number in numbers])]
