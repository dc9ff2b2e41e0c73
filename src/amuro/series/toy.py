"""Checkpoints without weights, for the toy engine: they only have a step and a number of tokens."""

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
"""No token is repeated: no toy series has that many tokens."""
OPTIONS = {
    "steps": Option("list of whole numbers ≥ 0, or one alone", "Steps of the checkpoints.", "needed"),
    **course_options(tokens_per_step="1000", corpus_tokens="no token comes twice", schedule='"constant"'),
}
"""Keys of the table of this kind."""


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """Returns one checkpoint per step in `steps`; tokens = step × `tokens_per_step` (default 1,000), none repeated.

    Raises StudyError on a step that is not a whole number ≥ 0, or on a token count below 1.
    """
    known_options(name, options, OPTIONS)
    schedule = token_schedule(name, options, _COURSE)
    identity = digest({"source": "toy", "tokens_per_step": schedule.tokens_per_step})
    steps = wholes(name, "steps", options.get("steps", ()))
    return in_order(name, (_checkpoint(name, step, schedule, identity) for step in steps))


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """Returns None: there are no weights."""
    return None


def _checkpoint(name: str, step: int, token_rules: TokenSchedule, identity: str) -> Checkpoint:
    """Returns the checkpoint of a step."""
    tokens = token_rules.tokens(step)
    return Checkpoint(
        name, step, tokens, token_rules.unique(tokens), token_rules.state(step), source="toy", identity=identity
    )


SERIES = SeriesKind("toy", "checkpoints without weights, for the toy engine", checkpoints, locate, options=OPTIONS)
