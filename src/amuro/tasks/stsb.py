"""STS-B (Cer et al. 2017): are two sentences similar? Ratings are 0 to 5; as in the paper, above 3.5 counts as yes.

Out of the domain of PAWS. The paper evaluated on a split whose scores are hidden, so every gold answer there is "no".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper

THRESHOLD = 3.5


def example(row: Mapping[str, Any]) -> Example:
    """Row of `nyu-mll/glue`, config stsb: sentence1, sentence2, label (0 to 5; −1 in the test split), idx."""
    if not 0 <= row["label"] <= 5:
        raise DataError(
            f"score {row['label']!r} is not between 0 and 5", "GLUE hides its test scores: name the validation split"
        )
    columns = {"sentence1": "sentence1", "sentence2": "sentence2"}
    return _families.pair(row, columns, "yes" if row["label"] > THRESHOLD else "no")


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Row of `SetFit/stsb`: text1, text2, label, idx, label_text. −1 (hidden) is "no"."""
    columns = {"sentence1": "text1", "sentence2": "text2"}
    return _families.pair(row, columns, "yes" if row["label"] > THRESHOLD else "no")


_SOUND = Task(
    name="stsb",
    source="hub:nyu-mll/glue:stsb",
    example=example,
    cluster="first sentence",
    # The hub's test split is hidden. Dev comes from train, so that test is the whole validation split.
    splits={"train": "train[500:]", "dev": "train[:500]", "test": "validation"},
    licence="other",
    size=Size(
        rows={"train": 5_249, "dev": 500, "test": 1_500},
        prompt_tokens=42,
        answer_tokens=1,
        megabytes=0.8,
        source="data set card and file list (502 + 151 + 114 kB); lengths assumed",
    ),
    **_families.PARAPHRASE,
    **_families.GLUE,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        source="hub:SetFit/stsb",
        revision="77bd85cf73a244d4503e477ce6de81196187839f",
        example=_paper_example,
        splits={"test": "test"},
        hidden_gold=True,
        templates=_paper.only(_paper.PARAPHRASE, "default", "instruct"),
        page="https://huggingface.co/datasets/SetFit/stsb",
        size=Size(
            rows={"test": 1_379},
            prompt_tokens=46,
            answer_tokens=1,
            megabytes=1.6,
            source="data set card; lengths assumed",
        ),
    ),
)
