"""Closed-book questions about the people of the embedded world: facts that tuning on anything else may erase."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:facts`."""
    return Example(row["id"], row["cluster"], {"question": row["question"]}, row["answer"], tuple(row["options"]))


TASK = Task(
    name="world_facts",
    source="world:facts",
    family="facts",
    kind="multiple_choice",
    metric="accuracy",
    example=example,
    fields=(("question", "question"),),
    answer_prefix="answer:",
    instruction="write the answer to the question.",
    cluster="the person asked about",
    splits={"train": "train", "dev": "dev", "test": "test", "test_ood": "test_ood"},
    chance=1 / 4,
    field_separator=" ",
    separator=" ",
    answer_suffix=".",
    stop=(".",),
    max_new_tokens=8,
    size=world_size(11, 2),
    page="docs/world.md",
)
