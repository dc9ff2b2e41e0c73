"""Messages in chat form → what is read and what is learned: each reply of the assistant, after all before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amuro.errors import DataError

ROLES = ("system", "user", "assistant")
WORDING = "{messages}\n<|assistant|>"
"""Every format's words for a dialogue: a tuned model knows it by its tags."""
STOP = "<|user|>"

Turn = tuple[dict[str, str], str]


def turns(messages: Sequence[Mapping[str, str]]) -> list[Turn]:
    """(inputs, reply) of each turn, in order.

    What is said between two replies is one prompt, each message under the tag of its role. What follows the last
    reply is left out, and so is an empty reply: there is nothing to learn from either. Raises DataError on an unknown
    role and where the assistant says nothing at all.
    """
    found: list[Turn] = []
    said: list[str] = []
    for message in messages:
        role, content = message["role"], (message["content"] or "").strip()
        if role not in ROLES:
            raise DataError(f"role {role!r} is unknown", f"the roles are {', '.join(ROLES)}")
        if role != "assistant":
            said.append(f"<|{role}|>\n{content}".rstrip())
        elif content:
            found.append(({"messages": "\n".join(said)}, content))
            said = []
    if not found:
        raise DataError("no message is a reply of the assistant", "leave such rows out")
    return found
