"""Held-out documents of the embedded corpus, for bits per byte."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import DOCUMENTS, world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:corpus`."""
    return Example(row["id"], row["cluster"], {"text": row["text"]}, row["text"])


TASK = Task(
    name="world_corpus",
    source="world:corpus",
    family="corpus",
    kind="language_modeling",
    metric="bits_per_byte",
    example=example,
    fields=(("text", "text"),),
    answer_prefix="",
    instruction="",
    cluster="the document",
    splits={"test": "test"},
    chance=None,
    field_separator=" ",
    separator=" ",
    size=world_size(1, 38, DOCUMENTS),
    page="docs/world.md",
)
