"""Where the time goes: the busy share of the device and its largest kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import profile

import material
import tuning
from gpu.bench import Bench, Jobs
from gpu.clock import Facts, wait
from gpu.scored import first, questions
from gpu.spoken import prompts, spelled
from gpu.tuned import WARM, with_method

KERNELS = 12
"""Kernels that are named."""
SPANS = ("Optimizer.", "ProfilerStep")
"""What the profiler draws over kernels."""


def profiled(bench: Bench) -> Jobs:
    # The first profile of a process pays for the profiler.
    yield "warm-up", partial(_second, bench, lambda: torch.ones(8, device=bench.device).sum())
    for kind in ("labels", "options"):
        yield f"scoring {kind}", partial(_scoring, bench, kind)
    yield "tuning MNLI-like", partial(_tuning, bench)
    yield "generation", partial(_generation, bench)


def _scoring(bench: Bench, kind: str) -> Facts:
    engine, request_batch = bench.engines["bfloat16"], first(questions(bench, kind), bench.scale.scored[kind][0])
    return _second(bench, lambda: engine.score(request_batch))


def _generation(bench: Bench) -> Facts:
    """A few words of every row: the prompts' reading and some steps."""
    request_batch = replace(prompts(bench, "short prompts"), max_new_tokens=min(8, bench.scale.new_tokens))
    return _second(bench, lambda: bench.engines["bfloat16"].generate(request_batch, spelled))


def _tuning(bench: Bench) -> Facts:
    """Two steps after the warm-up."""
    facts, sequences = Facts(), material.training("MNLI-like", 8 * (WARM + 2))
    with ExitStack() as seen:

        def on_step(done: int, _all: int, _loss: float) -> None:
            if done == WARM:
                seen.enter_context(_profile(bench, facts))
            if done == WARM + 2:
                seen.close()

        bench.engines["bfloat16"].tune(sequences, with_method("full"), tuning.RATE, on_step)
    return facts


def _second(bench: Bench, work: Callable[[], object]) -> Facts:
    """Of the second pass."""
    facts = Facts()
    work()
    with _profile(bench, facts):
        work()
    return facts


@contextmanager
def _profile(bench: Bench, facts: Facts) -> Iterator[None]:
    """Fills `facts` when what is inside has run."""
    wait(bench.device)
    with profile() as seen:
        began = time.perf_counter()
        yield
        wait(bench.device)
        wall = time.perf_counter() - began
    facts |= {"wall_ms": 1e3 * wall, **_kernels(seen, bench.device, wall)}


def _kernels(seen: Any, device: str, wall: float) -> Facts:
    """wall: seconds. Kernels that run at once count twice; on a CPU these are operations, without those inside."""
    kind, time_of = (
        (DeviceType.CPU, "self_cpu_time_total") if device == "cpu" else (DeviceType.CUDA, "self_device_time_total")
    )
    kernels = [k for k in seen.key_averages() if k.device_type == kind and not k.key.startswith(SPANS)]
    took = {kernel.key: getattr(kernel, time_of) for kernel in kernels}  # microseconds
    largest = sorted(kernels, key=lambda kernel: -took[kernel.key])[:KERNELS]
    lines = [f"{took[k.key] / 1e3:9.3f} ms {k.count:6d} × {k.key[:90]}" for k in largest]
    return {"busy": sum(took.values()) / 1e6 / wall, "launched": sum(k.count for k in kernels), "kernels": lines}
