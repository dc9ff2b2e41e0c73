"""What a series is, whatever its source: a list of checkpoints, and where the weights of each one lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from amuro.errors import SeriesError, StudyError, nearest
from amuro.types import Checkpoint

UNKNOWN_STEP = -1
"""The step of a model that nobody counted. Never 0: that is the untrained model, a control of its own."""

SCHEDULES = ("initial", "warmup", "constant", "decay", "annealed", "unknown")


def _unknown(checkpoint: Checkpoint, cache: Path) -> str | None:
    return None


def _nothing(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class SeriesKind:
    """A source of checkpoints. Each file of the shelf `series/` holds one as its constant `SERIES`."""

    name: str
    description: str
    checkpoints: Callable[[str, Mapping[str, Any]], tuple[Checkpoint, ...]]
    """(name of the series in the study, its table there) → checkpoints by rising step. Loads no weights, and needs
    no network where the table names the steps or holds the resolved revisions."""
    locate: Callable[[Checkpoint, Path], Path | None]
    """(checkpoint, cache folder) → folder of its weights, fetched if need be; None where there are no weights."""
    fingerprint: Callable[[Checkpoint, Path], str | None] = _unknown
    """(checkpoint, cache folder) → what is equal only for equal weights, known without loading them; else None."""
    lock: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] = _nothing
    """(name, table) → what the source resolves to today, as plain data; empty where nothing needs resolving. Given
    back as the option `lock`, it makes `checkpoints` and `locate` mean the same weights for ever."""


def equal_weights(
    kind: SeriesKind, checkpoints: Iterable[Checkpoint], cache: Path
) -> tuple[tuple[Checkpoint, ...], ...]:
    """Groups of two and more checkpoints whose weights are known to be equal, each by rising step.

    Weights that are equal but published in files of other bytes are found as they are loaded, by their digests.
    """
    groups: dict[str, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        if fingerprint := kind.fingerprint(checkpoint, cache):
            groups.setdefault(fingerprint, []).append(checkpoint)
    return tuple(tuple(sorted(g, key=lambda c: c.step)) for g in groups.values() if len(g) > 1)


@dataclass(frozen=True, slots=True)
class Course:
    """How tokens and the state of the schedule follow from the step of a pre-training run."""

    tokens_per_step: int | None = None
    corpus_tokens: int | None = None
    """Tokens of one pass over the corpus: beyond it, tokens are repeated."""
    warmup_steps: int = 0
    schedule: str = "unknown"
    """State after warm-up: one of SCHEDULES."""

    def tokens(self, step: int, stated: int | None = None) -> int | None:
        """Tokens seen: step × tokens_per_step where that is known (it is exact), else what was stated elsewhere."""
        if self.tokens_per_step is None or step == UNKNOWN_STEP:
            return stated
        return step * self.tokens_per_step

    def unique(self, tokens: int | None) -> int | None:
        """Tokens seen at least once, if each pass over the corpus ends before the next begins; None if unknown."""
        return None if tokens is None or self.corpus_tokens is None else min(tokens, self.corpus_tokens)

    def state(self, step: int) -> str:
        """State of the schedule at a step."""
        if step in (0, UNKNOWN_STEP):
            return "initial" if step == 0 else self.schedule
        return "warmup" if step < self.warmup_steps else self.schedule


COURSE_OPTIONS = ("tokens_per_step", "corpus_tokens", "warmup_steps", "schedule")


def course(name: str, options: Mapping[str, Any], default: Course) -> Course:
    """The course of a series: the default with what the study's table says. Raises StudyError on a bad value."""
    schedule = options.get("schedule", default.schedule)
    if schedule not in SCHEDULES:
        raise StudyError(f"series '{name}' has schedule {schedule!r}", nearest(str(schedule), SCHEDULES))
    numbers = {
        key: whole(name, key, options[key], least=int(key != "warmup_steps"))
        if key in options
        else getattr(default, key)
        for key in COURSE_OPTIONS[:3]
    }
    return Course(**numbers, schedule=schedule)


def whole(name: str, key: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`, else StudyError. 1_000 is one; 1e3 and true are not."""
    if type(value) is not int or value < least:
        raise StudyError(f"{key} of series '{name}' is {value!r}", f"give whole numbers of at least {least}")
    return value


def known_options(name: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises StudyError, with the nearest known key, on any other key (`kind` is always known)."""
    known = {*known, "kind"}
    for key in options:
        if key not in known:
            raise StudyError(f"unknown key '{key}' in series '{name}'", nearest(key, known))


def in_order(name: str, checkpoints: Iterable[Checkpoint]) -> tuple[Checkpoint, ...]:
    """The checkpoints by rising step. Raises SeriesError where there is none or where two have the same step."""
    ordered = tuple(sorted(checkpoints, key=lambda checkpoint: checkpoint.step))
    if not ordered:
        raise SeriesError(f"series '{name}' has no checkpoints", "name at least one step, folder or revision")
    for earlier, later in pairwise(ordered):
        if earlier.step == later.step:
            first, second = (c.revision or c.source for c in (earlier, later))
            raise SeriesError(
                f"series '{name}' has step {later.step} twice: {first} and {second}", "leave one of them out"
            )
    return ordered
