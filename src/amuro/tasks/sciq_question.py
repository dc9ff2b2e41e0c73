"""Question generation from SciQ (Welbl et al. 2017): supporting text and right answer in, the question out.

Out of the domain of SocialIQA question generation. SciQ as multiple choice is another task, hence another file:
`sciq_choice`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.hashing import digest
from amuro.core.text import single_spaced
from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/sciq`: question, correct_answer, support (empty in one row of nine); no distractors shown."""
    support = single_spaced(row["support"])
    cluster = digest(support)[:12] if support else str(row["id"])
    inputs = {"context": support, "reply": single_spaced(row["correct_answer"])}
    return Example(str(row["id"]), cluster, inputs, single_spaced(row["question"]))


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Row as the paper read it: all four candidate answers, the correct one always as answer A."""
    inputs = {key: row[key] for key in ("support", "correct_answer", "distractor1", "distractor2", "distractor3")}
    cluster = digest(single_spaced(row["support"]))[:12] if row["support"].strip() else str(row["id"])
    return Example(str(row["id"]), cluster, inputs, row["question"])


_SOUND = Task(
    name="sciq_question",
    source="hub:allenai/sciq",
    revision="2c94ad3e1aafab77146f384e23536f97a4849815",
    example=example,
    cluster="supporting text",
    # An out-of-domain set: a few rows for shots and baselines are enough. The hub's train and test splits stay unseen.
    splits={"train": "validation[:150]", "dev": "validation[150:300]", "test": "validation[300:]"},
    licence="CC-BY-NC-3.0",
    page="https://huggingface.co/datasets/allenai/sciq",
    size=Size(
        rows={"train": 150, "dev": 150, "test": 700},
        prompt_tokens=92,
        answer_tokens=16,
        megabytes=4.7,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
    **_families.QUESTION,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"test": 1_000},
        example=_paper_example,
        fields=tuple((key, "") for key in ("support", "correct_answer", "distractor1", "distractor2", "distractor3")),
        splits={"test": "test"},
        templates={
            "default": "### Input: {support}\n ### Answer: Answer A: {correct_answer} Answer B: {distractor1} "
            "Answer C: {distractor2}Answer D: {distractor3}\n ### Question: ",
            "instruct": "Given the context: {support} And the answer: Answer A: {correct_answer} "
            "Answer B: {distractor1}Answer C: {distractor2}Answer D: {distractor3}Generate a suitable question: ",
        },
    ),
)
