"""SciQ as multiple choice (Welbl et al. 2017): supporting text and question in, one of four answers out.

Question generation from the same rows is another task: `sciq_question`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.hashing import digest
from amuro.core.text import single_spaced
from amuro.core.types import Example, Size, Task
from amuro.tasks import _paper

OPTIONS = ("distractor1", "distractor2", "distractor3", "correct_answer")


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/sciq`: question, distractor1–3, correct_answer, support (empty in one row of nine).

    Options are in alphabetical order, so that their order has no information.
    """
    inputs = {"support": row["support"], "question": row["question"]}
    options = tuple(sorted(row[key] for key in OPTIONS))
    return Example(str(row["id"]), _cluster(row), inputs, row["correct_answer"], options)


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Row as the paper's evaluation read it: the gold answer is always the last option."""
    asked = f"{row['support']}\nQuestion: {row['question']}\nAnswer:".strip()
    options = tuple(row[key] for key in OPTIONS)
    return Example(str(row["id"]), _cluster(row), {"asked": asked}, row["correct_answer"], options)


def _cluster(row: Mapping[str, Any]) -> str:
    support = single_spaced(row["support"])
    return digest(support)[:12] if support else str(row["id"])


_SOUND = Task(
    name="sciq_choice",
    source="hub:allenai/sciq",
    revision="2c94ad3e1aafab77146f384e23536f97a4849815",
    family="science questions",
    kind="multiple_choice",
    metric="accuracy",
    example=example,
    fields=(("support", "Text"), ("question", "Question")),
    answer_prefix="Answer:",
    instruction="Answer the science question; a text may help.",
    cluster="supporting text",
    # The paper evaluates on the validation split; the hub's test split stays unseen.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    chance=0.25,
    licence="CC-BY-NC-3.0",
    page="https://huggingface.co/datasets/allenai/sciq",
    unconditional="Answer:",
    size=Size(
        rows={"train": 11_179, "dev": 500, "test": 1_000},
        prompt_tokens=107,
        answer_tokens=2,
        megabytes=4.7,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
)

TASK = replace(
    _SOUND,
    paper=_paper.chosen(
        _SOUND, "{asked}", rows={"train": 11_679, "test": 1_000}, example=_paper_example, fields=(("asked", ""),)
    ),
)
