"""ARC-Challenge (Clark et al. 2018): science questions that neither retrieval nor word statistics can answer."""

from dataclasses import replace

from amuro.core.types import Size, Task
from amuro.tasks import _families, _paper
from amuro.tasks.arc_easy import example

_SOUND = Task(
    name="arc_challenge",
    source="hub:allenai/ai2_arc:ARC-Challenge",
    example=example,
    # The paper evaluates on the validation split; the hub's test split stays unseen.
    splits={"train": "train[300:]", "dev": "train[:300]", "test": "validation"},
    size=Size(
        rows={"train": 819, "dev": 300, "test": 299},
        prompt_tokens=32,
        answer_tokens=6,
        megabytes=0.4,
        source="data set card; lengths measured on the test split with the tokenizer of OLMo-1B",
    ),
    **_families.ARC,
)

TASK = replace(
    _SOUND,
    paper=_paper.chosen(
        _SOUND,
        "Question: {question}\nAnswer:",
        rows={"train": 1_119, "test": 299},
        metric="accuracy_unconditional",
    ),
)
