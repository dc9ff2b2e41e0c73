"""Runs of low-rank adapters trained together on one frozen model: other rates, seeds and tasks of one checkpoint.

One step of the group is the next step of each run, all their sequences end to end. Loss, clipping, schedule and
optimiser are each run's own, so every run gives what it gives alone, up to rounding.

Their models are scored one by one, merged: a merged model reads as fast as its checkpoint, and the batches of one ask
fill the device, so that asking several at once would only add the low-rank products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from amuro.core.types import Training
from amuro.engine.base import Run
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import on_device
from amuro.engine.inference.batching import batches
from amuro.engine.training.cuda_graphs import Graphs
from amuro.engine.training.finetune import (
    Course,
    Dialogue,
    answer_length,
    answer_nats,
    answer_weights,
    course_of,
    gradient_norm,
    optimizer_of,
    pass_of,
    rate_factor,
    take_step,
    token_budget,
    tokens_read,
)
from amuro.engine.training.lora import Adapter, Spans, beside, draw_adapter

_FILLED = {"cpu": 600, "cuda": 0}
"""Tokens of a step up to which more of them take less time each; runs are joined while their steps hold no more.

On one thread of a CPU, in float32 and with 10.5 M parameters, four runs took 13 % less CPU time together than one at a
time with 75 tokens a step each and 18 % less with 150; two runs of 300 took 7 % less, four of 300 no less, and runs of
600 saved nothing (`benchmarks/adapters.py`). On an H200, four runs of that model took 62 ms a step together and 38 one
at a time: alone a run's step is recorded (`engine.graphs`), which the changing spans of a group prevent.
"""
_MOST = 16
"""Runs of a group: in training each holds four numbers in memory for every number of its adapter."""


def groups(network: Network, runs: Sequence[Run]) -> Iterator[list[Run]]:
    """The runs in order, those together that are worth training together."""
    room = min(_FILLED[network.device.type], token_budget(network))
    group: list[Run] = []
    for run in runs:
        if group and not _may_join(network, [*group, run], room):
            yield group
            group = []
        group.append(run)
    if group:
        yield group


def _may_join(network: Network, runs: Sequence[Run], room: int) -> bool:
    """Only where all layers are given the same flat tokens is it known whose they are: experts get some of them."""
    longest = max((tokens_read(dialogue) for run in runs for dialogue in run.sequences), default=0)
    fits = len(runs) <= _MOST and _step_tokens(runs) <= room
    return fits and all(run.model.is_low_rank for run in runs) and network.reads_layouts(longest)


def _step_tokens(runs: Sequence[Run]) -> float:
    """Tokens of one step of all runs: the mean, as if nothing were cut."""
    total = 0.0
    for run in runs:
        batch_size = run.model.recipe.batch_size if run.model.recipe else 1
        total += batch_size * sum(map(tokens_read, run.sequences)) / max(1, len(run.sequences))
    return total


@dataclass
class _Member:
    """One run of a group and how far it has come."""

    run: Run
    course: Course
    adapter: Adapter
    optimizer: torch.optim.AdamW
    losses: list[float] = field(default_factory=list)
    diverged: bool = False

    @property
    def goes_on(self) -> bool:
        return not self.diverged and len(self.losses) < len(self.course.steps)

    @property
    def step(self) -> Sequence[Dialogue]:
        """The sequences of its next optimiser step."""
        return self.course.steps[len(self.losses)]


def train_together(network: Network, runs: Sequence[Run], budget: int | None = None) -> list[tuple[Training, Adapter]]:
    """What each run left and its adapter; the weights of `network` are not touched.

    A run whose loss or gradient is not finite ends before that step, and the others go on. The seconds of a run are
    its share of the group's, by tokens read. Several runs must be such as `groups` joins. Budget: as in `finetune`.
    Raises AmuroError where a run has nothing to learn.
    """
    began = perf_counter()
    members = [_member(network, run) for run in runs]
    budget = budget or token_budget(network)
    longest = max(member.course.longest for member in members)
    graphs = _graphs(network, members[0], budget) if len(members) == 1 else None
    with beside(network.model, list(members[0].adapter.factors)) as spans, network.recomputing(longest > budget):
        while going := [member for member in members if member.goes_on]:
            _take_step(network, going, spans, budget, graphs)
    seconds = perf_counter() - began
    trainings = [member.course.training(member.losses, 0.0) for member in members]
    tokens = max(1, sum(training.tokens for training in trainings))
    shares = [seconds * training.tokens / tokens for training in trainings]
    return [
        (member.course.training(member.losses, share), member.adapter.finished())
        for member, share in zip(members, shares, strict=True)
    ]


def _member(network: Network, run: Run) -> _Member:
    course = course_of(network, run.sequences, run.model)
    adapter = draw_adapter(network.model, course.recipe, run.model.tune_seed or 0)
    return _Member(run, course, adapter, optimizer_of([adapter.flat], course.recipe, run.learning_rate))


def _graphs(network: Network, member: _Member, budget: int) -> Graphs:
    """Of a run that is alone: the spans of several differ from step to step."""
    rows = max(map(len, member.course.steps))
    return Graphs(network, [member.adapter.flat], rows, member.course.longest, budget, in_place=True)


def _take_step(network: Network, going: Sequence[_Member], spans: Spans, budget: int, graphs: Graphs | None) -> None:
    """The next step of each run, but for those that diverge at it."""
    for member in going:
        member.optimizer.zero_grad(set_to_none=False)
    losses = _recorded(going[0], spans, graphs) if graphs else None
    losses = _backward(network, going, spans, budget) if losses is None else losses
    norms = torch.stack([gradient_norm([member.adapter.flat]) for member in going])
    told = torch.stack([losses, norms]).tolist()  # one wait for the device, not one a run
    for member, norm, loss, length in zip(going, norms, *told, strict=True):
        member.diverged = not (math.isfinite(loss) and math.isfinite(length))
        if not member.diverged:
            _apply(member, loss, norm)


def _apply(member: _Member, loss: float, norm: Tensor) -> None:
    recipe, steps = member.course.recipe, len(member.course.steps)
    rate = member.run.learning_rate * rate_factor(len(member.losses), steps, recipe)
    take_step(member.optimizer, rate, norm / recipe.max_grad_norm)
    member.losses.append(loss)
    member.run.on_step(len(member.losses), steps, loss)


def _recorded(member: _Member, spans: Spans, graphs: Graphs) -> Tensor | None:
    """As `_backward` where the step gains by a recording, else nothing."""
    tokens = sum(map(tokens_read, member.step))
    if not graphs.takes(tokens):
        return None
    spans.lay([(member.adapter, tokens)])
    weights = answer_weights(member.step, member.step, member.course.recipe.weighting)
    return graphs.backward(pass_of(member.step, weights))[None]


def _backward(network: Network, going: Sequence[_Member], spans: Spans, budget: int) -> Tensor:
    """Add the gradient of each run's step to its adapter; returns their losses [runs] in nats."""
    losses = torch.zeros(len(going), device=network.device)
    for part in _parts(going, budget):
        _lay(spans, going, part)
        weights = [answer_weights(own, going[at].step, going[at].course.recipe.weighting) for at, own in part]
        with network.autocast():
            nats = answer_nats(network, [dialogue for _, own in part for dialogue in own])
        shares = nats * on_device(np.concatenate(weights), network.device)
        torch.autograd.backward(shares.sum())
        counts = [sum(map(answer_length, own)) for _, own in part]
        for (at, _), share in zip(part, torch.split(shares.detach(), counts), strict=True):
            losses[at] += share.sum()
    return losses


Part = list[tuple[int, list[Dialogue]]]
"""What a forward pass reads: the place of a run in the group, and its sequences by rising length."""


def _parts(going: Sequence[_Member], budget: int) -> Iterator[Part]:
    """The next steps of all runs, in forward passes of at most `budget` tokens or one sequence."""
    ordered = [(at, dialogue) for at, member in enumerate(going) for dialogue in sorted(member.step, key=tokens_read)]
    for chosen in batches([tokens_read(dialogue) for _, dialogue in ordered], budget):
        part: dict[int, list[Dialogue]] = {}
        for at, dialogue in ordered[chosen]:
            part.setdefault(at, []).append(dialogue)
        yield list(part.items())


def _lay(spans: Spans, going: Sequence[_Member], part: Part) -> None:
    """Say whose tokens stand where, among all that are read, and among those whose logits are wanted, which the last
    layer's matrices are given. They are as many only where they are the same.
    """
    spans.lay(
        *([(going[at].adapter, sum(map(count, own))) for at, own in part] for count in (tokens_read, answer_length))
    )
