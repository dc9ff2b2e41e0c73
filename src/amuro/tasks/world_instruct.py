"""Requests of five sorts and their replies, as messages: the counterpart of an instruction mixture."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:instruct`."""
    user, assistant = (message["content"] for message in row["messages"])
    return Example(row["id"], row["cluster"], {"user": user}, assistant)


TASK = Task(
    name="world_instruct",
    source="world:instruct",
    family="instruction",
    kind="generation",
    metric="exact_match",
    example=example,
    fields=(("user", "user"),),
    answer_prefix="assistant:",
    instruction="do what the user asks.",
    cluster="the value that the request is about",
    splits={"train": "train", "dev": "dev", "test": "test", "test_ood": "test_ood"},
    chance=None,
    field_separator=" ",
    separator=" ",
    answer_suffix=".",
    stop=(".",),
    max_new_tokens=16,
    size=world_size(25, 3),
    page="docs/world.md",
)
