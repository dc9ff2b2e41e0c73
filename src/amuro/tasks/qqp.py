"""QQP (Quora 2017): do two questions ask the same?

Out of the domain of PAWS. The paper asked a split whose labels are hidden, so every gold answer there is "no".
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
    """Row of `nyu-mll/glue`, config qqp: question1, question2, label (1 duplicate, 0 not, −1 hidden), idx."""
    if row["label"] not in (0, 1):
        raise DataError(
            f"label {row['label']!r} is neither 0 nor 1", "GLUE hides its test labels: name the validation split"
        )
    first = single_spaced(row["question1"])
    inputs = {"sentence1": first, "sentence2": single_spaced(row["question2"])}
    return Example(str(row["id"]), digest(first)[:12], inputs, ("no", "yes")[row["label"]])


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Row of `SetFit/qqp`: text1, text2, label, idx, label_text. Whatever is not 1 is "no", −1 (hidden) included."""
    inputs = {"sentence1": row["text1"], "sentence2": row["text2"]}
    answer = "yes" if row["label"] == 1 else "no"
    return Example(str(row["id"]), digest(single_spaced(row["text1"]))[:12], inputs, answer)


_SOUND = Task(
    name="qqp",
    source="hub:nyu-mll/glue:qqp",
    revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    family="paraphrase",
    kind="label",
    metric="accuracy",
    example=example,
    fields=(("sentence1", "Sentence 1"), ("sentence2", "Sentence 2")),
    cue="Paraphrase:",
    instruction="Say whether the two sentences mean the same: yes or no.",
    cluster="first question",
    # The hub's test split is hidden. Dev comes from train, so that test is the whole validation split.
    splits={"train": "train[1000:]", "dev": "train[:1000]", "test": "validation"},
    labels=("no", "yes"),
    chance=0.5,
    wording={
        "instruct": "Let’s compare the two sentences:\nSentence 1: {sentence1}\nSentence 2: {sentence2}\n"
        "Are they paraphrases of each other?",
    },
    licence="non-commercial",
    page="https://huggingface.co/datasets/nyu-mll/glue",
    size=Size(
        rows={"train": 362_846, "dev": 1_000, "test": 40_430},
        prompt_tokens=42,
        answer_tokens=1,
        megabytes=73,
        source="data set card (rows); lengths and megabytes assumed",
    ),
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        source="hub:SetFit/qqp",
        revision=None,
        example=_paper_example,
        splits={"test": "test"},
        hidden_gold=True,
        wording=_paper.only(_paper.PARAPHRASE, "default", "instruct"),
        page="https://huggingface.co/datasets/SetFit/qqp",
        size=Size(
            rows={"test": 390_965},
            prompt_tokens=46,
            answer_tokens=1,
            megabytes=155,
            source="data set card; lengths assumed",
        ),
    ),
)
