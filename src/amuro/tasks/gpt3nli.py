"""GPT-3 NLI (the hub's `pietrolesci/gpt3_nli`): premises and hypotheses written by a language model.

Out of the domain of MNLI. Labels come from the model that wrote the sentences and are not checked.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper

COLUMNS = {"premise": "text_a", "hypothesis": "text_b"}


def example(row: Mapping[str, Any]) -> Example:
    """Row of `pietrolesci/gpt3_nli`: text_a, text_b, label (0 entailment, 1 neutral, 2 contradiction), guid."""
    if row["label"] not in (0, 1, 2):
        raise DataError(f"label {row['label']!r} is none of 0, 1, 2", f"they mean {', '.join(_families.ENTAILMENT)}")
    return _families.pair(row, COLUMNS, _families.ENTAILMENT[row["label"]])


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Whatever is neither 0 nor 1 is a contradiction."""
    answer = {0: "entailment", 1: "neutral"}.get(row["label"], "contradiction")
    return _families.pair(row, COLUMNS, answer)


_SOUND = Task(
    name="gpt3nli",
    source="hub:pietrolesci/gpt3_nli",
    revision="48d27a285f1919f3f7e6cd53b6a07fb13a238efb",
    example=example,
    # The hub has one split. A few of its rows are enough for shots, dev and baselines; no row serves twice.
    splits={"train": "train[:600]", "dev": "train[600:1200]", "test": "train[1200:]"},
    licence="MIT",
    page="https://huggingface.co/datasets/pietrolesci/gpt3_nli",
    size=Size(
        rows={"train": 600, "dev": 600, "test": 28_800},
        prompt_tokens=42,
        answer_tokens=2,
        megabytes=1.9,
        source="dataset_infos.json of the data set (4.8 MB of text, about 4.5 bytes a token)",
    ),
    **_families.INFERENCE,
    **_families.THREE_WAYS,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"test": 30_000},
        example=_paper_example,
        splits={"test": "train"},
        templates=_paper.only(_paper.INFERENCE, "default", "instruct"),
    ),
)
