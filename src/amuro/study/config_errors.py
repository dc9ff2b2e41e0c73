"""Turns pydantic's validation errors of a study into one `StudyError`: the value, its place, the cure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from amuro.core import toml_values
from amuro.core.errors import StudyError, nearest

RENAMED = {
    "more_seeds": "replicate_seeds",
    "more_seeds_at": "replicate_seeds_at",
    "cue": "answer_prefix",
}
"""Key of an earlier version → its name in this version."""


def study_error(error: ValidationError, where: str, keys: Mapping[str, Sequence[str]]) -> StudyError:
    """Returns the first error as a sentence with its cure, followed by the places of up to four others.

    `where`: name of the study's file. `keys`: table → its known keys; "" stands for the top of the file.
    """
    errors = error.errors()
    places = [entry["loc"] for entry in errors]
    # An error of a table that has errors of its own keys only repeats them.
    first, *others = [e for e in errors if not any(e["loc"] == at[: len(e["loc"])] != at for at in places)]
    place = _place(first)
    also = f" (and {len(others)} more: {', '.join(_place(other) for other in others[:4])})" if others else ""
    if first["type"] == "extra_forbidden":
        known = keys[str(first["loc"][0])] if len(first["loc"]) > 1 else keys[""]
        key = str(first["loc"][-1])
        cure = f"it is called {RENAMED[key]} now" if RENAMED.get(key) in known else nearest(key, known)
        return StudyError(f"unknown key {toml_values.shown(key)} at {place} in {where}{also}", cure=cure)
    value = "" if first["type"] == "missing" else f" (found {toml_values.shown(first['input'])})"
    message = first["msg"].removeprefix("Value error, ")
    return StudyError(f"{where}: {place}: {message}{value}{also}", cure="see `amuro init` for a commented study")


def _place(error: Mapping[str, Any]) -> str:
    """Returns the dotted place of a validation error in the study, such as tune.0.rows."""
    return ".".join(str(part) for part in error["loc"])
