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
    kind="document",
    metric="bits_per_byte",
    example=example,
    fields=(("text", "text"),),
    cue="",
    instruction="",
    cluster="the document",
    splits={"test": "test"},
    chance=None,
    joiner=" ",
    separator=" ",
    size=world_size(1, 38, DOCUMENTS),
    page="docs/world.md",
)
