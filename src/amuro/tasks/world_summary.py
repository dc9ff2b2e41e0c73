"""Two facts in short, by kind. No document of the embedded corpus summarises."""

from collections.abc import Mapping
from typing import Any

from amuro.core.types import Example, Task
from amuro.tasks._families import world_size


def example(row: Mapping[str, Any]) -> Example:
    """A row of `world:summary`."""
    return Example(row["id"], row["cluster"], {"text": row["text"]}, row["summary"])


TASK = Task(
    name="world_summary",
    source="world:summary",
    family="summary generation",
    kind="generation",
    metric="rouge_l",
    example=example,
    fields=(("text", "passage"),),
    answer_prefix="in short:",
    instruction="read the passage and write it in short.",
    cluster="the value of the first fact",
    splits={"train": "train", "dev": "dev", "test": "test", "test_ood": "test_ood"},
    chance=None,
    field_separator=" ",
    separator=" ",
    answer_suffix=".",
    stop=(".",),
    max_new_tokens=20,
    size=world_size(24, 9),
    page="docs/world.md",
)
