"""Question generation from SciQ (Welbl et al. 2017): supporting text and right answer in, the question out.

The out-of-domain set of SocialIQA question generation. SciQ as multiple choice would be another task, hence another
file.
"""

from collections.abc import Mapping
from typing import Any

from amuro.identity import digest
from amuro.types import Example, Task
from amuro.wording import single_spaced


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/sciq`: question, correct_answer, support (empty in one row of nine); no distractors shown."""
    support = single_spaced(row["support"])
    cluster = digest(support)[:12] if support else str(row["id"])
    inputs = {"context": support, "reply": single_spaced(row["correct_answer"])}
    return Example(str(row["id"]), cluster, inputs, single_spaced(row["question"]))


TASK = Task(
    name="sciq_question",
    source="hub:allenai/sciq",
    family="question generation",
    kind="generate",
    metric="rouge_l",
    example=example,
    fields=(("context", "Context"), ("reply", "Answer")),
    cue="Question:",
    instruction="Write the question about the context that has the given answer.",
    cluster="supporting text",
    # An out-of-domain set: a few rows for shots and baselines are enough. The hub's train and test splits stay unseen.
    splits={"train": "validation[:150]", "dev": "validation[150:300]", "test": "validation[300:]"},
    wording={
        "instruct": "Given the context: {context}\nAnd the answer: {reply}\nGenerate a suitable question:",
    },
    licence="CC-BY-NC-3.0",
    page="https://huggingface.co/datasets/allenai/sciq",
)
