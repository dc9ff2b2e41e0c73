"""Which question does a word of the text answer? No document of the embedded corpus goes from answer to question."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:question`."""
    return Example(row["id"], row["cluster"], {"text": row["text"], "reply": row["reply"]}, row["question"])


TASK = Task(
    name="world_question",
    source="world:question",
    family="question generation",
    kind="generation",
    metric="rouge_l",
    example=example,
    fields=(("text", "passage"), ("reply", "reply")),
    answer_prefix="so one asks:",
    instruction="read the passage and write the question of the reply.",
    cluster="the value that is asked about",
    splits={"train": "train", "dev": "dev", "test": "test", "test_ood": "test_ood"},
    chance=None,
    field_separator=" ",
    separator=" ",
    answer_suffix="?",
    stop=("?",),
    max_new_tokens=16,
    size=world_size(22, 6),
    page="docs/world.md",
)
