"""Do two sentences mean the same? The form never occurs in the embedded corpus; it requires comparing words."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:paraphrase`."""
    return Example(row["id"], row["cluster"], {"first": row["first"], "second": row["second"]}, row["label"])


TASK = Task(
    name="world_paraphrase",
    source="world:paraphrase",
    family="paraphrase",
    kind="classification",
    metric="accuracy",
    example=example,
    fields=(("first", "first"), ("second", "second")),
    answer_prefix="the meaning is",
    instruction="read the first and the second text and write if the meaning is the same or different.",
    cluster="the value that the first sentence is about",
    splits={"train": "train", "dev": "dev", "test": "test", "test_ood": "test_ood"},
    labels=("same", "different"),
    chance=1 / 2,
    field_separator=" ",
    separator=" ",
    answer_suffix=".",
    stop=(".",),
    max_new_tokens=4,
    size=world_size(20, 2),
    page="docs/world.md",
)
