"""Words for shots where fewer fit into the context than were requested."""

from __future__ import annotations

LEAST = 0.05
"""Smallest difference between requested and shown shots that is reported (one decimal is printed)."""


def in_words(shots: str, asked: int, *shown: float | None) -> str:
    """Returns `shots`, followed by the mean number shown where that is below `asked`: `8-shot, 1.9 shown`.

    `shown` has the mean number of shots in a prompt for each study or table; None where it is unknown.
    """
    known = [mean for mean in shown if mean is not None]
    if not any(mean <= asked - LEAST for mean in known):
        return shots
    return f"{shots}, {' and '.join(dict.fromkeys(f'{mean:.1f}' for mean in known))} shown"
