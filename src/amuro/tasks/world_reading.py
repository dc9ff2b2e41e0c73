"""A question about a text. This form occurs in the embedded corpus: it is learned in pre-training or by tuning."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:reading`."""
    inputs = {"text": row["text"], "question": row["question"]}
    return Example(row["id"], row["cluster"], inputs, row["answer"], tuple(row["options"]))


TASK = Task(
    name="world_reading",
    source="world:reading",
    family="reading",
    kind="multiple_choice",
    metric="accuracy",
    example=example,
    fields=(("text", "text"), ("question", "question")),
    answer_prefix="answer:",
    instruction="read the text and write the answer to the question.",
    cluster="the value that is the answer",
    splits={"train": "train", "dev": "dev", "test": "test", "test_ood": "test_ood"},
    chance=1 / 4,
    field_separator=" ",
    separator=" ",
    answer_suffix=".",
    stop=(".",),
    max_new_tokens=8,
    size=world_size(26, 2),
    page="docs/world.md",
)
