"""Live worker processes on this machine, one job each at a time, so that nobody pays for start-up twice."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from amuro import stopping, streams
from amuro.errors import StoreError
from amuro.executors.job import Job, OnEvent, Perform, resolve
from amuro.failures import of_exit, reason

POLL_SECONDS = 0.2
GRACE_SECONDS = stopping.PATIENCE + 3
"""How long workers may take to save what they have in hand; then they are killed."""
_PR_SET_PDEATHSIG = 1


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None


def execute(jobs: Sequence[Job], entry_point: str, workers: int, on_event: OnEvent) -> None:
    """Gives each idle worker the first job that is ready. Returns when all jobs have ended.

    A worker that dies loses its job, which is reported, and is replaced. Whatever ends this function ends the
    workers: what they had committed stays, pre-training saves its state, and nothing of the rest is visible.
    """
    waiting = list(jobs)
    crew = [_start(entry_point) for _ in range(min(workers, len(waiting)))]
    try:
        while waiting or any(worker.job for worker in crew):
            _assign(waiting, crew)
            if not any(worker.job for worker in crew):
                return _lose(waiting, on_event)
            for pipe in wait([worker.pipe for worker in crew], timeout=POLL_SECONDS):
                index = next(i for i, worker in enumerate(crew) if worker.pipe is pipe)
                crew[index] = _receive(crew[index], entry_point, on_event)
    finally:
        _dismiss(crew)


def _dismiss(crew: Sequence[_Worker]) -> None:
    """Asks all workers to end, waits, and kills what is left; at once where this is interrupted as well."""
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        for worker in crew:
            worker.process.terminate()
        for worker in crew:
            worker.process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in crew:
            worker.process.kill()


def _assign(waiting: list[Job], crew: list[_Worker]) -> None:
    for worker in crew:
        job = next((job for job in waiting if job.ready()), None) if worker.job is None else None
        if job is not None:
            waiting.remove(job)
            worker.job = job
            worker.pipe.send(job.payload)


def _lose(waiting: list[Job], on_event: OnEvent) -> None:
    for job in waiting:
        on_event({"event": "lost", "job": job.name, "error": "waits for work that failed"})


def _receive(worker: _Worker, entry_point: str, on_event: OnEvent) -> _Worker:
    try:
        event: dict[str, Any] = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        lost = worker.job.name if worker.job else "an idle worker"
        on_event({"event": "lost", "job": lost, "error": of_exit(worker.process.exitcode)})
        return _start(entry_point)
    if event["event"] == "refused":  # the store: nothing that follows could be kept
        raise StoreError(event["message"], event["cure"])
    if worker.job and event["event"] in ("done", "lost"):
        event = {**event, "job": worker.job.name}
        worker.job = None
    on_event(event)
    return worker


def _start(entry_point: str) -> _Worker:
    context = multiprocessing.get_context("spawn")  # fork would copy the threads of torch and polars
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, entry_point), daemon=True)
    _start_deaf(process)
    theirs.close()
    return _Worker(process, ours)


def _start_deaf(process: BaseProcess) -> None:
    """Starts a process to which Ctrl-C means nothing from its first moment on: it is the driver's to handle."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, entry_point: str) -> None:
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    streams.mend()
    try:
        stopping.heed(patient=True)
        perform = resolve(entry_point)
        while True:
            _do(perform, pipe.recv(), pipe)
    except (EOFError, BrokenPipeError, stopping.Stopped):
        return  # the driver has gone, or wants this process to go


def _do(perform: Perform, payload: Any, pipe: Connection) -> None:
    """One job; whatever goes wrong in it is told and ends nothing else."""
    try:
        perform(payload, pipe.send)
        pipe.send({"event": "done"})
    except BrokenPipeError:
        raise
    except StoreError as error:
        pipe.send({"event": "refused", "message": error.message, "cure": error.cure})
    except Exception as error:
        pipe.send({"event": "lost", "error": reason(error), "trace": traceback.format_exc()})


def _die_with_parent() -> None:
    """A killed driver cannot stop its workers; the kernel can."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
