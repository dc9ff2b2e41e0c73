"""Held-out documents of the English corpus, for bits per byte (`scripts/english_corpus.py` writes them)."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task


def example(row: Mapping[str, Any]) -> Example:
    """A row of the corpus: text, and the hash of the passage, context or question that it came from."""
    return Example(str(row["id"]), row["cluster"], {"text": row["text"]}, row["text"])


TASK = Task(
    name="english_corpus",
    source="file:~/.cache/amuro-real/english/corpus",
    family="corpus",
    kind="language_modeling",
    metric="bits_per_byte",
    example=example,
    fields=(("text", "text"),),
    answer_prefix="",
    instruction="",
    cluster="the passage, context or question",
    splits={"test": "test"},
    chance=None,
    page="docs/english_small.md",
)
