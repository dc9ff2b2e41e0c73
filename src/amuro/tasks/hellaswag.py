"""HellaSwag (Zellers et al. 2019): which of four endings continues the text?

Texts come from video captions (ActivityNet) and from WikiHow; text in brackets is left over from the latter's headings.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.text import single_spaced
from amuro.core.types import Example, Size, Task
from amuro.tasks import _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `Rowan/hellaswag`: activity_label, ctx_a, ctx_b, endings, source_id, label ('0'–'3'; '' where hidden)."""
    endings = tuple(_clean(text) for text in row["endings"])
    return Example(str(row["id"]), row["source_id"], {"context": _clean(_context(row))}, endings[_right(row)], endings)


def _paper_example(row: Mapping[str, Any]) -> Example:
    endings = tuple(_paper_clean(text) for text in row["endings"])
    inputs = {"context": _paper_clean(_context(row))}
    return Example(str(row["id"]), row["source_id"], inputs, endings[_right(row)], endings)


def _context(row: Mapping[str, Any]) -> str:
    return f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"


def _right(row: Mapping[str, Any]) -> int:
    label = str(row["label"]).strip()
    if label not in ("0", "1", "2", "3"):
        raise DataError(f"label {label!r} names no ending", "the test split of HellaSwag is hidden: name validation")
    return int(label)


def _clean(text: str) -> str:
    """Returns a text in which a title is its own sentence and all other text in brackets is removed."""
    return single_spaced(re.sub(r"\[.*?\]", "", re.sub(r"\.? \[title\]", ". ", text)))


def _paper_clean(text: str) -> str:
    """The same as the paper's evaluation did it: a full stop before a title is doubled, and a space may lead."""
    titled = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", titled).replace("  ", " ")


_SOUND = Task(
    name="hellaswag",
    source="hub:Rowan/hellaswag",
    revision="218ec52e09a7e7462a5400043bb9a69a41d06b76",
    family="commonsense",
    kind="multiple_choice",
    metric="accuracy",
    example=example,
    fields=(("context", ""),),
    answer_prefix="",
    instruction="Continue the text with the ending that fits.",
    normalize="spaces",  # what is left out in brackets leaves blanks
    cluster="video or article",
    # The hub's test split is hidden. Dev comes from train, so that test is the whole validation split as in the paper.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    templates={"instruct": "Continue the text with the ending that fits.\n{context}"},
    chance=0.25,
    licence="MIT",
    page="https://huggingface.co/datasets/Rowan/hellaswag",
    unconditional="Answer:",
    size=Size(
        rows={"train": 39_405, "dev": 500, "test": 10_042},
        prompt_tokens=50,
        answer_tokens=30,
        megabytes=36.8,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
)

TASK = replace(
    _SOUND,
    paper=_paper.chosen(
        _SOUND, "{context}", rows={"train": 39_905, "test": 10_042}, example=_paper_example, metric="accuracy_per_token"
    ),
)
