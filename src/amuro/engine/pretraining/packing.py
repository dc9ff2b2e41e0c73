"""Documents → rows of equal length. No document is cut, and each is numbered so that it attends to itself only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

IGNORED = -100
"""Target without loss (torch's default `ignore_index`)."""
WAITING = 64
"""Size of the buffer of documents to pack from; a larger one leaves less padding and changes the order more."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch; each array is [rows, length]."""

    ids: Ids
    """Token ids; 0 in padding."""
    documents: Ids
    """Number of the document within its row, from 1; 0 in padding."""
    targets: Ids
    """The next token, end-of-text after a document's last token, `IGNORED` in padding."""


class Packer:
    """Packs an endless stream of numbered documents. Its state is the numbers in the buffer and the next number."""

    def __init__(self, text: Callable[[int], str], tokenizer: Tokenizer, eos: int, rows: int, length: int) -> None:
        """text: number → document. eos: id of end-of-text. rows, length: shape of each batch, in rows and tokens."""
        self._text, self._tokenizer, self._eos = text, tokenizer, eos
        self._rows, self._length = rows, length
        self._waiting: dict[int, list[int]] = {}
        self._next = 0

    @property
    def state(self) -> dict[str, list[int] | int]:
        """The numbers of the buffered documents (`waiting`) and of the next one (`next`), for `restore`."""
        return {"waiting": list(self._waiting), "next": self._next}

    def restore(self, waiting: list[int], following: int) -> None:
        """Continue from a `state`: waiting, following are its `waiting` and `next`."""
        self._waiting = dict(zip(waiting, self._encode(waiting), strict=True))
        self._next = following

    def batch(self) -> Batch:
        """The next batch. A document longer than a row is left out."""
        shape = (self._rows, self._length)
        ids, documents, targets = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, IGNORED)
        for row in range(self._rows):
            self._fill_row(ids[row], documents[row], targets[row])
        return Batch(ids, documents, targets)

    def _fill_row(self, ids: Ids, documents: Ids, targets: Ids) -> None:
        """Fill one row of each array [length] in place with documents that fit."""
        start, number = 0, 1
        while (tokens := self._fitting(self._length - start)) is not None:
            end = start + len(tokens)
            ids[start:end], documents[start:end] = tokens, number
            targets[start:end] = [*tokens[1:], self._eos]
            start, number = end, number + 1

    def _fitting(self, room: int) -> list[int] | None:
        """Take the first document of at most `room` tokens out of the buffer: its token ids, or None if none fits."""
        self._refill()
        fitting = next((number for number, tokens in self._waiting.items() if len(tokens) <= room), None)
        return None if fitting is None else self._waiting.pop(fitting)

    def _refill(self) -> None:
        """Encode further documents until the buffer has at least `WAITING`."""
        while len(self._waiting) < WAITING:
            numbers = list(range(self._next, self._next + WAITING))
            self._next += WAITING
            fresh = zip(numbers, self._encode(numbers), strict=True)
            self._waiting |= {number: tokens for number, tokens in fresh if len(tokens) <= self._length}

    def _encode(self, numbers: list[int]) -> list[list[int]]:
        """Token ids of the documents with those numbers."""
        return [e.ids for e in self._tokenizer.encode_batch_fast([self._text(number) for number in numbers])]
