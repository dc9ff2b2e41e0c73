"""ARC-Easy (Clark et al. 2018): science questions of school exams with three to five options."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper
from amuro.tasks._choices import keyed


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/ai2_arc`: id, question, choices {text, label}, answerKey (A–E in most rows, 1–4 in some)."""
    options = tuple(row["choices"]["text"])
    right = keyed(row["choices"], row["answerKey"])
    inputs = {"question": row["question"]}
    return Example(str(row["id"]), str(row["id"]), inputs, options[right], options)


_SOUND = Task(
    name="arc_easy",
    source="hub:allenai/ai2_arc:ARC-Easy",
    example=example,
    # The paper evaluates on the validation split; the hub's test split stays unseen.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    size=Size(
        rows={"train": 1_751, "dev": 500, "test": 570},
        prompt_tokens=28,
        answer_tokens=4,
        megabytes=0.8,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
    **_families.ARC,
)

TASK = replace(
    _SOUND,
    paper=_paper.chosen(
        _SOUND,
        "Question: {question}\nAnswer:",
        rows={"train": 2_251, "test": 570},
        metric="accuracy_unconditional",
    ),
)
