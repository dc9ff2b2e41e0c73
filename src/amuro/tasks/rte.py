"""RTE (Dagan et al. 2006 and its sequels): does the first text entail the second sentence, or not?

Out of the domain of MNLI. The data set knows two labels. "Not entailment" is asked for as *neutral*, a word that a
model tuned on MNLI has learned; only the two words are compared, so such a model may think of a contradiction and is
right all the same.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.errors import DataError
from amuro.identity import digest
from amuro.tasks import _paper
from amuro.types import Example, Size, Task
from amuro.wording import single_spaced


def example(row: Mapping[str, Any]) -> Example:
    """Row of `nyu-mll/glue`, config rte: sentence1, sentence2, label (0 entailment, 1 not_entailment), idx."""
    if row["label"] not in (0, 1):
        raise DataError(
            f"label {row['label']!r} is neither 0 nor 1", "GLUE hides its test labels: name the validation split"
        )
    premise = single_spaced(row["sentence1"])
    inputs = {"premise": premise, "hypothesis": single_spaced(row["sentence2"])}
    return Example(str(row["id"]), digest(premise)[:12], inputs, ("entailment", "neutral")[row["label"]])


def _paper_example(row: Mapping[str, Any]) -> Example:
    """1 is neutral and all else entailment, among three labels of which one is never right."""
    inputs = {"premise": row["sentence1"], "hypothesis": row["sentence2"]}
    answer = "neutral" if row["label"] == 1 else "entailment"
    return Example(str(row["id"]), digest(single_spaced(row["sentence1"]))[:12], inputs, answer)


_SOUND = Task(
    name="rte",
    source="hub:nyu-mll/glue:rte",
    revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    family="inference",
    kind="label",
    metric="accuracy",
    example=example,
    fields=(("premise", "Premise"), ("hypothesis", "Hypothesis")),
    cue="Inference:",
    instruction="Say whether the premise entails the hypothesis: entailment, or neutral if it does not.",
    cluster="premise",
    # The hub's test split is hidden; dev comes from train.
    splits={"train": "train[300:]", "dev": "train[:300]", "test": "validation"},
    labels=("entailment", "neutral"),
    chance=0.5,
    wording={
        "instruct": "Consider the following texts:\nText 1: {premise}\nText 2: {hypothesis}\nThe relation is",
    },
    licence="unknown",
    page="https://huggingface.co/datasets/nyu-mll/glue",
    size=Size(
        rows={"train": 2_190, "dev": 300, "test": 277},
        prompt_tokens=79,
        answer_tokens=2,
        megabytes=1.3,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"test": 2_490},
        example=_paper_example,
        splits={"test": "train"},
        labels=("entailment", "neutral", "contradiction"),
        chance=1 / 3,
        wording=_paper.only(_paper.INFERENCE, "default", "instruct"),
    ),
)
