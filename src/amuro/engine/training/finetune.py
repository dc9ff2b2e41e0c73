"""Fine-tuning on prompts and answers: loss on answer tokens only, one optimiser step per `batch_size` sequences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from amuro.core.errors import AmuroError
from amuro.core.requests import Training
from amuro.core.types import Model, Recipe
from amuro.engine.base import OnStep, Sequences
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import end_to_end, on_device
from amuro.engine.inference.batching import batches
from amuro.engine.training.cuda_graphs import GraphedPasses, Pass
from amuro.engine.training.lora import Adapter, beside, draw_adapter
from amuro.engine.training.optimizer import gradient_norm, optimizer_of, rate_factor, take_step

_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Maximum tokens per forward pass; a larger step is split (gradient accumulation), with the same loss and gradient."""

Dialogue = tuple[tuple[int, ...], ...]
"""Token ids, alternately of prompts and answers: one pair for an ordinary example."""


def finetune(
    network: Network,
    sequences: Sequences,
    model: Model,
    learning_rate: float,
    on_step: OnStep,
    budget: int | None = None,
) -> Training:
    """Fine-tune all parameters of `network` that require a gradient, in place, without dropout.

    model: names the recipe and the seed. on_step: called after each optimiser step (`base.OnStep`).
    budget: maximum tokens per forward pass; None: from the free memory. The result depends on it by rounding only.
    If a sequence has more tokens, gradient checkpointing is switched on.
    Raises AmuroError where there are no sequences, or one is empty or too long.
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
    """Train a low-rank adapter; the weights of `network` stay frozen. Returns (facts of the training, adapter).

    Arguments and errors are those of `finetune`. It also raises AmuroError where a target of the recipe is no linear
    layer.
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
    """Run all optimiser steps of a tuning. in_place: keep the parameters' `grad` tensors and add to them."""
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
    """The training sequences of one tuning run, grouped by optimiser step."""

    recipe: Recipe
    steps: Sequence[Sequence[Dialogue]]
    """The sequences of each optimiser step."""
    longest: int
    """Input tokens of the longest sequence."""

    def training(self, losses: Sequence[float], seconds: float) -> Training:
        """Facts about a run that took `len(losses)` steps; fewer steps than planned mean that it diverged."""
        trained = [dialogue for step in self.steps[: len(losses)] for dialogue in step]
        return Training(
            losses=tuple(losses),
            steps=len(losses),
            tokens=sum(map(_length, trained)),
            answer_tokens=sum(map(answer_length, trained)),
            seconds=seconds,
            diverged_at=None if len(losses) == len(self.steps) else len(losses),
        )


def tuning_steps(network: Network, sequences: Sequences, model: Model) -> TuningSteps:
    """The optimiser steps of a tuning run, in the order drawn by `model.tune_seed`.

    Raises AmuroError where there are no sequences, or one is empty or longer than the context length.
    """
    recipe = _recipe(model)
    fitted = _checked(sequences, network.context_length)
    order = step_order(len(fitted), recipe.batch_size, recipe.epochs, model.tune_seed or 0)
    return TuningSteps(
        recipe=recipe,
        steps=[[fitted[index] for index in members] for members in order],
        longest=max(map(input_tokens, fitted)),
    )


def token_budget(network: Network) -> int:
    """Maximum tokens per forward pass in training, from the device and its free memory."""
    return min(_TOKENS[network.device.type], network.tokens_in_memory(training=True))


def _losses(
    network: Network,
    tuning: TuningSteps,
    parameters: Sequence[torch.nn.Parameter],
    learning_rate: float,
    budget: int,
    in_place: bool,
) -> Iterator[float]:
    """Run the optimiser steps; yields the loss of each in nats per answer token (weighted as the recipe says).

    It ends before the first step whose loss or gradient is not finite; that step is not applied.
    """
    recipe, steps = tuning.recipe, tuning.steps
    optimizer = optimizer_of(parameters, recipe, learning_rate)
    graphs = GraphedPasses(network, parameters, max(map(len, steps)), tuning.longest, budget, in_place)
    for number, step in enumerate(steps):
        optimizer.zero_grad(set_to_none=not in_place)
        tokens = sum(map(input_tokens, step))
        if graphs.takes(tokens):
            nats = graphs.backward(pass_of(step, answer_weights(step, step, recipe.weighting)))
        else:
            nats = _backward(network, step, recipe.weighting, budget)
        norm = gradient_norm(parameters)
        loss, finite_norm = torch.stack([nats, norm]).tolist()  # the only synchronisation with a GPU per step
        if not (math.isfinite(loss) and math.isfinite(finite_norm)):
            break
        take_step(optimizer, learning_rate * rate_factor(number, len(steps), recipe), norm / recipe.max_grad_norm)
        yield loss
    optimizer.zero_grad(set_to_none=True)


def _checked(sequences: Sequences, length: int) -> list[Dialogue]:
    """The sequences as a list. Raises AmuroError if there are none, a part is empty, or one exceeds `length` tokens."""
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
    """Tokens of a sequence, prompts and answers together."""
    return sum(map(len, dialogue))


def input_tokens(dialogue: Dialogue) -> int:
    """Input tokens of a sequence: all but its last one, which is only a target."""
    return _length(dialogue) - 1


def answer_length(dialogue: Dialogue) -> int:
    """Answer tokens of a sequence."""
    return sum(map(len, dialogue[1::2]))


def step_order(sequences: int, batch_size: int, epochs: int, tune_seed: int) -> list[list[int]]:
    """Sequence indices of each optimiser step: a new permutation per epoch, whose last step may be smaller."""
    rng = np.random.default_rng(tune_seed)
    order = []
    for _ in range(epochs):
        drawn = rng.permutation(sequences).tolist()
        order += [drawn[begin : begin + batch_size] for begin in range(0, sequences, batch_size)]
    return order


def _recipe(model: Model) -> Recipe:
    """The model's recipe. Raises AmuroError for a base model."""
    if model.recipe is None:
        raise AmuroError(f"{model.address} has no recipe", "only a model with a recipe can be tuned")
    return model.recipe


def _backward(network: Network, batch: Sequence[Dialogue], weighting: str, budget: int) -> Tensor:
    """Add the gradient of one step's loss, in passes of at most `budget` tokens.

    Returns the loss in nats per answer token, a weighted mean (`answer_weights`).
    """
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
    """Weight of each answer token of `part` in the loss of the step `batch`; the weights of a step sum to 1.

    weighting: "token" gives each answer token the same weight, "example" each sequence.
    """
    total = sum(map(answer_length, batch))
    lengths = [n for dialogue in part for n in [answer_length(dialogue)] * answer_length(dialogue)]
    weights = [1 / total if weighting == "token" else 1 / (len(batch) * n) for n in lengths]
    return np.array(weights, dtype=np.float32)


def _parts(batch: Sequence[Dialogue], budget: int) -> Iterator[list[Dialogue]]:
    """The sequences of a step, sorted by length and grouped into forward passes of at most `budget` tokens."""
    ordered = sorted(batch, key=_length)
    for chosen in batches([input_tokens(dialogue) for dialogue in ordered], budget):
        yield ordered[chosen]


def answer_nats(network: Network, part: Sequence[Dialogue]) -> Tensor:
    """Negative log-probability [answer tokens] of every answer token in nats, sequence after sequence."""
    training_pass = pass_of(part)
    packed = network.supports_packing(max(map(len, training_pass.rows)))
    logits = (_packed_logits if packed else _padded_logits)(network, training_pass)
    return cross_entropy(logits, network.tensor(training_pass.targets), reduction="none")


def pass_of(part: Sequence[Dialogue], weights: NDArray[np.float32] | None = None) -> Pass:
    """The sequences as inputs and targets of one pass. weights: [targets]; None where the caller needs none."""
    return Pass(
        rows=[tuple(chain.from_iterable(dialogue))[:-1] for dialogue in part],
        wanted=[_answer_places(dialogue) for dialogue in part],
        targets=[token for dialogue in part for answer in dialogue[1::2] for token in answer],
        weights=np.ones(0, dtype=np.float32) if weights is None else weights,
    )


def _packed_logits(network: Network, training_pass: Pass) -> Tensor:
    """Logits [targets, vocabulary] at the wanted positions; rows run packed and do not attend to each other."""
    packed = end_to_end(training_pass.lengths, network.device)
    hidden = network.read(training_pass.ids, training_pass.positions, packed, training_pass.flat_wanted)
    return network.logits(hidden)


def _padded_logits(network: Network, training_pass: Pass) -> Tensor:
    """The same for models that do not support packed rows.

    Rows are padded on the right. With causal attention no token attends to padding, so no mask is needed.
    """
    longest = max(map(len, training_pass.rows))
    ids = network.tensor([[*row, *[0] * (longest - len(row))] for row in training_pass.rows])
    row = network.tensor([number for number, wanted in enumerate(training_pass.wanted) for _ in wanted])
    return network.row_logits(ids)[row, network.tensor(list(chain.from_iterable(training_pass.wanted)))].float()


def _answer_places(dialogue: Dialogue) -> list[int]:
    """Positions whose next token belongs to an answer."""
    ends = list(accumulate(map(len, dialogue)))
    return [place - 1 for begin, end in zip(ends[::2], ends[1::2], strict=True) for place in range(begin, end)]
