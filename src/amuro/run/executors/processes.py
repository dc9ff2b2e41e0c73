"""Live worker processes on this machine, one job each at a time, so that nobody pays for start-up twice."""

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
"""How long workers may take to save what they have in hand; then they are killed."""
_PR_SET_PDEATHSIG = 1


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None
    is_dead: bool = False


def execute(jobs: Sequence[Job], entry_point: str, workers: int, on_event: OnEvent) -> None:
    """Gives each idle worker the first job that is ready. Returns when all jobs have ended.

    A worker that dies loses its job, which is reported, and is replaced; one that dies idle costs nothing. While all
    that is left is in the hands of other runs, it waits for them. Whatever ends this function ends the workers: what
    they had committed stays, pre-training saves its state, and nothing of the rest is visible.
    """
    queue = Queue(jobs)
    crew = [_start(entry_point) for _ in range(min(workers, len(queue.waiting)))]
    try:
        while queue.waiting or any(worker.job for worker in crew):
            _assign(queue, crew, entry_point)
            if not (queue.elsewhere or any(worker.job for worker in crew)):
                return queue.lose(on_event)
            _listen(crew, on_event)
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


def _assign(queue: Queue, crew: list[_Worker], entry_point: str) -> None:
    """Work for the idle. One that died in the meantime is replaced when there is work for it."""
    for place, worker in enumerate(crew):
        found = None if worker.job else queue.next()
        if found:
            job, payload = found
            if not _give(worker, job, payload):
                crew[place] = _start(entry_point)
                _give(crew[place], job, payload)


def _give(worker: _Worker, job: Job, payload: Mapping[str, Any]) -> bool:
    """Whether the worker was there to take the job."""
    if worker.is_dead:
        return False
    worker.job = job
    try:
        worker.pipe.send(payload)
    except ConnectionError:
        return False
    return True


def _listen(crew: Sequence[_Worker], on_event: OnEvent) -> None:
    by_pipe = {worker.pipe: worker for worker in crew if not worker.is_dead}
    if not by_pipe:
        time.sleep(POLL_SECONDS)
    for pipe in wait(list(by_pipe), timeout=POLL_SECONDS):
        _receive(next(worker for known, worker in by_pipe.items() if known is pipe), on_event)


def _receive(worker: _Worker, on_event: OnEvent) -> None:
    try:
        event: dict[str, Any] = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        worker.is_dead = True
        event = {"event": "lost", "error": of_exit(worker.process.exitcode)}
        if not worker.job:
            return
    if event["event"] == "refused":  # the store: nothing that follows could be kept
        raise StoreError(event["message"], event["cure"])
    if worker.job and event["event"] in ("done", "lost"):
        event = {**event, "job": worker.job.name}
        worker.job.claim.release()
        worker.job = None
    on_event(event)


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
        pipe.send({"event": "lost", "error": reason(error), "trace": trace(error)})


def _die_with_parent() -> None:
    """A killed driver cannot stop its workers; the kernel can."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
