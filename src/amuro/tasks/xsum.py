"""XSum (Narayan et al. 2018): a BBC article in, a one-sentence summary out.

One of the four tasks that the paper tunes on.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `EdinburghNLP/xsum`: document, summary, id (of the BBC)."""
    return _families.article(row, "document", "summary", "spaces")


def _paper_example(row: Mapping[str, Any]) -> Example:
    return _families.article(row, "document", "summary", "none")


_SOUND = Task(
    name="xsum",
    # The Parquet export of the hub; main holds a loading script.
    source="hub:EdinburghNLP/xsum/default",
    revision="refs/convert/parquet",
    example=example,
    instruction="Summarise the text in one sentence.",
    licence="MIT",
    page="https://huggingface.co/datasets/EdinburghNLP/xsum",
    size=Size(
        rows={"train": 204_045, "dev": 11_332, "test": 11_334},
        prompt_tokens=490,
        answer_tokens=27,
        megabytes=338,
        source="data set card (532 MB of text in 226,711 rows, about 4.5 bytes a token); Parquet export, 338 MB",
    ),
    **_families.SUMMARY,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"train": 204_045, "test": 11_334},
        example=_paper_example,
        splits={"train": "train", "test": "test"},
        templates=_paper.SUMMARY,
    ),
)
