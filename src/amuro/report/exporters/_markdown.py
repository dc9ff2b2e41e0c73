"""Escapes text for Markdown, so that it has no markup, HTML, mentions or links."""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, and those that turn the direction of reading."""
_ACTIVE = re.compile(r"(?P<markup>[\\`*_\[\]$~])|(?P<html>[&<>|])|(?P<linked>[@#](?=\S)|:(?=//)|(?i:www)(?=\.))")
"""What Markdown reads, what HTML and tables read, and where a forge links by itself: a person, an issue, an address."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
_NOTHING = "<!---->"


def escape(text: str) -> str:
    """Returns one line that reads as written. An empty comment breaks words from which a forge would make a link."""
    return _ACTIVE.sub(_inert, " ".join(_UNSEEN.sub(" ", text).split()))


def _inert(match: re.Match[str]) -> str:
    found = match[0]
    if match["markup"]:
        return f"\\{found}"
    return _ENTITIES[found] if match["html"] else f"{found}{_NOTHING}"
