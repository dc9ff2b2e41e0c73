"""QQP (Quora 2017): do two questions mean the same?

Out of the domain of PAWS. The paper evaluated on a split whose labels are hidden, so every gold answer there is "no".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `nyu-mll/glue`, config qqp: question1, question2, label (1 duplicate, 0 not, −1 hidden), idx."""
    if row["label"] not in (0, 1):
        raise DataError(
            f"label {row['label']!r} is neither 0 nor 1", "GLUE hides its test labels: name the validation split"
        )
    columns = {"sentence1": "question1", "sentence2": "question2"}
    return _families.pair(row, columns, ("no", "yes")[row["label"]])


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Row of `SetFit/qqp`: text1, text2, label, idx, label_text. Whatever is not 1 is "no", −1 (hidden) included."""
    columns = {"sentence1": "text1", "sentence2": "text2"}
    return _families.pair(row, columns, "yes" if row["label"] == 1 else "no")


_SOUND = Task(
    name="qqp",
    source="hub:nyu-mll/glue:qqp",
    example=example,
    cluster="first question",
    # The hub's test split is hidden. Dev comes from train, so that test is the whole validation split.
    splits={"train": "train[1000:]", "dev": "train[:1000]", "test": "validation"},
    licence="non-commercial",
    size=Size(
        rows={"train": 362_846, "dev": 1_000, "test": 40_430},
        prompt_tokens=42,
        answer_tokens=1,
        megabytes=73,
        source="data set card (rows); lengths and megabytes assumed",
    ),
    **_families.PARAPHRASE,
    **_families.GLUE,
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
        templates=_paper.only(_paper.PARAPHRASE, "default", "instruct"),
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
