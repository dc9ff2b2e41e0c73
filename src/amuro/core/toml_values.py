"""TOML of anybody → plain values that every later step can bear: of bounded size and depth, finite, and no dates."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

from amuro.core import regular_files
from amuro.core.errors import StudyError

LARGEST_FILE = 4_000_000
"""Bytes."""
DEEPEST = 12
"""Tables and lists inside each other; a study needs five."""
LARGEST = 2**63 - 1
"""Of whole numbers, as TOML itself promises."""


def toml(path: Path) -> dict[str, Any]:
    """The table that a file holds, with or without a byte-order mark. Raises StudyError with the line or the key."""
    try:
        content = regular_files.content(path)
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}", "name a file that can be") from error
    if len(content) > LARGEST_FILE:
        raise StudyError(f"{path} has {len(content):,} bytes", f"such a file has at most {LARGEST_FILE:,}")
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise StudyError(f"{path} is nested too deeply to be read", f"nest at most {DEEPEST} deep") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise StudyError(f"{path}, line {line} is not UTF-8", "save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        cure = "save the file as UTF-8: it holds NUL bytes" if b"\0" in content else "mend the line it names"
        raise StudyError(f"{path} is not valid TOML: {error}", cure) from error
    except ValueError as error:
        raise StudyError(f"{path} holds a number of thousands of digits", "give one of at most 18 digits") from error
    check(table, str(path))
    return table


def check(table: Any, where: str) -> None:
    """Raises StudyError at the first value that is nested too deeply, is not finite, is too large, or is no JSON."""
    waiting: list[tuple[str, int, Any]] = [("", 0, table)]
    while waiting:
        place, depth, value = waiting.pop()
        if depth > DEEPEST:
            raise StudyError(f"{where}: {place[:80]} … is nested too deeply", f"nest at most {DEEPEST} deep")
        if fault := _fault(value):
            raise StudyError(f"{where}: {place} is {shown(value)}", fault)
        waiting += [(f"{place}.{key}".lstrip("."), depth + 1, inner) for key, inner in _inner(value)]


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _inner(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def _fault(value: Any) -> str:
    """The cure of a value that no study holds; empty for every other."""
    if isinstance(value, str):
        return "leave the character U+0000 out" if "\0" in value else ""
    if isinstance(value, int):
        return "" if -LARGEST <= value <= LARGEST else "give a number of at most 18 digits"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "give a finite number"
    if isinstance(value, dict):
        return "leave the character U+0000 out of keys" if any("\0" in key for key in value) else ""
    return "" if value is None or isinstance(value, list | tuple) else 'dates and times are written as text: "…"'
