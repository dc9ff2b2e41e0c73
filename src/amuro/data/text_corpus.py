"""Pre-training documents from files: split into parts that fit a row, in a new order every epoch."""

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
"""Documents encoded per call of the tokenizer."""
_WORD_STARTS = ("Ġ", "Ċ")
"""First characters (space, line feed) of byte-level tokens that begin a word. A cut before them changes no token."""


@dataclass(frozen=True, slots=True)
class TextCorpus:
    """The corpus of a pre-training run: every document once per epoch, each epoch in a different order."""

    texts: Sequence[str]
    pretrain_seed: int
    vocabulary_documents: int
    """Number of documents that the tokenizer is trained on."""
    row_length: int
    """Tokens per row."""
    tokens: int | None = None
    """Tokens per epoch as the study states them; None: not stated."""
    phases: tuple[int, ...] = ()
    """Steps at which another stream begins: none, since there is one stream."""

    def sample(self) -> Sequence[str]:
        """The first documents, for training the tokenizer."""
        return self.texts[: self.vocabulary_documents]

    def stream(self, step: int, tokenizer: Tokenizer) -> Callable[[int], str]:
        """Number → document (or part of a document that is longer than a row), over endless epochs.

        The orders depend on the seed only, so a stream can be continued at any number. `step` is not used.
        Raises DataError where an epoch has another number of tokens than stated.
        """
        counted = list(parts(self.texts, tokenizer, self.row_length))
        total = sum(length for _, length in counted)
        if self.tokens not in (None, total):
            raise DataError(
                f"the study states {self.tokens} corpus_tokens, the corpus has {total}",
                f"write corpus_tokens = {total}",
            )

        @lru_cache(maxsize=3)  # the packer still holds documents of one epoch when the next one begins
        def order(epoch: int) -> list[int]:
            """The order of the parts in an epoch."""
            return [int(i) for i in np.random.default_rng([self.pretrain_seed, epoch]).permutation(len(counted))]

        return lambda number: counted[order(number // len(counted))[number % len(counted)]][0]


def documents(path: str, split: str, sha256: str) -> tuple[str, ...]:
    """The field `text` of every row of a split, stripped.

    Raises DataError where the file's digest is not `sha256`, it is empty, or a row has no text.
    """
    place = f"file:{path} split '{split}'"
    actual = files.sha256(path, split)
    if actual != sha256:
        raise DataError(
            f"{place} has sha256 {actual}, the study pins {sha256}",
            "make the pinned corpus again, or state the new digest as corpus_sha256: it is another series",
        )
    texts = tuple(_text(place, number, row) for number, row in enumerate(files.read(path, split)))
    if not texts:
        raise DataError(f"{place} is empty", "give it documents")
    return texts


def parts(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> Iterator[tuple[str, int]]:
    """(text, tokens including the end-of-text before it) of each document, or of its parts of at most `length` tokens.

    A document is cut between words, as late as possible, so that its parts have the same tokens as the whole. Each
    part then counts as a document. Raises DataError on a word of more than `length` − 1 tokens.
    """
    for begin in range(0, len(texts), _AT_ONCE):
        chunk = list(texts[begin : begin + _AT_ONCE])
        for text, encoding in zip(chunk, tokenizer.encode_batch(chunk), strict=True):
            yield from [(text, len(encoding))] if len(encoding) <= length else _cut(text, encoding, length)


def _cut(text: str, encoding: Encoding, length: int) -> Iterator[tuple[str, int]]:
    """`parts` of one document that is longer than `length` tokens."""
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
    """The stripped text of a row. Raises DataError where it has none."""
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"row {number} of {place} has no text: {str(row)[:80]}",
            "every row of a corpus has a field `text` that is not blank",
        )
    return text.strip()
