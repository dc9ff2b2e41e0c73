"""Documents from files as pre-training reads them: cut to rows, and in a new order every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from amuro.core.errors import DataError
from amuro.data import files

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_AT_ONCE = 1000
"""Documents encoded together."""
_WORD_STARTS = ("Ġ", "Ċ")
"""A byte-level token that begins so (a blank, a line's end) begins a word: cut before it, and no token changes."""


@dataclass(frozen=True, slots=True)
class TextCorpus:
    """What a pre-training run reads: every document once an epoch, each epoch in an order of its own."""

    texts: Sequence[str]
    pretrain_seed: int
    vocabulary_documents: int
    row_length: int
    tokens: int | None = None
    """Of one pass, as declared; None where nothing was declared."""
    phases: tuple[int, ...] = ()
    """One stream from the first step to the last."""

    def sample(self) -> Sequence[str]:
        """The first documents."""
        return self.texts[: self.vocabulary_documents]

    def stream(self, step: int, tokenizer: Tokenizer) -> Callable[[int], str]:
        """Documents, in parts where they are longer than a row. The orders follow from the seed alone, so reading goes
        on anywhere. Raises DataError where one pass has another number of tokens than declared.
        """
        counted = list(parts(self.texts, tokenizer, self.row_length))
        total = sum(length for _, length in counted)
        if self.tokens not in (None, total):
            raise DataError(
                f"the study states {self.tokens} corpus_tokens, the corpus has {total}",
                f"write corpus_tokens = {total}",
            )

        @lru_cache(maxsize=3)  # documents of one epoch wait while the next one begins
        def order(epoch: int) -> list[int]:
            return [int(i) for i in np.random.default_rng([self.pretrain_seed, epoch]).permutation(len(counted))]

        return lambda number: counted[order(number // len(counted))[number % len(counted)]][0]


def documents(path: str, split: str, sha256: str) -> tuple[str, ...]:
    """The field `text` of every row. Raises DataError where the file is not the pinned one, is empty, or where a row
    has no text.
    """
    place = f"file:{path} split '{split}'"
    found = files.sha256(path, split)
    if found != sha256:
        raise DataError(
            f"{place} has sha256 {found}, the study pins {sha256}",
            "make the pinned corpus again, or state the new digest as corpus_sha256: it is another series",
        )
    texts = tuple(_text(place, number, row) for number, row in enumerate(files.read(path, split)))
    if not texts:
        raise DataError(f"{place} is empty", "give it documents")
    return texts


def parts(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> Iterator[tuple[str, int]]:
    """(text, tokens with end-of-text before it) of each document, or of each of its parts of at most `length` tokens.

    A document is cut between words, as late as possible, so that its parts have the very tokens of the whole; each
    part is then read as a document of its own. Raises DataError on a word that no row can hold.
    """
    for begin in range(0, len(texts), _AT_ONCE):
        some = list(texts[begin : begin + _AT_ONCE])
        for text, encoding in zip(some, tokenizer.encode_batch(some), strict=True):
            yield from [(text, len(encoding))] if len(encoding) <= length else _cut(text, encoding, length)


def _cut(text: str, encoding: Encoding, length: int) -> Iterator[tuple[str, int]]:
    tokens, offsets = encoding.tokens, encoding.offsets
    first = 1  # token 0 is end-of-text
    while first < len(tokens):
        last = min(first + length - 1, len(tokens))
        while first < last < len(tokens) and not tokens[last].startswith(_WORD_STARTS):
            last -= 1
        if last == first:
            raise DataError(f"a word of a document has more than {length - 1} tokens: {text[:60]!r} …", "leave it out")
        yield text[offsets[first][0] : offsets[last - 1][1]].strip(), last - first + 1
        first = last


def _text(place: str, number: int, row: Mapping[str, Any]) -> str:
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"row {number} of {place} has no text: {str(row)[:80]}",
            "every row of a corpus has a field `text` that is not blank",
        )
    return text.strip()
