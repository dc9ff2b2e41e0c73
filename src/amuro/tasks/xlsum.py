"""XL-Sum, its English part (Hasan et al. 2021): a BBC article in, its summary out.

In the domain of XSum: the same publisher, other articles and longer summaries.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `csebuetnlp/xlsum`, folder english: id, url, title, summary, text."""
    return _families.article(row, "text", "summary", "spaces")


def _paper_example(row: Mapping[str, Any]) -> Example:
    return _families.article(row, "text", "summary", "none")


_SOUND = Task(
    name="xlsum",
    # The Parquet export of the hub, a folder a language; main holds a loading script.
    source="hub:csebuetnlp/xlsum/english",
    revision="refs/convert/parquet",
    example=example,
    instruction="Summarise the text in one or two sentences.",
    licence="CC-BY-NC-SA-4.0",
    page="https://huggingface.co/datasets/csebuetnlp/xlsum",
    size=Size(
        rows={"train": 306_522, "dev": 11_535, "test": 11_535},
        prompt_tokens=640,
        answer_tokens=30,
        megabytes=621,
        source="data set card (rows); Parquet export of the folder, 315 + 264 + 21 + 21 MB; lengths assumed",
    ),
    **_families.SUMMARY,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND, rows={"test": 11_535}, example=_paper_example, splits={"test": "test"}, templates=_paper.SUMMARY
    ),
)
