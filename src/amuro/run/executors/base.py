"""Jobs as executors see them: an executor knows no engine and no study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Event = Mapping[str, Any]
OnEvent = Callable[[Event], None]
Perform = Callable[[Mapping[str, Any], OnEvent], None]
"""Does one job, given its payload. May raise anything."""


POLL_SECONDS = 0.2
"""Seconds between two looks at claims of other runs."""


class Claim(Protocol):
    """The right to do a job when several runs share the work."""

    def take(self, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Returns what is left of the payload, empty if nothing; None while another run has the job."""

    def release(self) -> None:
        """Called when the job has ended, successfully or not."""


class Alone:
    """The claim of a run that shares its work with no other."""

    def take(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the whole payload."""
        return payload

    def release(self) -> None:
        """Does nothing."""


ALONE = Alone()


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `payload`: plain data for the entry point; `ready` returns whether what the job needs exists."""

    name: str
    payload: Mapping[str, Any]
    ready: Callable[[], bool]
    claim: Claim = ALONE


class Queue:
    """The jobs that have not started, in order."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = list(jobs)
        self.elsewhere = False
        """Whether one of them was last seen in the hands of another run: it ends there, or comes back."""

    def next(self) -> tuple[Job, Mapping[str, Any]] | None:
        """Removes the first job that is ready and not claimed by another run; returns it with what is left to do.

        Returns None if there is no such job.
        """
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
        """Reports the jobs that can never start."""
        for job in self.waiting:
            on_event({"event": "lost", "job": job.name, "error": "waits for work that failed"})


def resolve(entry_point: str) -> Perform:
    """Returns the function that `module:function` names."""
    from importlib import import_module

    module, _, name = entry_point.partition(":")
    function: Perform = getattr(import_module(module), name)
    return function
