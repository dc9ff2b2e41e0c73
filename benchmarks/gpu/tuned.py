"""Tuning beside transformers' Trainer: 8 examples a step in the same order, float32 weights under bfloat16 autocast."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import material
import peers
import tuning
from amuro.core.types import Model
from amuro.engine.base import Sequences
from gpu.bench import Bench, Jobs
from gpu.clock import Facts, middle, tidy, wait
from gpu.equal import apart

WARM = 16
"""Optimiser steps before the clock starts: enough for amuro to have recorded the shapes that come often."""


@dataclass
class Wall(peers.Clock):
    """Wall time; waits for the device where the timed steps begin and end."""

    device: str = "cpu"
    steps: int = 0

    def tick(self, loss: float) -> None:
        if len(self.ends) + 1 in (WARM, self.steps):
            wait(self.device)
        self.ends.append(time.perf_counter())
        self.losses.append(loss)

    @property
    def seconds(self) -> float:
        """A step."""
        return (self.ends[-1] - self.ends[WARM - 1]) / (self.steps - WARM)


def tuned(bench: Bench) -> Jobs:
    for kind in bench.scale.tuned:
        yield f"{kind}, amuro", partial(_timed, bench, kind, by_amuro)
        yield f"{kind}, Trainer", partial(_timed, bench, kind, _by_fresh_trainer)
        yield f"{kind}, amuro LoRA", partial(_timed, bench, kind, partial(by_amuro, method="lora"))
        yield f"{kind}, distance", partial(_distance, bench, kind)


def with_method(method: str) -> Model:
    """A tuning at 8 examples a step, full or lora."""
    model = material.tuned("benchmark")
    assert model.recipe is not None
    return replace(model, recipe=replace(model.recipe, method=method))


def by_amuro(bench: Bench, sequences: Sequences, method: str = "full", precision: str = "bfloat16") -> Wall:
    """From the weights that are there: time does not depend on them."""
    tidy()  # what the last pass recorded
    clock = Wall(device=bench.device, steps=len(sequences) // 8)
    ordered = tuning.in_step_order(sequences)
    bench.engines[precision].tune(ordered, with_method(method), tuning.RATE, lambda _done, _all, loss: clock.tick(loss))
    return clock


def _by_fresh_trainer(bench: Bench, sequences: Sequences, **arguments: Any) -> Wall:
    """From the weights before any tuning: accelerate wraps a model for good, so each pass has its own."""
    tidy()  # of the last pass' model, which only cycles hold
    return by_trainer(bench, bench.built(), sequences, tuning.RATE, True, **arguments)


def by_trainer(bench: Bench, model: Any, sequences: Sequences, rate: float, half: bool, **arguments: Any) -> Wall:
    """Tunes `model`; half: under autocast."""
    peers.quiet()
    clock = Wall(device=bench.device, steps=len(sequences) // 8)
    recipe, on_cpu = with_method("full").recipe, bench.device == "cpu"
    assert recipe is not None
    places = {"use_cpu": on_cpu, "dataloader_pin_memory": not on_cpu}
    peers.train(model, sequences, recipe, rate, half, clock, **places, **arguments)
    return clock


def _timed(bench: Bench, kind: str, run: Callable[[Bench, Sequences], Wall]) -> Facts:
    """Tokens count without padding on both sides."""
    steps = bench.scale.tuned[kind]
    sequences = material.training(kind, 8 * (WARM + steps))
    read = sequences[8 * WARM :]
    tokens = sum(len(part) for dialogue in read for part in dialogue) / steps
    flops = 3 * tuning.forward_flops(read, bench.model.config, bench.engines["bfloat16"].flops_per_token()) / steps
    seconds, facts = middle([run(bench, sequences).seconds for _ in range(bench.scale.passes)])
    of_matmul = flops / seconds / bench.rate
    return {"step_ms": 1e3 * seconds, "tokens_s": tokens / seconds, "of_matmul": of_matmul, **facts}


def _distance(bench: Bench, kind: str) -> Facts:
    """First losses from the same weights: bfloat16 on both sides against amuro in float32."""
    sequences = material.training(kind, 8 * (WARM + 2))

    def losses(run: Callable[[Bench, Sequences], Wall]) -> list[tuple[float, ...]]:
        bench.reset()
        return [tuple(run(bench, sequences).losses)]

    exact, ours = losses(partial(by_amuro, precision="float32")), losses(by_amuro)
    theirs = losses(partial(_by_fresh_trainer, logging_strategy="steps"))
    return {**apart(ours, theirs, exact), "steps": len(exact[0])}
