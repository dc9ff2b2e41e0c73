"""What a series is, whatever its source: a list of checkpoints, and where the weights of each one lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from amuro.core.errors import SeriesError, StudyError, nearest
from amuro.core.types import Checkpoint
from amuro.series._pretrain_config import TABLE_KEYS, Pretraining

UNKNOWN_STEP = -1
"""The step of a model that nobody counted. Never 0: that is the untrained model, a control of its own."""

SCHEDULES = ("initial", "warmup", "constant", "decay", "annealed", "unknown")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of a checkpoint without loading its weights."""

    weights: str
    """Equal only for equal weights."""
    shards: Mapping[str, str]
    """Weights file → digest of its content."""
    documents: Mapping[str, str]
    """Small file → digest of its bytes; empty where unknown."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps at which a source publishes checkpoints, rising."""

    listed: tuple[int, ...]
    """As it lists them today."""
    documented: tuple[int, ...] = ()
    """As its makers wrote down; empty where they did not."""


def checkpoint_words(step: int) -> str:
    """A checkpoint in a sentence; one whose step nobody counted has no number."""
    return "the checkpoint" if step == UNKNOWN_STEP else f"the checkpoint at step {step}"


def _no_inspection(checkpoint: Checkpoint, cache: Path) -> Inspection | None:
    return None


def _no_folder(checkpoint: Checkpoint, cache: Path) -> Path | None:
    return None


def _no_document(checkpoint: Checkpoint, name: str) -> Path | None:
    return None


def _no_grid(name: str, options: Mapping[str, Any], found: tuple[Checkpoint, ...]) -> Grid | None:
    return None


def _nothing(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


def _nothing_left_out(name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Option:
    """A key that the table of a series may hold, in words: docs/reference.md is made from these."""

    type: str
    """Such as "whole number ≥ 0"."""
    meaning: str
    default: str = "not set"
    """As TOML, or in words; "needed" where there is none."""


@dataclass(frozen=True, slots=True)
class SeriesKind:
    """A source of checkpoints. Each plugin of `series/` holds one as its constant `SERIES`.

    The first four fields make a series; the others let `amuro audit series` look closer.
    """

    name: str
    description: str
    checkpoints: Callable[[str, Mapping[str, Any]], tuple[Checkpoint, ...]]
    """(name of the series in the study, its table there) → checkpoints by rising step. Loads no weights, and needs
    no network where the table names the steps or holds the resolved revisions."""
    locate: Callable[[Checkpoint, Path], Path | None]
    """(checkpoint, cache folder) → folder of its weights, fetched if need be; None where there are no weights."""
    lock: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] = _nothing
    """(name, table) → what the source resolves to today, as plain data; empty where nothing needs resolving. Given
    back as the option `lock`, it makes `checkpoints` and `locate` mean the same weights for ever."""
    inspect: Callable[[Checkpoint, Path], Inspection | None] = _no_inspection
    """(checkpoint, cache folder) → what is known without loading its weights; None where nothing is."""
    document: Callable[[Checkpoint, str], Path | None] = _no_document
    """(checkpoint, name) → a small file beside the weights, fetched if need be; None where there is none."""
    at_hand: Callable[[Checkpoint, Path], Path | None] = _no_folder
    """(checkpoint, cache folder) → folder of its weights if they lie on this machine; nothing is fetched."""
    grid: Callable[[str, Mapping[str, Any], tuple[Checkpoint, ...]], Grid | None] = _no_grid
    """(name, table, its checkpoints) → all steps that the source publishes; None where it lists nothing."""
    left_out: Callable[[str, Mapping[str, Any]], tuple[str, ...]] = _nothing_left_out
    """(name, table) → what lies with its checkpoints and is not studied, in sentences. Asks no network."""
    pretraining: Callable[[Mapping[str, Any]], Pretraining] | None = None
    """table → the run that makes the checkpoints here, before they are read; None where weights exist already."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """The keys of its table besides those of every series; empty where they are the fields of its pre-training."""


def tokenizer_folder(checkpoint: Checkpoint) -> Path | None:
    """The folder of its tokenizer, where that is not the folder of its weights."""
    return Path(checkpoint.tokenizer) if checkpoint.tokenizer else None


def equal_weights(inspections: Mapping[Checkpoint, Inspection]) -> tuple[tuple[Checkpoint, ...], ...]:
    """Groups of two and more checkpoints whose weights are known to be equal, each by rising step.

    Weights that are equal but published in files of other bytes are found as they are loaded, by their digests.
    """
    groups: dict[str, list[Checkpoint]] = {}
    for checkpoint, inspection in inspections.items():
        groups.setdefault(inspection.weights, []).append(checkpoint)
    return tuple(tuple(sorted(g, key=lambda c: c.step)) for g in groups.values() if len(g) > 1)


def twin_error(address: str, other: str) -> SeriesError:
    """Why a checkpoint with the weights of another one is not studied."""
    cure = "take one of them out of the series, or set allow_duplicates = true"
    return SeriesError(f"{address} has the same weights as {other}", cure)


def training_flops(checkpoint: Checkpoint) -> int | None:
    """Floating-point operations of its pre-training, about 6·N·D for N parameters and D tokens (arXiv 2001.08361,
    section 2.1, where N leaves out embeddings; here it holds them); None where either is unknown.
    """
    if checkpoint.parameters is None or checkpoint.tokens is None:
        return None
    return 6 * checkpoint.parameters * checkpoint.tokens


@dataclass(frozen=True, slots=True)
class TokenSchedule:
    """How tokens and the state of the schedule follow from the step of a pre-training run."""

    tokens_per_step: int | None = None
    """Training tokens of one step."""
    corpus_tokens: int | None = None
    """Tokens of one pass over the corpus: beyond it, tokens are repeated."""
    warmup_steps: int = 0
    """Steps before which the state of the schedule is *warmup*."""
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


COURSE_OPTIONS: Mapping[str, Option] = {
    "tokens_per_step": Option("whole number ≥ 1", "Training tokens of one step; those of a checkpoint follow."),
    "corpus_tokens": Option("whole number ≥ 1", "Tokens of one pass over the corpus; beyond it, tokens are repeated."),
    "warmup_steps": Option("whole number ≥ 0", "Checkpoints before this step count as warm-up.", "0"),
    "schedule": Option(
        "one of " + ", ".join(f'"{state}"' for state in SCHEDULES),
        "State of the learning-rate schedule after warm-up.",
        '"unknown"',
    ),
}
"""Keys that say how tokens and the schedule follow from the step: the fields of `TokenSchedule`."""


def course_options(**defaults: str) -> dict[str, Option]:
    """The same keys with the defaults of one kind."""
    return {key: replace(each, default=defaults.get(key, each.default)) for key, each in COURSE_OPTIONS.items()}


def token_schedule(name: str, options: Mapping[str, Any], default: TokenSchedule) -> TokenSchedule:
    """The course of a series: the default with what the study's table says. Raises StudyError on a bad value."""
    schedule = options.get("schedule", default.schedule)
    if schedule not in SCHEDULES:
        raise StudyError(f"series '{name}' has schedule {schedule!r}", nearest(str(schedule), SCHEDULES))
    numbers = {
        key: whole(name, key, options[key], least=int(key != "warmup_steps"))
        if key in options
        else getattr(default, key)
        for key in ("tokens_per_step", "corpus_tokens", "warmup_steps")
    }
    return TokenSchedule(**numbers, schedule=schedule)


def whole(name: str, key: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`, else StudyError. 1_000 is one; 1e3 and true are not."""
    if type(value) is not int or value < least:
        raise StudyError(f"{key} of series '{name}' is {value!r}", f"give whole numbers of at least {least}")
    return value


def wholes(name: str, key: str, value: Any, least: int = 0) -> tuple[int, ...]:
    """A list of such numbers, else StudyError; one alone is a list of one."""
    return tuple(whole(name, key, one, least) for one in (value if isinstance(value, list | tuple) else (value,)))


def known_options(name: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises StudyError, with the nearest known key, on any other key (those of every series are always known)."""
    known = {*known, *TABLE_KEYS}
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
