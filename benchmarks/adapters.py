"""Prints what low-rank adapters take a run and step: in peft's layers and in ours.

Usage: .venv/bin/python benchmarks/adapters.py [--device cuda] [--precision bfloat16] [--runs 4] [--batch 8]
       [--steps 12] [--rounds 5]
On a CPU its one thread's seconds, on CUDA those of the clock; rounds alternate between the ways. MNLI-like lengths.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from peft import LoraConfig, get_peft_model

import material
from amuro.core.requests import Training
from amuro.core.types import Model
from amuro.engine._load import load_network
from amuro.engine.base import Sequences
from amuro.engine.forward.causal_lm import Network
from amuro.engine.training.finetune import finetune, finetune_adapter

RATE = 1e-3


class Tuning(NamedTuple):
    """One tuning that is wanted."""

    sequences: Sequences
    model: Model


def wanted(seed: int, batch: int, steps: int) -> Tuning:
    """A tuning of its own seed over `steps` steps."""
    model = material.tuned("MNLI-like")
    assert model.recipe is not None
    recipe = replace(model.recipe, method="lora", batch_size=batch)
    return Tuning(material.training("MNLI-like", batch * steps), replace(model, recipe=recipe, tune_seed=seed))


def in_peft(network: Network, tuning: Tuning) -> Training:
    """The tuning in peft's layers; the model is its own again afterwards."""
    config = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(tuning.model.tune_seed or 0)
        adapted = get_peft_model(network.model, config)
    # A new network, because one remembers the modules of its last layer.
    fresh = Network(network.model, network.precision, network.device)
    training = finetune(fresh, tuning.sequences, tuning.model, RATE, lambda *_: None)
    adapted.unload().requires_grad_(True)
    return training


def ways(network: Network, tunings: list[Tuning]) -> dict[str, Callable[[], list[Training]]]:
    return {
        "peft": lambda: [in_peft(network, tuning) for tuning in tunings],
        "amuro": lambda: [finetune_adapter(network, *tuning, RATE, lambda *_: None)[0] for tuning in tunings],
    }


def seconds(network: Network, work: Callable[[], list[Training]]) -> tuple[float, list[Training]]:
    """What the work takes, and what it gives."""
    cuda = network.device.type == "cuda"
    clock = time.perf_counter if cuda else time.process_time
    began = clock()
    found = work()
    if cuda:
        torch.cuda.synchronize()
    return clock() - began, found


def measure(network: Network, runs: list[Tuning], steps: int, rounds: int) -> None:
    found = {name: seconds(network, work)[1] for name, work in ways(network, runs).items()}  # warms up
    pairs = [zip(found["amuro"], found[name], strict=True) for name in found]
    apart = max(abs(a - b) for pair in pairs for t, o in pair for a, b in zip(t.losses, o.losses, strict=True))
    taken: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, work in ways(network, runs).items():
            taken[name].append(1000 * seconds(network, work)[0] / len(runs) / steps)
    told = "  ".join(f"{name}: {median(each):.1f} (least {min(each):.1f})" for name, each in taken.items())
    print(f"{len(runs)} runs, ms a run and step  {told}  losses differ by {apart:.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--model", default="S")
    parser.add_argument("--runs", default="4")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        network = load_network(material.model_folder(asked.model, Path(root)), asked.precision, asked.device)
        for count in map(int, asked.runs.split(",")):
            runs = [wanted(seed, asked.batch, asked.steps) for seed in range(count)]
            measure(network, runs, asked.steps, asked.rounds)


if __name__ == "__main__":
    main()
