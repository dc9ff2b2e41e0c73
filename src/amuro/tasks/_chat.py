"""Messages in chat form → what is read and what is learned: each reply of the assistant, after all before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amuro.core.errors import DataError
from amuro.core.text import normalized
from amuro.core.types import Normalize

ROLES = ("system", "user", "assistant")
WORDING = "{messages}\n<|assistant|>"
"""Every format's words for a dialogue: a tuned model knows it by its tags."""
STOP = "<|user|>"

Turn = tuple[dict[str, str], str]


def turns(messages: Sequence[Mapping[str, Any]], normalize: Normalize = "none") -> list[Turn]:
    """(inputs, reply) of each turn, in order. normalize: what is done to the text of each message.

    What is said between two replies is one prompt, each message under the tag of its role. What follows the last
    reply is left out, and so is an empty reply: there is nothing to learn from either. Raises DataError on an unknown
    role, on what is no message of text, and where the assistant says nothing at all.
    """
    found: list[Turn] = []
    said: list[str] = []
    for message in messages:
        role, told = _told(message)
        content = normalized(told, normalize)
        if role != "assistant":
            said.append(f"<|{role}|>\n{content}" if content else f"<|{role}|>")
        elif content.strip():
            found.append(({"messages": "\n".join(said)}, content))
            said = []
    if not found:
        raise DataError("no message is a reply of the assistant", "leave such rows out")
    return found


def _told(message: Any) -> tuple[str, str]:
    """Role and text of a message; one of the assistant that only calls a tool has null for a text."""
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        raise DataError(f"{message!r:.80} is no message", 'a message is {"role": …, "content": …}')
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise DataError(f"role {role!r} is unknown", f"the roles are {', '.join(ROLES)}")
    if not isinstance(content, str) and content is not None:
        raise DataError(f"the content of a message is no text but {content!r:.80}", "join its parts into one text")
    return role, content or ""
