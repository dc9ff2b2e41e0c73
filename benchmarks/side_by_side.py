"""Measuring on a shared machine: all variants loop side by side on one core, and their CPU seconds are counted.

Timing one variant after the other gives ratios that are wrong by up to 2× where other work comes and goes. Here

1. every variant lives in a process of its own (spawned, one thread), and all are pinned to the same core;
2. every variant gives its outputs, and nothing is timed unless they are equal;
3. in each round all start at one barrier and repeat their pass until the slowest has finished one, so that each
   suffers from the others alike; a round's cost is CPU seconds a unit (document, example, step);
4. a ratio is the mean cost of one over the mean cost of the other, with Fieller's 95 % interval over rounds. The
   figure that counts is the lower end;
5. a loop of matrix products runs beside them: what the core gives at that moment is the roofline.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from threading import BrokenBarrierError
from typing import Any, Protocol

import numpy as np
from scipy.stats import t as student

ROOFLINE = "matmul"
_PATIENCE = 5
"""Seconds that a process may take to end by itself."""


class UnequalError(Exception):
    """Two variants do not compute the same: there is nothing to compare."""


@dataclass(frozen=True)
class Done:
    """What one pass did."""

    units: float
    seconds: float
    """CPU seconds of this process."""


class Job(Protocol):
    """The work of one variant, set up in its own process."""

    flops: float
    """Floating-point operations that a unit needs at the least; 0 where nobody asks."""

    def outputs(self) -> Any:
        """What is compared before anything is timed."""

    def once(self) -> Done:
        """One pass over the timed material."""


@dataclass(frozen=True)
class Variant:
    """A name and how to set up its work; `prepare` must be picklable."""

    name: str
    prepare: Callable[[], Job]


@dataclass(frozen=True)
class Interval:
    """A ratio and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass
class Costs:
    """CPU seconds a unit of every variant in every round, and the least operations a unit."""

    flops: Mapping[str, float]
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def mean(self, name: str) -> float:
        return float(np.mean(self.rounds[name]))

    def ratio(self, slow: str, fast: str) -> Interval:
        """How many times the cost of `fast` is the cost of `slow`."""
        return fieller(self.rounds[slow], self.rounds[fast])

    def roofline_share(self, name: str) -> Interval:
        """Needed operations over time, against the rate of the loop of matrix products beside it."""
        return fieller([cost * self.flops[name] for cost in self.rounds[ROOFLINE]], self.rounds[name])


def timed(units: float, work: Callable[[], object]) -> Done:
    """Runs `work` once and counts its CPU time."""
    began = time.process_time()
    work()
    return Done(units, time.process_time() - began)


def fieller(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Ratio of the means of paired values, with Fieller's 95 % interval (open where `below` may be 0)."""
    pairs, count = np.array([above, below], dtype=float), len(above)
    (y, x), value = pairs.mean(axis=1), float(pairs[0].mean() / pairs[1].mean())
    if count < 2:
        return Interval(value, 0.0, math.inf)
    (vyy, vxy), (_, vxx) = np.cov(pairs) * student.ppf(0.975, count - 1) ** 2 / count
    a, b, c = x * x - vxx, x * y - vxy, y * y - vyy
    if a <= 0:
        return Interval(value, 0.0, math.inf)
    spread = math.sqrt(max(b * b - a * c, 0.0))
    return Interval(value, float((b - spread) / a), float((b + spread) / a))


class Matmul:
    """The roofline: square matrix products, one after the other."""

    flops = 1.0

    def __init__(self, dtype: str = "float32", size: int = 1024, products: int = 8) -> None:
        import torch

        self._left = torch.randn(size, size).to(getattr(torch, dtype))
        self._out, self._products, self._torch = torch.empty_like(self._left), products, torch

    def outputs(self) -> None:
        """Nothing to compare."""

    def once(self) -> Done:
        """A few products; the unit is a floating-point operation."""
        return timed(2.0 * self._products * len(self._left) ** 3, self._multiply)

    def _multiply(self) -> None:
        for _ in range(self._products):
            self._torch.mm(self._left, self._left, out=self._out)


def measure(
    variants: Sequence[Variant],
    equal: Callable[[Mapping[str, Any]], None],
    rounds: int,
    core: int | None = None,
) -> Costs:
    """Checks that outputs are equal (`equal` raises UnequalError otherwise), then times `rounds` rounds on one core."""
    crew = _Crew(variants, _last_core() if core is None else core)
    try:
        given = crew.hear()
        equal({variant.name: outputs for variant, (outputs, _) in zip(variants, given, strict=True)})
        costs = Costs({variant.name: flops for variant, (_, flops) in zip(variants, given, strict=True)})
        crew.say(rounds)
        for _ in range(rounds):
            for variant, cost in zip(variants, crew.hear(), strict=True):
                costs.rounds.setdefault(variant.name, []).append(cost)
        return costs
    finally:
        crew.dismiss()


def outputs_of(variant: Variant) -> Any:
    """What one variant computes, in a process of its own; nothing is timed."""
    crew = _Crew([variant], _last_core())
    try:
        return crew.hear()[0][0]
    finally:
        crew.dismiss()


def _last_core() -> int:
    return max(os.sched_getaffinity(0))


class _Crew:
    """The processes of all variants."""

    def __init__(self, variants: Sequence[Variant], core: int) -> None:
        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
        context = multiprocessing.get_context("spawn")
        # Kept: the operating system forgets a barrier whose last owner is gone, even while a child still starts.
        self._shared = context.Barrier(len(variants)), context.Value("i", 0)
        self._names = [variant.name for variant in variants]
        self._ends, self._processes = [], []
        for variant in variants:
            here, there = context.Pipe()
            process = context.Process(
                target=_work, args=(variant, core, there, *self._shared, len(variants)), daemon=True
            )
            process.start()
            there.close()
            self._ends.append(here)
            self._processes.append(process)

    def hear(self) -> list[Any]:
        """One message of every process. Raises RuntimeError with the traceback of one that failed."""
        return [self._hear_one(name, end) for name, end in zip(self._names, self._ends, strict=True)]

    def _hear_one(self, name: str, end: Connection) -> Any:
        try:
            went_well, message = end.recv()
        except EOFError:
            raise RuntimeError(f"{name} ended without a word") from None
        if not went_well:
            raise RuntimeError(f"{name} failed:\n{message}")
        return message

    def say(self, message: object) -> None:
        for end in self._ends:
            end.send(message)

    def dismiss(self) -> None:
        """Lets all end; whoever has not after some seconds is stopped."""
        self._shared[0].abort()
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join(_PATIENCE)
            process.terminate()
            process.join()


def _work(variant: Variant, core: int, end: Connection, barrier: Any, finished: Any, crew: int) -> None:
    """A variant's process: set up, give outputs, then the rounds."""
    try:
        os.sched_setaffinity(0, {core})
        _single_thread()
        job = variant.prepare()
        end.send((True, (job.outputs(), job.flops)))
        for number in range(1, end.recv() + 1):
            end.send((True, _round(job, number * crew, barrier, finished)))
        end.recv()  # stay until dismissed
    except (EOFError, BrokenPipeError, BrokenBarrierError):
        return  # dismissed
    except BaseException:
        end.send((False, traceback.format_exc()))


def _single_thread() -> None:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


def _round(job: Job, wanted: int, barrier: Any, finished: Any) -> float:
    """Passes until every process has finished at least one; CPU seconds a unit."""
    barrier.wait()
    passes = [job.once()]
    with finished.get_lock():
        finished.value += 1
    while finished.value < wanted:
        passes.append(job.once())
    return sum(done.seconds for done in passes) / sum(done.units for done in passes)
