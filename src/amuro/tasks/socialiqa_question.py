"""Question generation from SocialIQA (Sap et al. 2019): context and right answer in, the question out.

One of the four tasks that Sun and Dredze (2024, arXiv:2408.06663) tune on. They show all three candidate answers and
not which one is right; here only the right one is shown, so that the question can follow from it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.hashing import digest
from amuro.core.text import single_spaced
from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper

_RIGHT = {"1": "answerA", "2": "answerB", "3": "answerC"}


def example(row: Mapping[str, Any]) -> Example:
    """Row of `lighteval/siqa`: context, question, answerA, answerB, answerC, label ('1', '2' or '3')."""
    label = str(row["label"]).strip()
    if label not in _RIGHT:
        raise DataError(f"label {label!r} names no answer", "SocialIQA counts its answers 1, 2, 3")
    context = single_spaced(row["context"])
    inputs = {"context": context, "reply": single_spaced(row[_RIGHT[label]])}
    return Example(str(row["id"]), digest(context)[:12], inputs, single_spaced(row["question"]))


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Row as the paper read it: all three candidate answers, without the information which is correct."""
    inputs = {key: row[key] for key in ("context", "answerA", "answerB", "answerC")}
    return Example(str(row["id"]), digest(single_spaced(row["context"]))[:12], inputs, row["question"])


_SOUND = Task(
    name="socialiqa_question",
    source="hub:lighteval/siqa",  # allenai/social_i_qa in Parquet; the original holds a loading script
    revision="54c6a1f8cb6daf4f5abf24a601852612fb35eb25",
    example=example,
    cluster="context",
    # The hub has no test split. Dev comes from train, so that test is the whole validation split as in the paper.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    licence="CC-BY-4.0",
    page="https://huggingface.co/datasets/lighteval/siqa",
    size=Size(
        rows={"train": 32_910, "dev": 500, "test": 1_954},
        prompt_tokens=28,
        answer_tokens=7,
        megabytes=3.7,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
    **_families.QUESTION,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"train": 33_410, "test": 1_954},
        example=_paper_example,
        fields=(("context", ""), ("answerA", ""), ("answerB", ""), ("answerC", "")),
        splits={"train": "train", "test": "validation"},
        templates={
            "default": "### Input: {context}\n ### Answer: Answer A: {answerA} Answer B: {answerB}Answer C: {answerC}\n"
            " ### Question: ",
            "instruct": "Given the context: {context} And the answer: Answer A: {answerA} Answer B: {answerB}"
            "Answer C: {answerC}Generate a suitable question: ",
            "input_output": "{context}{answerA}{answerB}{answerC}",
        },
    ),
)
