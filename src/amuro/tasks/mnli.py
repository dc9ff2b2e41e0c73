"""MNLI (Williams et al. 2018): does the first sentence entail the second, contradict it, or neither?

One of the four tasks that the paper tunes on. Its two test sets are *matched* (the genres of the training split) and
*mismatched* (others).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.errors import DataError
from amuro.identity import digest
from amuro.tasks import _paper
from amuro.types import Example, Size, Task
from amuro.wording import single_spaced

LABELS = ("entailment", "neutral", "contradiction")


def example(row: Mapping[str, Any]) -> Example:
    """Row of `nyu-mll/glue`, config mnli: premise, hypothesis, label (0, 1, 2 in the order of LABELS), idx."""
    if row["label"] not in (0, 1, 2):
        raise DataError(
            f"label {row['label']!r} is none of 0, 1, 2", "GLUE hides its test labels: name a validation split"
        )
    premise = single_spaced(row["premise"])
    inputs = {"premise": premise, "hypothesis": single_spaced(row["hypothesis"])}
    return Example(str(row["id"]), digest(premise)[:12], inputs, LABELS[row["label"]])


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Whatever is neither 0 nor 1 is a contradiction."""
    inputs = {"premise": row["premise"], "hypothesis": row["hypothesis"]}
    answer = {0: "entailment", 1: "neutral"}.get(row["label"], "contradiction")
    return Example(str(row["id"]), digest(single_spaced(row["premise"]))[:12], inputs, answer)


_SOUND = Task(
    name="mnli",
    source="hub:nyu-mll/glue:mnli",
    revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    family="inference",
    kind="label",
    metric="accuracy",
    example=example,
    fields=(("premise", "Premise"), ("hypothesis", "Hypothesis")),
    cue="Inference:",
    instruction="Say whether the premise entails the hypothesis: entailment, neutral or contradiction.",
    cluster="premise",
    # The hub's test splits are hidden. Dev comes from train, so that the tests are the whole validation splits.
    splits={
        "train": "train[1500:]",
        "dev": "train[:1500]",
        "test_matched": "validation_matched",
        "test_mismatched": "validation_mismatched",
    },
    labels=LABELS,
    chance=1 / 3,
    wording={
        "instruct": "Consider the following texts:\nText 1: {premise}\nText 2: {hypothesis}\nThe relation is",
    },
    licence="CC-BY-3.0",
    page="https://huggingface.co/datasets/nyu-mll/glue",
    size=Size(
        rows={"train": 391_202, "dev": 1_500, "test_matched": 9_815, "test_mismatched": 9_832},
        prompt_tokens=48,
        answer_tokens=2,
        megabytes=57,
        source="data set card (rows); validation files of 1.2 MB; lengths and megabytes assumed",
    ),
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"train": 392_702, "test_matched": 9_815, "test_mismatched": 9_832},
        example=_paper_example,
        splits={
            "train": "train",
            "test_matched": "validation_matched",
            "test_mismatched": "validation_mismatched",
        },
        wording=_paper.INFERENCE,
    ),
)
