"""BoolQ (Clark et al. 2019): a passage and a yes/no question about it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.hashing import digest
from amuro.core.text import single_spaced
from amuro.core.types import Example, Size, Task
from amuro.tasks import _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `google/boolq`: question (lower-case, without question mark), answer (bool), passage."""
    if not isinstance(row["answer"], bool):
        raise DataError(f"the answer {row['answer']!r} is neither true nor false", "a hidden test set has no answers")
    inputs = {"passage": row["passage"], "question": row["question"] + "?"}
    return Example(str(row["id"]), digest(single_spaced(row["passage"]))[:12], inputs, "yes" if row["answer"] else "no")


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Row of `aps/super_glue`, config boolq: question, passage (its title before it), idx, label (1 yes, 0 no)."""
    if row["label"] not in (0, 1):
        raise DataError(f"label {row['label']!r} is neither 0 nor 1", "SuperGLUE hides its test labels")
    inputs = {"passage": row["passage"], "question": row["question"]}
    cluster = digest(single_spaced(row["passage"]))[:12]
    return Example(str(row["id"]), cluster, inputs, ("no", "yes")[row["label"]])


_SOUND = Task(
    name="boolq",
    source="hub:google/boolq",
    revision="35b264d03638db9f4ce671b711558bf7ff0f80d5",
    family="reading comprehension",
    kind="classification",
    metric="accuracy",
    example=example,
    fields=(("passage", "Passage"), ("question", "Question")),
    answer_prefix="Answer:",
    instruction="Read the passage and answer the question about it with yes or no.",
    cluster="passage",
    # The hub has no test split. Dev comes from train, so that test is the whole validation split as in the paper.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    labels=("no", "yes"),
    chance=0.5,
    licence="CC-BY-SA-3.0",
    page="https://huggingface.co/datasets/google/boolq",
    size=Size(
        rows={"train": 8_927, "dev": 500, "test": 3_270},
        prompt_tokens=141,
        answer_tokens=1,
        megabytes=4.9,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
)

TASK = replace(
    _SOUND,
    paper=_paper.chosen(
        _SOUND,
        "{passage}\nQuestion: {question}?\nAnswer:",
        rows={"train": 9_427, "test": 3_270},
        source="hub:aps/super_glue:boolq",
        revision="3de24cf8022e94f4ee4b9d55a6f539891524d646",
        example=_paper_example,
        page="https://huggingface.co/datasets/aps/super_glue",
    ),
)
