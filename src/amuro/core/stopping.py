"""Ctrl-C, a scheduler's SIGTERM, a terminal that closes: the process leaves, and says so. No other import: the signals
are heeded before anything else of the package is loaded.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE = 20.0
"""Seconds that what is `held` may go on after the wish to stop. Schedulers kill 30 seconds after it."""
INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl-C, as shells have it: 130."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody outside wants this process to end. No `Exception`: nothing that gets over failures gets over it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number

    def __str__(self) -> str:
        name = signal.Signals(self.exit_code - 128).name
        how = "interrupted" if self.exit_code == INTERRUPTED else f"ended by {name}"
        return f"{how}; finished cells are kept, and the same command goes on from there"


class _Wish:
    """The one wish to stop of this process, and whether it has to wait."""

    def __init__(self) -> None:
        self.number = 0
        self.held = 0
        self.patient = False

    def heard(self, number: int, _frame: FrameType | None) -> None:
        first = not self.number
        if number in SIGNALS:
            self.number = self.number or number
        if self.held and number in SIGNALS and (first or self.patient):
            if first:
                signal.setitimer(signal.ITIMER_REAL, PATIENCE)
            return
        if self.patient:
            deafen()
        raise Stopped(self.number)


_wish = _Wish()


def heed(patient: bool = False) -> None:
    """From here on a signal to end raises `Stopped` wherever the main thread is, or at the end of what is `held`.

    patient: a second signal changes nothing (a worker is told by the scheduler and by its driver); else it ends what is
    held. A signal that whoever started the process has switched off (`nohup`) stays off.
    """
    _wish.patient = patient
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _wish.heard)
    signal.signal(signal.SIGALRM, _wish.heard)


def forget() -> None:
    """As if nobody had asked this process to end."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    _wish.number = 0


def deafen() -> None:
    """From here on no signal to end is heard: the process is leaving already."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (*SIGNALS, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def wanted() -> bool:
    """Whether the process has been asked to end: what is `held` saves itself then, and returns."""
    return bool(_wish.number)


@contextmanager
def held() -> Iterator[None]:
    """What is inside may end in its own way: it asks `wanted`, and has `PATIENCE` seconds."""
    _wish.held += 1
    try:
        yield
    finally:
        _wish.held -= 1
    if wanted() and not _wish.held:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Stopped(_wish.number)
