"""`amuro check` on kinds of series: the shipped ones keep the contract, and each way to break it is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from amuro.core import registry
from amuro.core.errors import StudyError
from amuro.core.types import Checkpoint
from amuro.series import load_series_kind
from amuro.series._contract import check
from amuro.series.base import Option, SeriesKind, known_options


@pytest.mark.parametrize("name", registry.names("series"))
def test_every_shipped_kind_keeps_the_contract(name: str) -> None:
    """Each refuses an unknown key by name; what its defaults list without a network is in order."""
    assert next(check(load_series_kind(name))).startswith("refuses a key")


def _listing(*steps: int) -> Callable[[str, Mapping[str, Any]], tuple[Checkpoint, ...]]:
    def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
        known_options(name, options, ())
        return tuple(Checkpoint(name, step, None, None, "unknown", "mine", identity="0" * 64) for step in steps)

    return checkpoints


def _falls(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    raise KeyError("a_key_that_no_series_has")


GOOD = SeriesKind("mine", "from my own machine", _listing(1, 2), lambda checkpoint, cache: None)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(GOOD, description=""), "states no description"),
        (replace(GOOD, options={"path": Option("text", "", "")}), "does not say what path"),
        (replace(GOOD, checkpoints=lambda name, options: ()), "takes an unknown key in silence"),
        (replace(GOOD, checkpoints=_falls), "falls over an unknown key: KeyError"),
        (replace(GOOD, checkpoints=_listing(2, 1)), r"lists steps \[2, 1\]"),
        (replace(GOOD, checkpoints=_listing(1, 1)), "two checkpoints with one address"),
    ],
)
def test_each_broken_promise_is_named(broken: SeriesKind, said: str) -> None:
    """A kind that breaks one promise is refused with what it did and the nearest cure."""
    assert len(list(check(GOOD))) == 2
    with pytest.raises(StudyError, match=said):
        list(check(broken))
