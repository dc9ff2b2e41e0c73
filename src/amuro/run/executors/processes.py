"""Runs jobs in worker processes on this machine. Each stays alive between jobs, so that start-up is paid once."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from amuro.core import stopping, streams
from amuro.core.errors import StoreError
from amuro.core.failures import of_exit, reason, trace
from amuro.run.executors.base import POLL_SECONDS, Job, OnEvent, Perform, Queue, resolve

GRACE_SECONDS = stopping.PATIENCE + 3
"""Seconds that workers have to save their work at the end; then they are killed."""
_PR_SET_PDEATHSIG = 1


@dataclass
class _Worker:
    """A worker process, its pipe and its current job."""

    process: BaseProcess
    pipe: Connection
    job: Job | None = None
    is_dead: bool = False


def execute(jobs: Sequence[Job], entry_point: str, workers: int, on_event: OnEvent) -> None:
    """Gives each idle worker the first job that is ready. Returns when all jobs have ended.

    If a worker dies, its job is reported as lost and the worker is replaced; one that dies idle costs nothing. If all
    remaining jobs are claimed by other runs, it waits for them. Whatever ends this function ends the workers:
    committed results stay, pre-training saves its state, and nothing else is visible.
    """
    queue = Queue(jobs)
    workers_alive = [_start(entry_point) for _ in range(min(workers, len(queue.waiting)))]
    try:
        while queue.waiting or any(worker.job for worker in workers_alive):
            _assign(queue, workers_alive, entry_point)
            if not (queue.elsewhere or any(worker.job for worker in workers_alive)):
                return queue.lose(on_event)
            _listen(workers_alive, on_event)
    finally:
        _dismiss(workers_alive)


def _dismiss(crew: Sequence[_Worker]) -> None:
    """Terminates all workers, waits for `GRACE_SECONDS` and kills the rest; kills at once if interrupted."""
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        for worker in crew:
            worker.process.terminate()
        for worker in crew:
            worker.process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in crew:
            worker.process.kill()


def _assign(queue: Queue, crew: list[_Worker], entry_point: str) -> None:
    """Gives jobs to idle workers. A worker that died is replaced if there is a job for it."""
    for place, worker in enumerate(crew):
        ready = None if worker.job else queue.next()
        if ready:
            job, payload = ready
            if not _give(worker, job, payload):
                crew[place] = _start(entry_point)
                _give(crew[place], job, payload)


def _give(worker: _Worker, job: Job, payload: Mapping[str, Any]) -> bool:
    """Sends a job to a worker; returns False if the worker is dead."""
    if worker.is_dead:
        return False
    worker.job = job
    try:
        worker.pipe.send(payload)
    except ConnectionError:
        return False
    return True


def _listen(crew: Sequence[_Worker], on_event: OnEvent) -> None:
    """Handles the events that have arrived; returns after at most `POLL_SECONDS`."""
    by_pipe = {worker.pipe: worker for worker in crew if not worker.is_dead}
    if not by_pipe:
        time.sleep(POLL_SECONDS)
    for pipe in wait(list(by_pipe), timeout=POLL_SECONDS):
        _receive(next(worker for known, worker in by_pipe.items() if known is pipe), on_event)


def _receive(worker: _Worker, on_event: OnEvent) -> None:
    """Handles one event of a worker, or its death. Raises StoreError if the store refused a result."""
    try:
        event: dict[str, Any] = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        worker.is_dead = True
        event = {"event": "lost", "error": of_exit(worker.process.exitcode)}
        if not worker.job:
            return
    if event["event"] == "refused":  # by the store: no later result could be stored either
        raise StoreError(event["message"], event["cure"])
    if worker.job and event["event"] in ("done", "lost"):
        event = {**event, "job": worker.job.name}
        worker.job.claim.release()
        worker.job = None
    on_event(event)


def _start(entry_point: str) -> _Worker:
    """Starts a worker process."""
    context = multiprocessing.get_context("spawn")  # fork would copy the threads of torch and polars
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, entry_point), daemon=True)
    _start_deaf(process)
    theirs.close()
    return _Worker(process, ours)


def _start_deaf(process: BaseProcess) -> None:
    """Starts a process that ignores Ctrl-C from its first moment on: only the driver handles it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, entry_point: str) -> None:
    """Runs in the worker process: does jobs from the pipe until the driver closes it or stops the process."""
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
    """Runs one job and reports its end or its error."""
    try:
        perform(payload, pipe.send)
        pipe.send({"event": "done"})
    except BrokenPipeError:
        raise
    except StoreError as error:
        pipe.send({"event": "refused", "message": error.message, "cure": error.cure})
    except Exception as error:
        pipe.send({"event": "lost", "error": reason(error), "trace": trace(error)})


def _die_with_parent() -> None:
    """Makes the kernel kill this worker if the driver is killed (Linux only)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
