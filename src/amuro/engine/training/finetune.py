"""Tuning on prompts and answers: loss on the answer only, one optimiser step for every `batch_size` sequences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from amuro.core.errors import AmuroError
from amuro.core.types import Model, Recipe, Training
from amuro.engine.base import OnStep, Sequences
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import end_to_end, on_device
from amuro.engine.inference.batching import batches
from amuro.engine.training.cuda_graphs import Graphs, Pass
from amuro.engine.training.lora import Adapter, beside, draw_adapter

_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Most tokens a forward pass; a step of more is split without changing its loss or gradient."""

Dialogue = tuple[tuple[int, ...], ...]
"""Alternately prompt and answer: one pair for an ordinary example."""


def finetune(
    network: Network,
    sequences: Sequences,
    model: Model,
    learning_rate: float,
    on_step: OnStep,
    budget: int | None = None,
) -> Training:
    """Tune every parameter of `network` that wants a gradient, in place, without dropout.

    budget: tokens a forward pass, by the free memory where it is not given (the result does not depend on it beyond
    rounding). A sequence of more tokens is read with layers that forget their states and compute them again.
    Raises AmuroError where there is nothing to learn.
    """
    parameters = [parameter for parameter in network.model.parameters() if parameter.requires_grad]
    return _train(network, tuning_steps(network, sequences, model), parameters, learning_rate, on_step, budget)


def finetune_adapter(
    network: Network,
    sequences: Sequences,
    model: Model,
    learning_rate: float,
    on_step: OnStep,
    budget: int | None = None,
) -> tuple[Training, Adapter]:
    """Train a low-rank adapter beside the frozen weights of `network`, which are not touched. Arguments and errors as
    in `finetune`; also AmuroError where a target of the recipe is no linear layer.
    """
    steps = tuning_steps(network, sequences, model)
    adapter = draw_adapter(network.model, steps.recipe, model.tune_seed or 0)
    with beside(network.model, adapter):
        training = _train(network, steps, [adapter.flat], learning_rate, on_step, budget, in_place=True)
    return training, adapter.finished()


def _train(
    network: Network,
    tuning: TuningSteps,
    parameters: Sequence[torch.nn.Parameter],
    learning_rate: float,
    on_step: OnStep,
    budget: int | None,
    in_place: bool = False,
) -> Training:
    """Take the optimiser steps. in_place: gradients have memory of their own that must not be exchanged."""
    began = perf_counter()
    losses: list[float] = []
    budget = budget or token_budget(network)
    with network.recomputing(tuning.longest > budget):
        for loss in _losses(network, tuning, parameters, learning_rate, budget, in_place):
            losses.append(loss)
            on_step(len(losses), len(tuning.steps), loss)
    return tuning.training(losses, perf_counter() - began)


@dataclass(frozen=True)
class TuningSteps:
    """The sequences that one tuning reads, optimiser step by optimiser step."""

    recipe: Recipe
    steps: Sequence[Sequence[Dialogue]]
    """The sequences of each optimiser step."""
    longest: int
    """Tokens that the longest of them is read with."""

    def training(self, losses: Sequence[float], seconds: float) -> Training:
        """What the run left, after as many steps as there are losses."""
        read = [dialogue for step in self.steps[: len(losses)] for dialogue in step]
        return Training(
            losses=tuple(losses),
            steps=len(losses),
            tokens=sum(map(_length, read)),
            answer_tokens=sum(map(answer_length, read)),
            seconds=seconds,
            diverged_at=None if len(losses) == len(self.steps) else len(losses),
        )


def tuning_steps(network: Network, sequences: Sequences, model: Model) -> TuningSteps:
    """The steps of a tuning, in the order that `model.tune_seed` draws. Raises AmuroError where there are none."""
    recipe = _recipe(model)
    fitted = _checked(sequences, network.context_length)
    order = step_order(len(fitted), recipe.batch_size, recipe.epochs, model.tune_seed or 0)
    return TuningSteps(
        recipe=recipe,
        steps=[[fitted[index] for index in members] for members in order],
        longest=max(map(tokens_read, fitted)),
    )


def token_budget(network: Network) -> int:
    """Tokens a forward pass of training, by the device and its free memory."""
    return min(_TOKENS[network.device.type], network.tokens_in_memory(training=True))


def _losses(
    network: Network,
    tuning: TuningSteps,
    parameters: Sequence[torch.nn.Parameter],
    learning_rate: float,
    budget: int,
    in_place: bool,
) -> Iterator[float]:
    """Take the steps one by one; yields the loss of each, and ends before the first one that is not finite."""
    recipe, steps = tuning.recipe, tuning.steps
    optimizer = optimizer_of(parameters, recipe, learning_rate)
    graphs = Graphs(network, parameters, max(map(len, steps)), tuning.longest, budget, in_place)
    for number, step in enumerate(steps):
        optimizer.zero_grad(set_to_none=not in_place)
        tokens = sum(map(tokens_read, step))
        if graphs.takes(tokens):
            nats = graphs.backward(pass_of(step, answer_weights(step, step, recipe.weighting)))
        else:
            nats = _backward(network, step, recipe.weighting, budget)
        norm = gradient_norm(parameters)
        loss, length = torch.stack([nats, norm]).tolist()  # a GPU is waited for once a step
        if not (math.isfinite(loss) and math.isfinite(length)):
            break
        take_step(optimizer, learning_rate * rate_factor(number, len(steps), recipe), norm / recipe.max_grad_norm)
        yield loss
    optimizer.zero_grad(set_to_none=True)


def _checked(sequences: Sequences, length: int) -> list[Dialogue]:
    """The sequences themselves. Raises AmuroError where there is none, an empty part, or one of more than `length`."""
    if not sequences:
        raise AmuroError("there are no sequences to tune on", "check the training split")
    for number, dialogue in enumerate(sequences):
        if not dialogue or not all(dialogue):
            raise AmuroError(f"training sequence {number} has an empty prompt or answer", "check its row")
        if _length(dialogue) > length:
            what = f"training sequence {number} has {_length(dialogue)} tokens, the model reads {length}"
            raise AmuroError(what, "set a shorter max_length in the recipe")
    return list(sequences)


def _length(dialogue: Dialogue) -> int:
    return sum(map(len, dialogue))


def tokens_read(dialogue: Dialogue) -> int:
    """Tokens that a sequence is read with: its last one is only predicted."""
    return _length(dialogue) - 1


def answer_length(dialogue: Dialogue) -> int:
    return sum(map(len, dialogue[1::2]))


def step_order(sequences: int, batch_size: int, epochs: int, tune_seed: int) -> list[list[int]]:
    """Members of each optimiser step: a new permutation every epoch; its last step may be smaller."""
    rng = np.random.default_rng(tune_seed)
    order = []
    for _ in range(epochs):
        drawn = rng.permutation(sequences).tolist()
        order += [drawn[begin : begin + batch_size] for begin in range(0, sequences, batch_size)]
    return order


def rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the learning rate at `step` (from 0): as transformers' linear or constant schedule with warm-up."""
    warmup = math.ceil(recipe.warmup_ratio * steps)
    if step < warmup:
        return step / warmup
    return 1.0 if recipe.schedule == "constant" else (steps - step) / (steps - warmup)


def _recipe(model: Model) -> Recipe:
    if model.recipe is None:
        raise AmuroError(f"{model.address} has no recipe", "only a model with a recipe can be tuned")
    return model.recipe


def optimizer_of(parameters: Sequence[torch.nn.Parameter], recipe: Recipe, learning_rate: float) -> torch.optim.AdamW:
    """AdamW whose weight decay spares norms and biases, as is usual."""
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True)


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Euclidean length of all gradients together."""
    return torch.nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])


def take_step(optimizer: Any, rate: float, excess: Tensor) -> None:
    """One optimiser step at that learning rate, with gradients clipped inside the fused kernel.

    excess: gradient norm / max norm; gradients are divided by max(excess, 1), which spares clipping passes beforehand.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.grad_scale = excess.clamp(min=1.0)
    optimizer.step()


def _backward(network: Network, batch: Sequence[Dialogue], weighting: str, budget: int) -> Tensor:
    """Add the gradient of one step's loss; returns the loss in nats, a weighted mean over the answer tokens."""
    loss = torch.zeros((), device=network.device)
    for part in _parts(batch, budget):
        weights = answer_weights(part, batch, weighting)
        with network.autocast():
            nats = answer_nats(network, part)
        share = (nats * on_device(weights, network.device)).sum()
        torch.autograd.backward(share)
        loss += share.detach()
    return loss


def answer_weights(part: Sequence[Dialogue], batch: Sequence[Dialogue], weighting: str) -> NDArray[np.float32]:
    """What each answer token of some sequences counts in the loss of the step `batch`; a step's add up to 1."""
    total = sum(map(answer_length, batch))
    lengths = [n for dialogue in part for n in [answer_length(dialogue)] * answer_length(dialogue)]
    weights = [1 / total if weighting == "token" else 1 / (len(batch) * n) for n in lengths]
    return np.array(weights, dtype=np.float32)


def _parts(batch: Sequence[Dialogue], budget: int) -> Iterator[list[Dialogue]]:
    """The sequences of a step by rising length, in forward passes of at most `budget` tokens."""
    ordered = sorted(batch, key=_length)
    for chosen in batches([tokens_read(dialogue) for dialogue in ordered], budget):
        yield ordered[chosen]


def answer_nats(network: Network, part: Sequence[Dialogue]) -> Tensor:
    """Negative log-probability of every answer token, sequence after sequence."""
    given = pass_of(part)
    read = _read_packed if network.reads_layouts(max(map(len, given.rows))) else _read_padded
    logits = read(network, given)
    return cross_entropy(logits, network.tensor(given.targets), reduction="none")


def pass_of(part: Sequence[Dialogue], weights: NDArray[np.float32] | None = None) -> Pass:
    """What is read of some sequences, and what is learned from it."""
    return Pass(
        rows=[tuple(chain.from_iterable(dialogue))[:-1] for dialogue in part],
        wanted=[_answer_places(dialogue) for dialogue in part],
        targets=[token for dialogue in part for answer in dialogue[1::2] for token in answer],
        weights=np.ones(0, dtype=np.float32) if weights is None else weights,
    )


def _read_packed(network: Network, given: Pass) -> Tensor:
    """Logits at the wanted places of each row; the rows stand end to end and do not see each other."""
    packed = end_to_end(given.lengths, network.device)
    return network.logits(network.read(given.ids, given.positions, packed, given.flat_wanted))


def _read_padded(network: Network, given: Pass) -> Tensor:
    """The same from attention that reads no layouts. Padding stands on the right of causal rows: none needs a mask."""
    longest = max(map(len, given.rows))
    ids = network.tensor([[*row, *[0] * (longest - len(row))] for row in given.rows])
    row = network.tensor([number for number, own in enumerate(given.wanted) for _ in own])
    return network.row_logits(ids)[row, network.tensor(list(chain.from_iterable(given.wanted)))].float()


def _answer_places(dialogue: Dialogue) -> list[int]:
    """Positions whose next token belongs to an answer."""
    ends = list(accumulate(map(len, dialogue)))
    return [place - 1 for begin, end in zip(ends[::2], ends[1::2], strict=True) for place in range(begin, end)]
