"""One job after the other in this process: for the toy engine, for tests and for debugging."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from amuro.errors import AmuroError, StoreError
from amuro.executors.job import Job, OnEvent, resolve
from amuro.failures import reason


def execute(jobs: Sequence[Job], entry_point: str, workers: int, on_event: OnEvent) -> None:
    """Runs the jobs in order; a job that fails is reported and the next one starts, unless the store refuses."""
    perform = resolve(entry_point)
    for job in jobs:
        try:
            if not job.ready():
                raise AmuroError("waits for work that failed")
            perform(job.payload, on_event)
            on_event({"event": "done", "job": job.name})
        except StoreError:
            raise  # nothing that follows could be kept
        except Exception as error:
            on_event({"event": "lost", "job": job.name, "error": reason(error), "trace": traceback.format_exc()})
