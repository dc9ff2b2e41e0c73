"""CNN/DailyMail 3.0.0 (Hermann et al. 2015; See et al. 2017): a news article in, its highlights out.

Out of the domain of XSum: longer articles, and three or four sentences instead of one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `abisee/cnn_dailymail`, config 3.0.0: article, highlights (one a line), id."""
    return _families.article(row, "article", "highlights", "spaces")


def _paper_example(row: Mapping[str, Any]) -> Example:
    return _families.article(row, "article", "highlights", "none")


_SOUND = Task(
    name="cnn",
    source="hub:abisee/cnn_dailymail:3.0.0",
    revision="96df5e686bee6baa90b8bee7c28b81fa3fa6223d",
    example=example,
    instruction="Summarise the text in three or four sentences.",
    # The paper cuts at 60 tokens, which is less than most highlights have.
    max_new_tokens=128,
    licence="Apache-2.0",
    page="https://huggingface.co/datasets/abisee/cnn_dailymail",
    size=Size(
        rows={"train": 287_113, "dev": 13_368, "test": 11_490},
        prompt_tokens=900,
        answer_tokens=70,
        megabytes=837,
        source="data set card (test split: 49.9 MB of text, about 4.5 bytes a token); a third of its 2.51 GB",
    ),
    **_families.SUMMARY,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"test": 11_490},
        example=_paper_example,
        splits={"test": "test"},
        templates=_paper.only(_paper.SUMMARY, "default", "instruct"),
    ),
)
