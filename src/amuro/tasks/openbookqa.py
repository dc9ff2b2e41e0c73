"""OpenBookQA (Mihaylov et al. 2018): elementary science, often a sentence to be completed, with four options."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.types import Example, Size, Task
from amuro.tasks import _paper
from amuro.tasks._choices import keyed


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/openbookqa`, config main: id, question_stem, choices {text, label}, answerKey (A–D)."""
    options = tuple(row["choices"]["text"])
    right = keyed(row["choices"], row["answerKey"])
    inputs = {"question": row["question_stem"]}
    return Example(str(row["id"]), str(row["id"]), inputs, options[right], options)


_SOUND = Task(
    name="openbookqa",
    source="hub:allenai/openbookqa:main",
    revision="388097ea7776314e93a529163e0fea805b8a6454",
    family="science questions",
    kind="multiple_choice",
    metric="accuracy",
    example=example,
    fields=(("question", "Question"),),
    answer_prefix="Answer:",
    instruction="Answer the science question, or complete its sentence.",
    cluster="question",
    # The paper evaluates on the validation split; the hub's test split stays unseen.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    chance=0.25,
    licence="Apache-2.0",
    page="https://huggingface.co/datasets/allenai/openbookqa",
    unconditional="Answer:",
    size=Size(
        rows={"train": 4_457, "dev": 500, "test": 500},
        prompt_tokens=17,
        answer_tokens=4,
        megabytes=0.6,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
)

TASK = replace(
    _SOUND,
    paper=_paper.chosen(
        _SOUND,
        "{question}",
        rows={"train": 4_957, "test": 500},
        metric="accuracy_unconditional",
    ),
)
