"""Chat messages → prompts and answers: each reply of the assistant, after everything before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amuro.core.errors import DataError
from amuro.core.text import normalized
from amuro.core.types import Normalize

ROLES = ("system", "user", "assistant")
WORDING = "{messages}\n<|assistant|>"
"""The template of every format for a dialogue: a tuned model recognises it by its tags."""
STOP = "<|user|>"
"""Ends the generation of a reply."""

Turn = tuple[dict[str, str], str]
"""(inputs, reply)."""


def turns(messages: Sequence[Mapping[str, Any]], normalize: Normalize = "none") -> list[Turn]:
    """Returns (inputs, reply) of each turn, in order. `normalize`: normalisation of each message's text.

    All messages between two replies are one prompt, each under the tag of its role. Messages after the last reply are
    left out, and so are empty replies. Raises DataError on an unknown role, on a message without text, and if the
    assistant has no reply.
    """
    replies: list[Turn] = []
    messages_before: list[str] = []
    for message in messages:
        role, text = _told(message)
        content = normalized(text, normalize)
        if role != "assistant":
            messages_before.append(f"<|{role}|>\n{content}" if content else f"<|{role}|>")
        elif content.strip():
            replies.append(({"messages": "\n".join(messages_before)}, content))
            messages_before = []
    if not replies:
        raise DataError("no message is a reply of the assistant", "leave such rows out")
    return replies


def _told(message: Any) -> tuple[str, str]:
    """Returns role and text of a message; a message of the assistant that only calls a tool has null as its text."""
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        raise DataError(f"{message!r:.80} is no message", 'a message is {"role": …, "content": …}')
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise DataError(f"role {role!r} is unknown", f"the roles are {', '.join(ROLES)}")
    if not isinstance(content, str) and content is not None:
        raise DataError(f"the content of a message is no text but {content!r:.80}", "join its parts into one text")
    return role, content or ""
