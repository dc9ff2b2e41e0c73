"""A relation from the other side. Its form occurs in the embedded corpus, so pre-training and tuning can teach it."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:inverse`."""
    inputs = {"text": row["text"], "name": row["name"]}
    return Example(row["id"], row["cluster"], inputs, row["answer"], tuple(row["options"]))


TASK = Task(
    name="world_inverse",
    source="world:inverse",
    family="relations",
    kind="multiple_choice",
    metric="accuracy",
    example=example,
    fields=(("text", "text"), ("name", "name")),
    answer_prefix="so",
    instruction="read the text and say the same about the name.",
    cluster="the person that the text is about",
    splits={"train": "train", "dev": "dev", "test": "test", "test_ood": "test_ood"},
    chance=1 / 4,
    field_separator=" ",
    separator=" ",
    templates={"default": "{text} so {name}"},
    answer_suffix=".",
    stop=(".",),
    max_new_tokens=10,
    size=world_size(8, 5),
    page="docs/world.md",
)
