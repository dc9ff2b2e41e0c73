"""RTE (Dagan et al. 2006 and its sequels): does the first text entail the second sentence, or not?

Out of the domain of MNLI. The data set has two labels. "Not entailment" is called *neutral*, a word that a
model tuned on MNLI has learned; only the two words are compared, so such a model may predict a contradiction and is
right all the same.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.errors import DataError
from amuro.core.types import Example, Size, Task
from amuro.tasks import _families, _paper

COLUMNS = {"premise": "sentence1", "hypothesis": "sentence2"}


def example(row: Mapping[str, Any]) -> Example:
    """Row of `nyu-mll/glue`, config rte: sentence1, sentence2, label (0 entailment, 1 not_entailment), idx."""
    if row["label"] not in (0, 1):
        raise DataError(
            f"label {row['label']!r} is neither 0 nor 1", "GLUE hides its test labels: name the validation split"
        )
    return _families.pair(row, COLUMNS, ("entailment", "neutral")[row["label"]])


def _paper_example(row: Mapping[str, Any]) -> Example:
    """Row of the paper's source: 1 is neutral and all else entailment, among three labels of which
    one is never gold.
    """
    return _families.pair(row, COLUMNS, "neutral" if row["label"] == 1 else "entailment")


_SOUND = Task(
    name="rte",
    source="hub:nyu-mll/glue:rte",
    example=example,
    instruction="Say whether the premise entails the hypothesis: entailment, or neutral if it does not.",
    # The hub's test split is hidden; dev comes from train.
    splits={"train": "train[300:]", "dev": "train[:300]", "test": "validation"},
    labels=("entailment", "neutral"),
    chance=0.5,
    licence="unknown",
    size=Size(
        rows={"train": 2_190, "dev": 300, "test": 277},
        prompt_tokens=79,
        answer_tokens=2,
        megabytes=1.3,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
    **_families.INFERENCE,
    **_families.GLUE,
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"test": 2_490},
        example=_paper_example,
        splits={"test": "train"},
        labels=_families.ENTAILMENT,
        chance=1 / 3,
        templates=_paper.only(_paper.INFERENCE, "default", "instruct"),
    ),
)
