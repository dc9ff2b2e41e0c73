"""What jobs of tests do in a worker; imports next to nothing, so that a worker is up at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from amuro.core.errors import StoreError


def act(payload: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None]) -> None:
    """Says its number and its process; at 13 the store refuses."""
    if payload["n"] == 13:
        raise StoreError("the disk is full", "free some space")
    emit({"event": "cell", "cell": str(payload["n"]), "pid": os.getpid()})
