"""Does a claim follow from a text? The form never occurs in the embedded corpus; it requires the kinds of things."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:inference`."""
    return Example(row["id"], row["cluster"], {"text": row["text"], "claim": row["claim"]}, row["label"])


TASK = Task(
    name="world_inference",
    source="world:inference",
    family="inference",
    kind="classification",
    metric="accuracy",
    example=example,
    fields=(("text", "text"), ("claim", "claim")),
    answer_prefix="the claim is",
    instruction="read the text and write if the claim is true, false or unknown.",
    cluster="the value that the text is about",
    splits={"train": "train", "dev": "dev", "test": "test", "test_ood": "test_ood"},
    labels=("true", "false", "unknown"),
    chance=1 / 3,
    field_separator=" ",
    separator=" ",
    answer_suffix=".",
    stop=(".",),
    max_new_tokens=4,
    size=world_size(20, 2),
    page="docs/world.md",
)
