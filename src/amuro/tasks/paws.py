"""PAWS-Wiki (Zhang et al. 2019): do two sentences of much the same words mean the same?

One of the four tasks that the paper tunes on.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper

COLUMNS = {"sentence1": "sentence1", "sentence2": "sentence2"}


def example(row: Mapping[str, Any]) -> Example:
    """Row of `google-research-datasets/paws`, config labeled_final: id, sentence1, sentence2, label (1 paraphrase)."""
    if row["label"] not in (0, 1):
        raise DataError(f"label {row['label']!r} is neither 0 nor 1", "1 is a paraphrase, 0 is none")
    return _families.pair(row, COLUMNS, ("no", "yes")[row["label"]])


def _paper_example(row: Mapping[str, Any]) -> Example:
    return _families.pair(row, COLUMNS, "yes" if row["label"] == 1 else "no")


_SOUND = Task(
    name="paws",
    source="hub:google-research-datasets/paws:labeled_final",
    revision="161ece9501cf0a11f3e48bd356eaa82de46d6a09",
    example=example,
    cluster="first sentence",
    splits={"train": "train", "dev": "validation", "test": "test"},
    licence="free for any purpose",
    page="https://huggingface.co/datasets/google-research-datasets/paws",
    size=Size(
        rows={"train": 49_401, "dev": 8_000, "test": 8_000},
        prompt_tokens=68,
        answer_tokens=1,
        megabytes=11,
        source="data set card (rows); test file of 1.24 MB; lengths assumed",
    ),
    **_families.PARAPHRASE,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"train": 49_401, "test": 8_000},
        example=_paper_example,
        splits={"train": "train", "test": "test"},
        templates=_paper.PARAPHRASE,
    ),
)
