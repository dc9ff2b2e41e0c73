"""Everything that amuro raises on purpose: one sentence that says what is wrong where, and the nearest cure.

    AmuroError            1    something failed that no line below names, or some cells failed
    ├── StudyError        2    the study or the command line asks for what does not exist
    ├── DataError         3    rows, labels, splits
    ├── WeightsError      4    the files of one checkpoint
    │   └── SeriesError   4    the checkpoints of a series beside each other
    ├── StoreError        5    the store cannot be written, or what it holds is not what was written
    └── HubError          6    the network, or what a hub answers

The number is the exit code of the process. `Ctrl-C` ends it with 130, SIGTERM with 143 (`core/stopping.py`). A finished
run
with no failed cell ends with 0; a tuning that diverged is a result, no failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from amuro.core.environment import as_written

_SHOWN = 12


class AmuroError(Exception):
    """`message`: the offending value and where it stands. `cure`: what to do next. Together they are one sentence."""

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        self.message, self.cure = as_written(message), as_written(cure)
        super().__init__(self.message, self.cure)

    def __str__(self) -> str:
        return f"{self.message}; {self.cure}" if self.cure else self.message


class StudyError(AmuroError):
    """The study or the command line asks for what does not exist."""

    exit_code = 2


class DataError(AmuroError):
    """Rows, labels or splits are not what the study or the task says they are."""

    exit_code = 3


class WeightsError(AmuroError):
    """The files of one checkpoint cannot be read, or are not what they have to be."""

    exit_code = 4


class SeriesError(WeightsError):
    """The checkpoints of a series do not fit each other."""


class StoreError(AmuroError):
    """The store cannot be written, or what it holds is not what was written."""

    exit_code = 5


class HubError(AmuroError):
    """The network does not answer, or the hub refuses."""

    exit_code = 6


def nearest(word: str, known: Iterable[str]) -> str:
    """A cure for an unknown word: the likeliest known one, else the known words (at most twelve are shown)."""
    names = sorted(set(known))
    by_folded = {name.casefold(): name for name in names}
    close = get_close_matches(word.casefold(), by_folded, n=1)
    if close:
        return f"did you mean '{by_folded[close[0]]}'?"
    if not names:
        return "none is known here"
    more = f" … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return f"known: {', '.join(names[:_SHOWN])}{more}"
