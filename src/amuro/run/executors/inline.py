"""Runs jobs one after the other in this process: for the toy engine, for tests and for debugging."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from amuro.core.errors import StoreError
from amuro.core.failures import reason, trace
from amuro.run.executors.base import POLL_SECONDS, Job, OnEvent, Perform, Queue, resolve


def execute(jobs: Sequence[Job], entry_point: str, workers: int, on_event: OnEvent) -> None:
    """Runs the jobs in order. A job that fails is reported and the next one starts; a StoreError ends the run.

    If all remaining jobs are claimed by other runs, it waits for them.
    """
    perform, queue = resolve(entry_point), Queue(jobs)
    while (ready := queue.next()) or queue.elsewhere:
        if ready:
            _do(perform, *ready, on_event)
        else:
            time.sleep(POLL_SECONDS)
    queue.lose(on_event)


def _do(perform: Perform, job: Job, payload: Mapping[str, Any], on_event: OnEvent) -> None:
    """Runs one job and reports its end."""
    try:
        perform(payload, on_event)
        on_event({"event": "done", "job": job.name})
    except StoreError:
        raise  # no later result could be stored either
    except Exception as error:
        on_event({"event": "lost", "job": job.name, "error": reason(error), "trace": trace(error)})
    finally:
        job.claim.release()
