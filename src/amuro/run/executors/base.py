"""A piece of work as an executor sees it: it knows no engine and no study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Event = Mapping[str, Any]
OnEvent = Callable[[Event], None]
Perform = Callable[[Mapping[str, Any], OnEvent], None]
"""Does one job, given its payload. Raises what it likes."""


POLL_SECONDS = 0.2
"""How often what others do is looked at."""


class Claim(Protocol):
    """The right to do a job, where several runs share the work."""

    def take(self, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What of the payload is left to do, empty where nothing is; None while another run is at it."""

    def release(self) -> None:
        """The job has ended, one way or the other."""


class Alone:
    """The claim where there is nobody else."""

    def take(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        return payload

    def release(self) -> None:
        """There is nothing to give back."""


ALONE = Alone()


@dataclass(frozen=True, slots=True)
class Job:
    """`payload` is plain data for the entry point; `ready` says whether what it needs exists by now."""

    name: str
    payload: Mapping[str, Any]
    ready: Callable[[], bool]
    claim: Claim = ALONE


class Queue:
    """Jobs that have not begun, in order."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = list(jobs)
        self.elsewhere = False
        """Whether one of them was last seen in the hands of another run: it ends there, or comes back."""

    def next(self) -> tuple[Job, Mapping[str, Any]] | None:
        """Takes the first job off that is ready and free, with what of it is left to do; None where there is none."""
        self.elsewhere = False
        for job in list(self.waiting):
            if not job.ready():
                continue
            left = job.claim.take(job.payload)
            if left is None:
                self.elsewhere = True
                continue
            self.waiting.remove(job)
            if left:
                return job, left
            job.claim.release()
        return None

    def lose(self, on_event: OnEvent) -> None:
        """Tells of the jobs that can never begin."""
        for job in self.waiting:
            on_event({"event": "lost", "job": job.name, "error": "waits for work that failed"})


def resolve(entry_point: str) -> Perform:
    """`module:function` → the function."""
    from importlib import import_module

    module, _, name = entry_point.partition(":")
    function: Perform = getattr(import_module(module), name)
    return function
