"""Variables of the environment in what a study states: filled in where a file is opened, and in no message."""

from __future__ import annotations

import os
import re

_NAMED = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")
_SECRET = 6
"""Letters from which on a value is put back: a shorter one would be found in other words."""

_filled: dict[str, str] = {}
"""Value → how it was written."""


def filled(text: str) -> str:
    """The text with the values of the variables that it names ($NAME, ${NAME}); unknown ones stay as they are."""
    for found in _NAMED.finditer(text):
        value = os.environ.get(found[1] or found[2], "")
        if len(value) >= _SECRET:
            _filled[value] = found[0]
    return os.path.expandvars(text)


def as_written(text: str) -> str:
    """A message with every value that was filled in put back to the words of the study."""
    for value in sorted(_filled, key=len, reverse=True):
        text = text.replace(value, _filled[value])
    return text
