"""Tülu v2 (Ivison et al. 2023): instructions and dialogues of many sources; what the paper calls instruction tuning.

Only used for tuning in the paper, never evaluated. A row is a whole dialogue: each reply of the assistant is trained
on, after all earlier messages.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.core.types import EVERY_FORMAT, Example, Size, Task
from amuro.tasks import _chat, _paper


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/tulu-v2-sft-mixture`: dataset, id, messages ({role, content}; system, user or assistant).

    A turn is a prompt with its reply, as `tasks/_chat.py` splits them.
    """
    *earlier, (inputs, answer) = _chat.turns(row["messages"], "ends")
    return Example(str(row["id"]), str(row["id"]), inputs, answer, earlier=tuple(earlier))


_SOUND = Task(
    name="tulu",
    source="hub:allenai/tulu-v2-sft-mixture",
    revision="6248b175d2ccb5ec7c4aeb22e6d8ee3b21b2c752",
    family="instructions",
    kind="generation",
    metric="rouge_l",
    example=example,
    fields=(("messages", ""),),
    answer_prefix="<|assistant|>",
    instruction="",
    normalize="ends",  # of each message
    cluster="dialogue",
    # The hub has one split.
    splits={"train": "train[1000:]", "dev": "train[:500]", "test": "train[500:1000]"},
    templates={EVERY_FORMAT: _chat.WORDING},
    stop=(_chat.STOP,),
    max_new_tokens=256,
    licence="ODC-BY",
    page="https://huggingface.co/datasets/allenai/tulu-v2-sft-mixture",
    size=Size(
        rows={"train": 325_154, "dev": 500, "test": 500},
        prompt_tokens=450,
        answer_tokens=350,
        megabytes=555,
        source="data set card (1,239 MB of text in 326,154 rows, about 4.5 bytes a token); the parts assumed",
    ),
)

TASK = replace(
    _SOUND,
    paper=_paper.tuned(
        _SOUND,
        rows={"train": 326_154},
        normalize="ends",
        splits={"train": "train"},
        templates={"default": "{messages}\n<|assistant|>\n"},
    ),
)
