"""ARC-Easy (Clark et al. 2018): science questions of school exams with three to five options."""

from collections.abc import Mapping
from typing import Any

from amuro.types import Example, Task
from amuro.wording import single_spaced


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/ai2_arc`: id, question, choices {text, label}, answerKey (A–E in most rows, 1–4 in some)."""
    options = tuple(single_spaced(text) for text in row["choices"]["text"])
    right = row["choices"]["label"].index(row["answerKey"])
    inputs = {"question": single_spaced(row["question"])}
    return Example(str(row["id"]), str(row["id"]), inputs, options[right], options)


TASK = Task(
    name="arc_easy",
    source="hub:allenai/ai2_arc:ARC-Easy",
    family="science questions",
    kind="choice",
    metric="accuracy",
    example=example,
    fields=(("question", "Question"),),
    cue="Answer:",
    instruction="Answer the science question.",
    cluster="question",
    # The paper evaluates on the validation split; the hub's test split stays unseen.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    chance=0.25,
    licence="CC-BY-SA-4.0",
    page="https://huggingface.co/datasets/allenai/ai2_arc",
)
