"""A piece of work as an executor sees it: it knows no engine and no study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Event = Mapping[str, Any]
OnEvent = Callable[[Event], None]
Perform = Callable[[Mapping[str, Any], OnEvent], None]
"""Does one job, given its payload. Raises what it likes."""


@dataclass(frozen=True, slots=True)
class Job:
    """`payload` is plain data for the entry point; `ready` says whether what it needs exists by now."""

    name: str
    payload: Mapping[str, Any]
    ready: Callable[[], bool]


def resolve(entry_point: str) -> Perform:
    """`module:function` → the function."""
    from importlib import import_module

    module, _, name = entry_point.partition(":")
    function: Perform = getattr(import_module(module), name)
    return function
