"""One job after the other in this process: for the toy engine, for tests and for debugging."""

from __future__ import annotations

from collections.abc import Sequence

from amuro.errors import AmuroError, StoreError
from amuro.executors.job import Job, OnEvent, resolve


def execute(jobs: Sequence[Job], entry_point: str, workers: int, on_event: OnEvent) -> None:
    """Runs the jobs in order; a job that fails is reported and the next one starts, unless the store refuses."""
    perform = resolve(entry_point)
    for job in jobs:
        try:
            if not job.ready():
                raise AmuroError(f"{job.name} waits for work that failed", cure="see the first failure above")
            perform(job.payload, on_event)
            on_event({"event": "done", "job": job.name})
        except StoreError:
            raise  # nothing that follows could be kept
        except AmuroError as error:
            on_event({"event": "lost", "job": job.name, "error": str(error)})
