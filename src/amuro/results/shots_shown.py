"""Shots that were asked for and shots that a prompt shows: where a context has no room, the two differ."""

from __future__ import annotations

LEAST = 0.05
"""A difference that one decimal shows."""


def in_words(shots: str, asked: int, *shown: float | None) -> str:
    """The words for `asked` shots, with the mean that a prompt shows where that is fewer: `8-shot, 1.9 shown`.

    shown: one for each study, or table, that the words stand for; None where it is not known.
    """
    known = [each for each in shown if each is not None]
    if not any(each <= asked - LEAST for each in known):
        return shots
    return f"{shots}, {' and '.join(dict.fromkeys(f'{each:.1f}' for each in known))} shown"
