"""Checkpoints without weights, for the toy engine: they only say where on the way they stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amuro.core.hashing import digest
from amuro.core.types import Checkpoint
from amuro.series.base import (
    Option,
    SeriesKind,
    TokenSchedule,
    course_options,
    in_order,
    known_options,
    token_schedule,
    wholes,
)

_COURSE = TokenSchedule(tokens_per_step=1000, corpus_tokens=10**15, schedule="constant")
"""Every token is new: no toy reads that many."""
OPTIONS = {
    "steps": Option("list of whole numbers ≥ 0, or one alone", "Steps of the checkpoints.", "needed"),
    **course_options(tokens_per_step="1000", corpus_tokens="no token comes twice", schedule='"constant"'),
}


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """One checkpoint for each of `steps`; tokens = step × `tokens_per_step` (1,000 unless told), each token new.

    Raises StudyError on a step that is no whole number ≥ 0, or on a token count below 1.
    """
    known_options(name, options, OPTIONS)
    way = token_schedule(name, options, _COURSE)
    identity = digest({"source": "toy", "tokens_per_step": way.tokens_per_step})
    steps = wholes(name, "steps", options.get("steps", ()))
    return in_order(name, (_checkpoint(name, step, way, identity) for step in steps))


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """There are no weights."""
    return None


def _checkpoint(name: str, step: int, way: TokenSchedule, identity: str) -> Checkpoint:
    tokens = way.tokens(step)
    return Checkpoint(name, step, tokens, way.unique(tokens), way.state(step), source="toy", identity=identity)


SERIES = SeriesKind("toy", "checkpoints without weights, for the toy engine", checkpoints, locate, options=OPTIONS)
