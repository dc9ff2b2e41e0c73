"""The contract of series kinds: a list of checkpoints, and the folder of each one's weights."""

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
"""The step of a model whose step is unknown. Never 0: that is the untrained model, a control."""

SCHEDULES = ("initial", "warmup", "constant", "decay", "annealed", "unknown")
"""States of the learning-rate schedule."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Facts of a checkpoint that are known without loading its weights."""

    weights: str
    """A digest that is equal only for equal weights."""
    shards: Mapping[str, str]
    """Weights file → digest of its content."""
    documents: Mapping[str, str]
    """Small file → digest of its bytes; empty if unknown."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps at which a source publishes checkpoints, rising."""

    listed: tuple[int, ...]
    """The steps that it lists today."""
    documented: tuple[int, ...] = ()
    """The steps that its makers documented; empty if they did not."""


def checkpoint_words(step: int) -> str:
    """Returns a checkpoint in words, without a number if its step is unknown."""
    return "the checkpoint" if step == UNKNOWN_STEP else f"the checkpoint at step {step}"


def _no_inspection(checkpoint: Checkpoint, cache: Path) -> Inspection | None:
    """Default of `SeriesKind.inspect`."""
    return None


def _no_folder(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """Default of `SeriesKind.at_hand`."""
    return None


def _no_document(checkpoint: Checkpoint, name: str) -> Path | None:
    """Default of `SeriesKind.document`."""
    return None


def _no_grid(name: str, options: Mapping[str, Any], found: tuple[Checkpoint, ...]) -> Grid | None:
    """Default of `SeriesKind.grid`."""
    return None


def _nothing(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Default of `SeriesKind.lock`."""
    return {}


def _nothing_left_out(name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Default of `SeriesKind.left_out`."""
    return ()


@dataclass(frozen=True, slots=True)
class Option:
    """A key of the table of a series, in words; docs/reference.md is made from these."""

    type: str
    """For example "whole number ≥ 0"."""
    meaning: str
    default: str = "not set"
    """As TOML, or in words; "needed" if there is none."""


@dataclass(frozen=True, slots=True)
class SeriesKind:
    """A source of checkpoints. Each plugin of `series/` defines one as its constant `SERIES`.

    The first four fields make a series; the others give `amuro audit series` more to check.
    """

    name: str
    description: str
    checkpoints: Callable[[str, Mapping[str, Any]], tuple[Checkpoint, ...]]
    """(name of the series in the study, its table) → checkpoints sorted by step. Loads no weights, and uses no
    network if the table names the steps or has the resolved revisions.
    """
    locate: Callable[[Checkpoint, Path], Path | None]
    """(checkpoint, cache folder) → folder of its weights, fetched if needed; None if there are no weights."""
    lock: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] = _nothing
    """(name, table) → what the source resolves to today, as plain data; empty if nothing needs resolving. As the
    option `lock` it makes `checkpoints` and `locate` mean the same weights from then on.
    """
    inspect: Callable[[Checkpoint, Path], Inspection | None] = _no_inspection
    """(checkpoint, cache folder) → what is known without loading its weights, or None."""
    document: Callable[[Checkpoint, str], Path | None] = _no_document
    """(checkpoint, name) → a small file beside the weights, fetched if needed; None if it does not exist."""
    at_hand: Callable[[Checkpoint, Path], Path | None] = _no_folder
    """(checkpoint, cache folder) → folder of its weights if it is on this machine, else None; nothing is fetched."""
    grid: Callable[[str, Mapping[str, Any], tuple[Checkpoint, ...]], Grid | None] = _no_grid
    """(name, table, its checkpoints) → all steps that the source publishes; None if it lists none."""
    left_out: Callable[[str, Mapping[str, Any]], tuple[str, ...]] = _nothing_left_out
    """(name, table) → sentences about files beside the checkpoints that are not part of the series.
    Uses no network.
    """
    pretraining: Callable[[Mapping[str, Any]], Pretraining] | None = None
    """table → the configuration of the run that makes the checkpoints; None if weights exist already."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """The keys of its table besides those of every series; empty if they are the fields of its pre-training."""


def tokenizer_folder(checkpoint: Checkpoint) -> Path | None:
    """Returns the folder of a checkpoint's tokenizer, or None if that is the folder of its weights."""
    return Path(checkpoint.tokenizer) if checkpoint.tokenizer else None


def equal_weights(inspections: Mapping[Checkpoint, Inspection]) -> tuple[tuple[Checkpoint, ...], ...]:
    """Returns groups of two or more checkpoints whose weights are known to be equal, each sorted by step.

    Equal weights in files with different bytes are found only when they are loaded, by their digests.
    """
    groups: dict[str, list[Checkpoint]] = {}
    for checkpoint, inspection in inspections.items():
        groups.setdefault(inspection.weights, []).append(checkpoint)
    return tuple(tuple(sorted(g, key=lambda c: c.step)) for g in groups.values() if len(g) > 1)


def twin_error(address: str, other: str) -> SeriesError:
    """Returns the error of a checkpoint with the weights of another one."""
    cure = "take one of them out of the series, or set allow_duplicates = true"
    return SeriesError(f"{address} has the same weights as {other}", cure)


def training_flops(checkpoint: Checkpoint) -> int | None:
    """Returns the pre-training FLOPs of a checkpoint, about 6·N·D for N parameters and D tokens; None if either is
    unknown.

    Source: arXiv 2001.08361, section 2.1, where N excludes embeddings; here it includes them.
    """
    if checkpoint.parameters is None or checkpoint.tokens is None:
        return None
    return 6 * checkpoint.parameters * checkpoint.tokens


@dataclass(frozen=True, slots=True)
class TokenSchedule:
    """How tokens and the learning-rate schedule follow from the step of a pre-training run."""

    tokens_per_step: int | None = None
    """Training tokens of one step."""
    corpus_tokens: int | None = None
    """Tokens of one pass over the corpus; beyond it, tokens are repeated."""
    warmup_steps: int = 0
    """Steps before this one are in the state *warmup*."""
    schedule: str = "unknown"
    """State after warm-up: one of SCHEDULES."""

    def tokens(self, step: int, stated: int | None = None) -> int | None:
        """Returns the training tokens at a step: step × tokens_per_step if that is known, else `stated`."""
        if self.tokens_per_step is None or step == UNKNOWN_STEP:
            return stated
        return step * self.tokens_per_step

    def unique(self, tokens: int | None) -> int | None:
        """Returns the tokens seen at least once, if each pass over the corpus ends before the next begins; None if
        unknown.
        """
        return None if tokens is None or self.corpus_tokens is None else min(tokens, self.corpus_tokens)

    def state(self, step: int) -> str:
        """Returns the state of the learning-rate schedule at a step."""
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
"""The options that set the fields of `TokenSchedule`."""


def course_options(**defaults: str) -> dict[str, Option]:
    """Returns `COURSE_OPTIONS` with the defaults of one kind."""
    return {key: replace(option, default=defaults.get(key, option.default)) for key, option in COURSE_OPTIONS.items()}


def token_schedule(name: str, options: Mapping[str, Any], default: TokenSchedule) -> TokenSchedule:
    """Returns the default schedule with the changes in the study's table. Raises StudyError on a bad value."""
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
    """Returns a whole number of at least `least`, else raises StudyError. 1_000 is one; 1e3 and true are not."""
    if type(value) is not int or value < least:
        raise StudyError(f"{key} of series '{name}' is {value!r}", f"give whole numbers of at least {least}")
    return value


def wholes(name: str, key: str, value: Any, least: int = 0) -> tuple[int, ...]:
    """Returns a list of whole numbers, else raises StudyError; a single number is a list of one."""
    return tuple(whole(name, key, number, least) for number in (value if isinstance(value, list | tuple) else (value,)))


def known_options(name: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises StudyError, with the nearest known key, on any other key (the keys of every series are always known)."""
    known = {*known, *TABLE_KEYS}
    for key in options:
        if key not in known:
            raise StudyError(f"unknown key '{key}' in series '{name}'", nearest(key, known))


def in_order(name: str, checkpoints: Iterable[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Returns the checkpoints sorted by step. Raises SeriesError if there is none or if two have the same step."""
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
