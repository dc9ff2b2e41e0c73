"""The configuration of a pre-training run on text from files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from amuro.core.errors import StudyError
from amuro.data import files
from amuro.data.text_corpus import TextCorpus, documents
from amuro.series._pretrain_config import Pretraining

SEMANTICS = 1
"""Raised when the same configuration leads to other weights (cutting, order, packing, optimiser, …)."""


@dataclass(frozen=True, slots=True)
class TextConfig(Pretraining):
    """Configuration of a series on text. The defaults suit a few million words: 3.4 million parameters."""

    KIND: ClassVar[str] = "text"
    UNDECLARED: ClassVar[frozenset[str]] = frozenset({"steps", "source", "corpus_split", "corpus_tokens"})

    source: str = ""
    """`file:PATH`: a file, or a folder of files named by split, whose rows have a field `text`."""
    corpus_split: str = "train"
    """The file of the folder that is read, by its name without ending; `all` if `source` names a single file."""
    corpus_sha256: str = ""
    """SHA-256 that the corpus must have; without it, that of the files as they are now. A corpus that was moved is
    the same series, a changed one is another series.
    """
    corpus_tokens: int | None = None
    """Tokens of one pass, checked when the corpus is read; without it, repeated tokens are not counted apart from new
    ones.
    """
    steps: tuple[int, ...] = (0, 90, 175, 350, 700, 1400, 2800)
    vocab_size: int = 4096
    vocabulary_documents: int = 20_000
    hidden_size: int = 192
    layers: int = 6
    heads: int = 6
    intermediate_size: int = 512
    row_length: int = 256
    """Tokens per row. Shorter documents are packed whole, longer ones are cut between words; each part attends only
    to itself.
    """
    warmup_steps: int = 50

    def __post_init__(self) -> None:
        Pretraining.__post_init__(self)  # a slotted dataclass is made twice: `super()` would name the first one
        if not isinstance(self.source, str) or not self.source.startswith("file:"):
            raise StudyError(f"source of a text series is {self.source!r}", 'write source = "file:FOLDER"')
        if self.corpus_tokens is not None:
            self._check_kind("corpus_tokens", self.corpus_tokens, int)
            self._check_least("corpus_tokens", self.corpus_tokens)

    @property
    def path(self) -> str:
        """The path of the corpus."""
        return self.source.removeprefix("file:")

    def pinned(self) -> Self:
        """Returns the configuration with the present digest of the corpus, unless one is stated. Raises DataError."""
        if self.corpus_sha256:
            return self
        return replace(self, corpus_sha256=files.sha256(self.path, self.corpus_split))

    def corpus(self) -> TextCorpus:
        """Returns the corpus. Raises DataError if it cannot be read or is not the pinned one."""
        texts = documents(self.path, self.corpus_split, self.pinned().corpus_sha256)
        return TextCorpus(texts, self.pretrain_seed, self.vocabulary_documents, self.row_length, self.corpus_tokens)

    def unique_tokens_at(self, step: int) -> int | None:
        """Returns at most one pass over the corpus: an epoch ends before the next one begins."""
        return None if self.corpus_tokens is None else min(self.tokens_at(step), self.corpus_tokens)

    def _declared(self) -> dict[str, Any]:
        return {"kind": self.KIND, "semantics": SEMANTICS, **Pretraining._declared(self)}
