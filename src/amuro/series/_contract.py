"""What every kind of series promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from amuro.core.errors import AmuroError, StudyError
from amuro.core.types import Checkpoint
from amuro.series.base import SeriesKind

_STRANGE = "a_key_that_no_series_has"


def check(series: SeriesKind) -> Iterator[str]:
    """It says what it is, refuses a key that it does not know by name, and lists checkpoints, where its defaults name
    any, by rising step, each with an address of its own, the same ones whenever it is called.
    """
    if not series.description:
        raise StudyError(f"series {series.name} states no description", cure="say where its checkpoints come from")
    mute = [key for key, option in series.options.items() if not option.meaning]
    if mute:
        raise StudyError(f"series {series.name} does not say what {', '.join(mute)} mean", cure="give each a meaning")
    _refuses_strange_keys(series)
    yield "refuses a key that it does not know, by its name"
    if listed := _listed(series, {}):
        _are_in_order(series, listed)
        if _listed(series, {}) != listed:
            raise StudyError(f"series {series.name} lists other checkpoints when it is called again",
                             cure="let them follow from the table alone")  # fmt: skip
        yield f"lists {len(listed)} checkpoints by rising step, each with its own address, and the same ones again"


def _refuses_strange_keys(series: SeriesKind) -> None:
    try:
        series.checkpoints("check", {_STRANGE: 1})
    except AmuroError as refusal:
        if _STRANGE not in refusal.message:
            raise StudyError(f"series {series.name} refuses an unknown key without naming it: {refusal}",
                             cure="call amuro.series.base.known_options first") from refusal  # fmt: skip
        return
    except Exception as fault:
        raise StudyError(f"series {series.name} falls over an unknown key: {type(fault).__name__}: {fault}",
                         cure="call amuro.series.base.known_options first") from fault  # fmt: skip
    raise StudyError(f"series {series.name} takes an unknown key in silence",
                     cure="call amuro.series.base.known_options first")  # fmt: skip


def _listed(series: SeriesKind, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """Its checkpoints without any key; none where it needs a key, such as a path or a model, or a network."""
    try:
        return series.checkpoints("check", options)
    except AmuroError:
        return ()


def _are_in_order(series: SeriesKind, listed: tuple[Checkpoint, ...]) -> None:
    steps = [checkpoint.step for checkpoint in listed]
    if steps != sorted(steps):
        raise StudyError(f"series {series.name} lists steps {steps}", cure="list checkpoints by rising step")
    if len({checkpoint.address for checkpoint in listed}) < len(listed):
        raise StudyError(f"series {series.name} lists two checkpoints with one address",
                         cure="give each its step, or an identity of its own")  # fmt: skip
