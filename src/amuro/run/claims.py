"""Claims: how several runs that share a store divide the work. A claim is a file that only one of them can create.

    claims/NAME.7          the seventh claim on one piece of work; contains the name of its owner
    claims/OWNER.beat      a counter that the owner increases every few seconds while it runs
    claims/arrivals        one line per run that ever started, so that runs which ended meanwhile are noticed

A claim is taken over, by creating the next number, if its owner no longer exists: at once if the owner was a process
of this machine, otherwise after its counter has not changed for a lease, by this process's own clock. No clock of
another machine and no lock of a file system is needed.

Claims only save work: if two runs do the same work, the first result that is published counts.
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
"""Seconds between two attempts at work that another run has claimed."""
LEASE_SECONDS = 60.0
"""Seconds without a beat after which an owner counts as gone. If it was only paused, its later results do no harm."""

Payload = Mapping[str, Any]


class Claims:
    """The claims of one run. Inside `with` it beats; at the end all its claims are released."""

    def __init__(self, root: Path) -> None:
        """`root`: a store that is open for writing. Make this object before you look up what is missing."""
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
        """Starts the beat and records the arrival of this run."""
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
        """Stops the beat and releases all claims."""
        self._ended.set()
        self._heart.join()
        for work in list(self._held):
            self.release(work)
        with suppress(OSError):
            self._beat.unlink()

    def take(self, work: str) -> bool:
        """Claims a piece of work; returns False if another live run has it, True also if this run has it already."""
        if work in self._held:
            return True
        self._look_for_others()
        name = digest(work)[:32]
        before = self._numbers(name)
        number = max(before, default=0)
        self.contested |= number > 0
        if number and not self._is_given_up(name, number):
            return False
        claim = self._folder / f"{name}.{number + 1}"
        if not self._create(claim):
            return self._lost()
        if self._numbers(name) - before - {number + 1}:  # another run released and claimed it again meanwhile
            claim.unlink(missing_ok=True)
            return self._lost()
        self._held[work] = number + 1
        return True

    def release(self, work: str) -> None:
        """Releases a claim, whether or not the work is done, and removes older claims on the same work."""
        if work not in self._held:
            return
        name, held = digest(work)[:32], self._held.pop(work)
        for number in sorted(n for n in self._numbers(name) if n <= held):
            with suppress(OSError):
                (self._folder / f"{name}.{number}").unlink()

    def _create(self, claim: Path) -> bool:
        """Creates a claim file; returns False if it exists."""
        with disk.writing("a claim", self._root):
            try:
                with claim.open("x", encoding="ascii") as file:
                    file.write(self._owner)
            except FileExistsError:
                return False
        return True

    def _look_for_others(self) -> None:
        """Sets `contested` if another run is alive or has started since."""
        others = any(path != self._beat for path in self._folder.glob("*.beat"))
        self.contested |= others or self._arrived() != self._arrivals

    def _arrived(self) -> int:
        """Returns the size of `arrivals` in bytes; 0 if it does not exist."""
        try:
            return (self._folder / "arrivals").stat().st_size
        except OSError:
            return 0

    def _arrive(self) -> None:
        """Appends this run to `arrivals`."""
        line = f"{self._owner}\n".encode("ascii")
        arrivals = self._folder / "arrivals"
        if arrivals.exists():
            regular_files.file(arrivals)
        with arrivals.open("ab") as file:
            file.write(line)
        self._arrivals += len(line)

    def _lost(self) -> bool:
        """Records that another run was faster; returns False."""
        self.contested = True
        return False

    def _numbers(self, name: str) -> set[int]:
        """Returns the numbers of the claims on a piece of work."""
        return {int(path.suffix[1:]) for path in self._folder.glob(f"{name}.*")}

    def _is_given_up(self, name: str, number: int) -> bool:
        """Whether the owner of a claim is gone, or the claim no longer exists."""
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
        """Returns the counter of an owner; '' if it has none."""
        try:
            return regular_files.content(self._folder / f"{owner}.beat").decode("ascii", "replace")
        except OSError:
            return ""

    def _clear_beats(self) -> None:
        """Removes the counters of gone runs of this machine. Their claims remain, to be taken over."""
        for beat in self._folder.glob("*.beat"):
            if owners.is_gone(beat.name):
                with suppress(OSError):
                    beat.unlink()

    def _go_on_beating(self) -> None:
        """Increases the counter until the run ends."""
        count = 0
        while not self._ended.wait(BEAT_SECONDS):
            count += 1
            self._look_for_others()
            with suppress(OSError):  # at worst another run takes over and repeats the work
                self._beat.write_text(str(count), encoding="ascii")


@dataclass
class Share:
    """The claim on one job of a run (see `Claim` in `run/executors/base.py`)."""

    claims: Claims
    work: str
    left: Callable[[Payload], Payload]
    """Returns what is left of the job; called once it is claimed."""
    on_wait: Callable[[], None]
    """Called each time another run is found to have the job."""
    _next_look: float = 0.0

    def take(self, payload: Payload) -> Payload | None:
        """Returns what is left of the job, empty if nothing; None while another run has it."""
        if time.monotonic() < self._next_look:
            return None
        if not self.claims.take(self.work):
            self._next_look = time.monotonic() + LOOK_SECONDS
            self.on_wait()
            return None
        return self.left(payload)

    def release(self) -> None:
        """Releases the claim when the job has ended."""
        self.claims.release(self.work)
