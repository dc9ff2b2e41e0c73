"""Who does what where several runs share a store: a claim is a file that only one of them can create.

    claims/NAME.7          the seventh claim on one piece of work; it holds its owner's name
    claims/OWNER.beat      a number that the owner changes every few seconds while it runs
    claims/arrivals        a line for each run that ever began: so one that came and went is noticed

A claim is taken over, by creating the next number, when its owner is gone: at once where the owner was a process of
this machine, else when its beat has stood still for a lease, measured by this process's own clock. No clock of another
machine is read and no lock of a file system is needed.

Claims save work and decide nothing: of two runners that do the same thing, the first to publish it has done it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from amuro.core import disk, owners, regular_files
from amuro.core.hashing import digest

BEAT_SECONDS = 5.0
LOOK_SECONDS = 1.0
"""Between two looks at a piece of work that another run has."""
LEASE_SECONDS = 60.0
"""After so long without a beat an owner is taken for gone. One that was only stopped does no harm when it goes on."""

Payload = Mapping[str, Any]


class Claims:
    """The claims of one run. Within `with` its heart beats; at the end all its claims are given back."""

    def __init__(self, root: Path) -> None:
        """root: of a store that is open for writing. To be made before what is missing is looked up."""
        self._root, self._folder = root, root / "claims"
        self._owner = f"{owners.me()}.{time.monotonic_ns()}"
        self._beat = self._folder / f"{self._owner}.beat"
        self._held: dict[str, int] = {}
        self._watched: dict[tuple[str, int, str], tuple[str, float]] = {}
        self._arrivals = self._arrived()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._go_on_beating, daemon=True)
        self.contested = False
        """Whether there was any other run since: then what was missing may be done by now."""
        self._look_for_others()

    def __enter__(self) -> Claims:
        with disk.writing("a claim", self._root):
            self._beat.write_text("0", encoding="ascii")
            self._look_for_others()
            self._arrive()
        self._clear_beats()
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._heart.join()
        for work in list(self._held):
            self.release(work)
        with suppress(OSError):
            self._beat.unlink()

    def take(self, work: str) -> bool:
        """Claims a piece of work, unless a run that is alive has it. Again for what is held already."""
        if work in self._held:
            return True
        self._look_for_others()
        name = digest(work)[:32]
        before = self._numbers(name)
        number = max(before, default=0)
        self.contested |= number > 0
        if number and not self._is_given_up(name, number):
            return False
        own = self._folder / f"{name}.{number + 1}"
        if not self._create(own):
            return self._lost()
        if self._numbers(name) - before - {number + 1}:  # another began to count anew meanwhile
            own.unlink(missing_ok=True)
            return self._lost()
        self._held[work] = number + 1
        return True

    def release(self, work: str) -> None:
        """Gives a claim back, done or not; what others had claimed before and left goes with it."""
        if work not in self._held:
            return
        name, own = digest(work)[:32], self._held.pop(work)
        for number in sorted(n for n in self._numbers(name) if n <= own):
            with suppress(OSError):
                (self._folder / f"{name}.{number}").unlink()

    def _create(self, claim: Path) -> bool:
        with disk.writing("a claim", self._root):
            try:
                with claim.open("x", encoding="ascii") as file:
                    file.write(self._owner)
            except FileExistsError:
                return False
        return True

    def _look_for_others(self) -> None:
        others = any(path != self._beat for path in self._folder.glob("*.beat"))
        self.contested |= others or self._arrived() != self._arrivals

    def _arrived(self) -> int:
        try:
            return (self._folder / "arrivals").stat().st_size
        except OSError:
            return 0

    def _arrive(self) -> None:
        line = f"{self._owner}\n".encode("ascii")
        book = self._folder / "arrivals"
        if book.exists():
            regular_files.file(book)
        with book.open("ab") as file:
            file.write(line)
        self._arrivals += len(line)

    def _lost(self) -> bool:
        self.contested = True
        return False

    def _numbers(self, name: str) -> set[int]:
        return {int(path.suffix[1:]) for path in self._folder.glob(f"{name}.*")}

    def _is_given_up(self, name: str, number: int) -> bool:
        """Whether the owner of a claim is gone, or the claim itself is by now."""
        try:
            owner = regular_files.content(self._folder / f"{name}.{number}").decode("ascii", "replace")
        except OSError:
            return True
        if owners.is_gone(owner):
            return True
        beat, now = self._beat_of(owner), time.monotonic()
        last, since = self._watched.get((name, number, owner), (None, now))
        if beat != last:
            self._watched[name, number, owner] = beat, now
            return False
        return now - since > LEASE_SECONDS

    def _beat_of(self, owner: str) -> str:
        try:
            return regular_files.content(self._folder / f"{owner}.beat").decode("ascii", "replace")
        except OSError:
            return ""

    def _clear_beats(self) -> None:
        """Removes the beats of runs of this machine that are gone. Their claims stay, to be taken over."""
        for beat in self._folder.glob("*.beat"):
            if owners.is_gone(beat.name):
                with suppress(OSError):
                    beat.unlink()

    def _go_on_beating(self) -> None:
        count = 0
        while not self._ended.wait(BEAT_SECONDS):
            count += 1
            self._look_for_others()
            with suppress(OSError):  # whoever takes over then does the same work again
                self._beat.write_text(str(count), encoding="ascii")


@dataclass
class Share:
    """One job of a run that shares its work with others (see `run/executors/base.py`)."""

    claims: Claims
    work: str
    left: Callable[[Payload], Payload]
    """What of the job is left to do, asked once it is claimed."""
    on_wait: Callable[[], None]
    """Called whenever another run is found to have it."""
    _next_look: float = 0.0

    def take(self, payload: Payload) -> Payload | None:
        """What is left to do; None while another run is at it."""
        if time.monotonic() < self._next_look:
            return None
        if not self.claims.take(self.work):
            self._next_look = time.monotonic() + LOOK_SECONDS
            self.on_wait()
            return None
        return self.left(payload)

    def release(self) -> None:
        """The job has ended."""
        self.claims.release(self.work)
