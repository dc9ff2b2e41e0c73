"""OpenBookQA (Mihaylov et al. 2018): elementary science, often a sentence to be completed, with four options."""

from collections.abc import Mapping
from typing import Any

from amuro.types import Example, Task
from amuro.wording import single_spaced


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/openbookqa`, config main: id, question_stem, choices {text, label}, answerKey (A–D)."""
    options = tuple(single_spaced(text) for text in row["choices"]["text"])
    right = row["choices"]["label"].index(row["answerKey"].strip())
    inputs = {"question": single_spaced(row["question_stem"])}
    return Example(str(row["id"]), str(row["id"]), inputs, options[right], options)


TASK = Task(
    name="openbookqa",
    source="hub:allenai/openbookqa:main",
    family="science questions",
    kind="choice",
    metric="accuracy",
    example=example,
    fields=(("question", "Question"),),
    cue="Answer:",
    instruction="Answer the science question, or complete its sentence.",
    cluster="question",
    # The paper evaluates on the validation split; the hub's test split stays unseen.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    chance=0.25,
    licence="Apache-2.0",
    page="https://huggingface.co/datasets/allenai/openbookqa",
)
