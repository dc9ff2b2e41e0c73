"""How texts of data are normalised, where a task asks for it."""

from __future__ import annotations

from amuro.core.errors import DataError
from amuro.core.types import Normalize


def single_spaced(text: str) -> str:
    """The text on one line, with single spaces, none outside. Raises DataError where it is no text."""
    if not isinstance(text, str):
        raise DataError(f"{text!r:.80} stands where text belongs", "mend the row, or leave it out")
    return " ".join(text.split())


def normalized(text: str, how: Normalize) -> str:
    """The text as a task's `normalize` says."""
    return single_spaced(text) if how == "spaces" else text.strip() if how == "ends" else text
