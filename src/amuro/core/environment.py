"""Environment variables in a study's paths: expanded where a file is opened, and never shown in messages."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {
    "HF_HOME": "Folder of the hub client's cache and token.",
    "HF_HUB_CACHE": "Folder of the hub client's cache, where it is not below HF_HOME.",
    "HF_ENDPOINT": "Address of the hub.",
    "HF_TOKEN": "Token for private and gated repositories.",
    "HF_HUB_OFFLINE": "If it is 1, the hub is never contacted: only cached files are used.",
    "USE_HUB_KERNELS": "transformers fetches no kernels from the hub, unless this says otherwise; amuro sets it to NO.",
}
"""Variables that amuro or the hub's client reads, besides those that a study names itself as $NAME."""

_NAMED = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")
_SECRET = 6
"""Minimum length of a value that is replaced in messages: a shorter one would occur within other words."""

_filled: dict[str, str] = {}
"""Expanded value → the reference in the study ($NAME)."""


def filled(text: str) -> str:
    """The text with environment variables ($NAME, ${NAME}) expanded; unknown ones stay unchanged."""
    for reference in _NAMED.finditer(text):
        value = os.environ.get(reference[1] or reference[2], "")
        if len(value) >= _SECRET:
            _filled[value] = reference[0]
    return os.path.expandvars(text)


def as_written(text: str) -> str:
    """The message with every expanded value replaced by its reference ($NAME) again."""
    for value in sorted(_filled, key=len, reverse=True):
        text = text.replace(value, _filled[value])
    return text
