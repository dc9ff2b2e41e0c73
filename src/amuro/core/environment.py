"""Variables of the environment in what a study states: filled in where a file is opened, and in no message."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {
    "HF_HOME": "Folder of the hub client's cache and token.",
    "HF_HUB_CACHE": "Folder of the hub client's cache, where it is not below HF_HOME.",
    "HF_ENDPOINT": "Address of the hub.",
    "HF_TOKEN": "Token for private and gated repositories.",
    "HF_HUB_OFFLINE": "Where it is 1, the hub is never asked: only what lies in the cache is read.",
    "USE_HUB_KERNELS": "transformers fetches no kernels from the hub, unless this says otherwise; amuro sets it to NO.",
}
"""Variables that amuro or the hub's client reads, besides those that a study names itself as $NAME."""

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
