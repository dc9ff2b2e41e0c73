"""Tülu v2 (Ivison et al. 2023): instructions and dialogues of many sources; what the paper calls instruction tuning.

Only learned from in the paper, never asked. A row is a whole dialogue: each reply of the assistant is learned, after
everything that was said before it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amuro.errors import DataError
from amuro.tasks import _paper
from amuro.types import Example, Size, Task

ROLES = ("system", "user", "assistant")


def example(row: Mapping[str, Any]) -> Example:
    """Row of `allenai/tulu-v2-sft-mixture`: dataset, id, messages ({role, content}; system, user or assistant).

    What is said between two replies is one prompt, each message under the tag of its role. What follows the last
    reply is left out, and so is an empty reply: there is nothing to learn from either.
    """
    turns: list[tuple[dict[str, str], str]] = []
    said: list[str] = []
    for message in row["messages"]:
        role, content = message["role"], message["content"].strip()
        if role not in ROLES:
            raise DataError(f"role {role!r} is unknown", f"Tülu knows {', '.join(ROLES)}")
        if role != "assistant":
            said.append(f"<|{role}|>\n{content}".rstrip())
        elif content:
            turns.append(({"messages": "\n".join(said)}, content))
            said = []
    if not turns:
        raise DataError("no message is a reply of the assistant", "leave such rows out")
    *earlier, (inputs, answer) = turns
    return Example(str(row["id"]), str(row["id"]), inputs, answer, earlier=tuple(earlier))


_SOUND = Task(
    name="tulu",
    source="hub:allenai/tulu-v2-sft-mixture",
    revision="6248b175d2ccb5ec7c4aeb22e6d8ee3b21b2c752",
    family="instructions",
    kind="generate",
    metric="rouge_l",
    example=example,
    fields=(("messages", ""),),
    cue="<|assistant|>",
    instruction="",
    cluster="dialogue",
    # The hub has one split.
    splits={"train": "train[1000:]", "dev": "train[:500]", "test": "train[500:1000]"},
    # A dialogue has one wording: its tags are what a tuned model knows it by.
    wording=dict.fromkeys(("default", "instruct", "input_output"), "{messages}\n<|assistant|>"),
    stop=("<|user|>",),
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
        splits={"train": "train"},
        wording={"default": "{messages}\n<|assistant|>\n"},
    ),
)
