"""Low-rank adapters: drawn as peft draws them, multiplied with the tokens of their own run, merged into the weights at
the end.

Several runs share one frozen model: its matrices are multiplied once with the tokens of all runs, end to end, and each
adapter with the span of its own tokens (as Ye et al. 2023, arXiv:2312.02515).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from amuro.core.architectures import refuse_targets
from amuro.core.errors import AmuroError, nearest
from amuro.core.types import Recipe

Span = tuple[int, int]
"""First token and the one behind the last."""


@dataclass(frozen=True)
class Adapter:
    """What is added to the matrices of a model's body: scale · up @ down for each."""

    flat: torch.nn.Parameter
    """[1, numbers]: all factors in one row, so that clipping and AdamW touch one tensor; its `grad` is the factors'."""
    factors: Mapping[str, tuple[Tensor, Tensor]]
    """Name of a linear layer → down [rank, in] and up [out, rank], which lie in `flat`."""
    scale: float

    def finished(self) -> Adapter:
        """The same without room for gradients."""
        self.flat.grad = None
        return replace(self, factors={name: (down.detach(), up.detach()) for name, (down, up) in self.factors.items()})

    def merge(self, model: Any) -> None:
        """Add the adapter to the model's weights, in place."""
        with torch.no_grad():
            for name, (down, up) in self.factors.items():
                _matrix(model.get_submodule(name)).add_((up @ down) * self.scale)


def draw_adapter(model: Any, recipe: Recipe, tune_seed: int) -> Adapter:
    """An adapter beside the linear layers of the body that the recipe names, or all (as arXiv 2405.09673 §3; rank and
    alpha are the recipe's), without dropout.

    `tune_seed` draws the first halves, number for number as peft does; the second halves are zero, so nothing changes
    before the first step. Raises AmuroError where a target is no linear layer.
    """
    with torch.random.fork_rng():
        torch.manual_seed(tune_seed)
        drawn = {
            name: _drawn(_matrix(model.get_submodule(name)), recipe.lora_rank) for name in target_layers(model, recipe)
        }
    return _flattened(drawn, recipe.lora_alpha / recipe.lora_rank)


def target_layers(model: Any, recipe: Recipe) -> list[str]:
    """Names of the linear layers that get an adapter, in the model's order; the head gets none.

    A target is a layer's name or the end of one: `q_proj` means that of every layer.
    """
    refuse_targets(model.config.model_type, recipe)
    head = model.get_output_embeddings()
    known = [name for name, module in model.named_modules() if _is_linear(module) and module is not head]
    for target in recipe.lora_targets:
        if not any(_ends(name, target) for name in known):
            short = sorted({name.rpartition(".")[2] for name in known})
            raise AmuroError(
                f"recipe {recipe.name} names the lora_target '{target}', which is no linear layer of this model",
                nearest(target, short),
            )
    chosen = [name for name in known if not recipe.lora_targets or any(_ends(name, t) for t in recipe.lora_targets)]
    if not chosen:
        raise AmuroError("the model has no linear layer beside which an adapter could stand", 'say method = "full"')
    return chosen


def _ends(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")


def _is_linear(module: Any) -> bool:
    """Whether what the module gives is its matrix times the states, and a bias: some that are called so do more."""
    if not isinstance(module, Linear) or type(module).forward is Linear.forward:
        return isinstance(module, Conv1D | Linear)
    states = torch.ones(1, module.in_features, device=module.weight.device)
    try:
        with torch.no_grad():
            return torch.allclose(module(states), linear(states, module.weight, module.bias))
    except (RuntimeError, TypeError):  # a router gives several tensors, a grouped layer is given several parts
        return False


def _drawn(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The halves beside a matrix [out, in]: down [rank, in] of random numbers, up [out, rank] of zeros."""
    down, up = Linear(matrix.shape[1], rank, bias=False), Linear(rank, matrix.shape[0], bias=False)
    torch.nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
    return down.weight.detach().to(matrix.device), torch.zeros_like(up.weight.detach()).to(matrix.device)


def _flattened(drawn: Mapping[str, tuple[Tensor, Tensor]], scale: float) -> Adapter:
    """The same numbers in one tensor, and their gradients in another."""
    values = [factor for pair in drawn.values() for factor in pair]
    flat = torch.nn.Parameter(torch.cat([value.flatten() for value in values])[None].float(), requires_grad=False)
    flat.grad = torch.zeros_like(flat)
    sizes = [value.numel() for value in values]
    pieces = zip(values, torch.split(flat[0], sizes), torch.split(flat.grad[0], sizes), strict=True)
    leaves = iter([_leaf(piece.view_as(value), grad.view_as(value)) for value, piece, grad in pieces])
    return Adapter(flat, {name: (next(leaves), next(leaves)) for name in drawn}, scale)


def _leaf(values: Tensor, grad: Tensor) -> Tensor:
    """A tensor of its own for autograd, which adds to the given gradient in place."""
    leaf = values.detach().requires_grad_(True)
    leaf.grad = grad
    return leaf


@dataclass
class Spans:
    """Whose tokens stand where in the forward pass that comes."""

    _of: dict[int, list[tuple[Adapter, Span]]] = field(default_factory=dict)
    """Number of tokens in all → each adapter with its span."""

    def lay(self, *laid: Sequence[tuple[Adapter, int]]) -> None:
        """Each adapter with its number of tokens, in order; once for each number of tokens that layers are given."""
        self._of = {}
        for counts in laid:
            ends = list(accumulate(count for _, count in counts))
            spans = zip([0, *ends], ends, strict=False)
            self._of[ends[-1]] = [(adapter, span) for (adapter, _), span in zip(counts, spans, strict=True)]

    def whose(self, tokens: int) -> list[tuple[Adapter, Span]]:
        """Each adapter with its span of so many tokens. One alone has them all, whatever part a layer is given."""
        first = next(iter(self._of.values()))
        return [(first[0][0], (0, tokens))] if len(first) == 1 else self._of[tokens]


@contextmanager
def beside(model: Any, names: Sequence[str]) -> Iterator[Spans]:
    """Inside, the named linear layers of `model` are frozen and add the adapters of the spans that were laid."""
    spans = Spans()
    modules = {name: model.get_submodule(name) for name in names}
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    for name, module in modules.items():
        module.forward = partial(_forward, name, module, spans)
    try:
        yield spans
    finally:
        for module in modules.values():
            del module.forward
        for parameter in wanted:
            parameter.requires_grad_(True)


def _forward(name: str, module: Any, spans: Spans, states: Tensor) -> Tensor:
    """What the layer gives for states [..., in], each token by its own adapter: [..., out]."""
    flat = states.flatten(0, -2)
    chosen = spans.whose(len(flat))
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
    factors = [factor for adapter, _ in chosen for factor in adapter.factors[name]]
    scales = [(*span, adapter.scale) for adapter, span in chosen]
    untyped: Any = _Adapted
    out: Tensor = untyped.apply(flat, _matrix(module), module.bias, dtype, scales, *factors)
    return out.view(*states.shape[:-1], -1)


def _matrix(module: Any) -> Tensor:
    """[out, in]; the transformers of GPT-2 keep theirs the other way round."""
    weight: Tensor = module.weight
    return weight if isinstance(module, Linear) else weight.T


class _Adapted(torch.autograd.Function):
    """states @ matrixᵀ + bias + scale · states @ downᵀ @ upᵀ, the latter span by span.

    One function, because autograd would read and write all states once more for every sum and product.
    """

    @staticmethod
    def forward(
        context: Any,
        states: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype,
        spans: list[tuple[int, int, float]],
        *factors: Tensor,
    ) -> Tensor:
        states, matrix = states.to(dtype), matrix.to(dtype)
        bias, factors = None if bias is None else bias.to(dtype), tuple(factor.to(dtype) for factor in factors)
        out = linear(states, matrix, bias)
        lows = []
        for (begin, end, scale), down, up in zip(spans, factors[::2], factors[1::2], strict=True):
            lows.append(linear(states[begin:end], down) * scale)
            out[begin:end].addmm_(lows[-1], up.T)
        context.save_for_backward(states, matrix, *lows, *factors)
        context.spans = spans
        return out

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, matrix, *saved = context.saved_tensors
        lows, factors = saved[: len(context.spans)], saved[len(context.spans) :]
        given = gradient @ matrix if context.needs_input_grad[0] else None
        found = []
        for (begin, end, scale), low, down, up in zip(context.spans, lows, factors[::2], factors[1::2], strict=True):
            own = gradient[begin:end]
            narrow = (own @ up) * scale
            found += [narrow.T @ states[begin:end], own.T @ low]
            if given is not None:
                given[begin:end].addmm_(narrow, down)
        return given, None, None, None, None, *found
