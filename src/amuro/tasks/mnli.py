"""MNLI (Williams et al. 2018): does the first sentence entail the second, contradict it, or neither?

One of the four tasks that the paper tunes on. Its two test sets are *matched* (the genres of the training split) and
*mismatched* (others).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper

COLUMNS = {"premise": "premise", "hypothesis": "hypothesis"}


def example(row: Mapping[str, Any]) -> Example:
    """Row of `nyu-mll/glue`, config mnli: premise, hypothesis, label (0, 1, 2 in the order of their names), idx."""
    if row["label"] not in (0, 1, 2):
        raise DataError(
            f"label {row['label']!r} is none of 0, 1, 2", "GLUE hides its test labels: name a validation split"
        )
    return _families.pair(row, COLUMNS, _families.ENTAILMENT[row["label"]])


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Whatever is neither 0 nor 1 is a contradiction."""
    answer = {0: "entailment", 1: "neutral"}.get(row["label"], "contradiction")
    return _families.pair(row, COLUMNS, answer)


_SOUND = Task(
    name="mnli",
    source="hub:nyu-mll/glue:mnli",
    example=example,
    # The hub's test splits are hidden. Dev comes from train, so that the tests are the whole validation splits.
    splits={
        "train": "train[1500:]",
        "dev": "train[:1500]",
        "test_matched": "validation_matched",
        "test_mismatched": "validation_mismatched",
    },
    licence="CC-BY-3.0",
    size=Size(
        rows={"train": 391_202, "dev": 1_500, "test_matched": 9_815, "test_mismatched": 9_832},
        prompt_tokens=48,
        answer_tokens=2,
        megabytes=57,
        source="data set card (rows); validation files of 1.2 MB; lengths and megabytes assumed",
    ),
    **_families.INFERENCE,
    **_families.THREE_WAYS,
    **_families.GLUE,
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
        templates=_paper.INFERENCE,
    ),
)
