"""BoolQ (Clark et al. 2019): a passage and a yes/no question about it."""

from collections.abc import Mapping
from typing import Any

from amuro.errors import DataError
from amuro.identity import digest
from amuro.types import Example, Task
from amuro.wording import single_spaced


def example(row: Mapping[str, Any]) -> Example:
    """Row of `google/boolq`: question (lower-case, without question mark), answer (bool), passage."""
    if not isinstance(row["answer"], bool):
        raise DataError(f"the answer {row['answer']!r} is neither true nor false", "a hidden test set has no answers")
    passage = single_spaced(row["passage"])
    inputs = {"passage": passage, "question": single_spaced(row["question"]) + "?"}
    return Example(str(row["id"]), digest(passage)[:12], inputs, "yes" if row["answer"] else "no")


TASK = Task(
    name="boolq",
    source="hub:google/boolq",
    family="reading comprehension",
    kind="label",
    metric="accuracy",
    example=example,
    fields=(("passage", "Passage"), ("question", "Question")),
    cue="Answer:",
    instruction="Read the passage and answer the question about it with yes or no.",
    cluster="passage",
    # The hub has no test split. Dev comes from train, so that test is the whole validation split as in the paper.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    labels=("no", "yes"),
    chance=0.5,
    licence="CC-BY-SA-3.0",
    page="https://huggingface.co/datasets/google/boolq",
)
