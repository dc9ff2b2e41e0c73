"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): drawn as peft draws them, trained beside frozen matrices, and
merged into the weights at the end.

peft itself is not used: taking its layers out again leaves models with fused experts in pieces. Tests hold the adapters
against peft's, number for number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from amuro.core.architectures import refuse_targets
from amuro.core.errors import AmuroError, nearest
from amuro.core.types import Recipe


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


@contextmanager
def beside(model: Any, adapter: Adapter) -> Iterator[None]:
    """Inside, all parameters of `model` are frozen, and the linear layers that the adapter names add what it gives."""
    modules = {name: model.get_submodule(name) for name in adapter.factors}
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    for name, module in modules.items():
        module.forward = partial(_forward, module, *adapter.factors[name], adapter.scale)
    try:
        yield
    finally:
        for module in modules.values():
            del module.forward
        for parameter in wanted:
            parameter.requires_grad_(True)


def _forward(module: Any, down: Tensor, up: Tensor, scale: float, states: Tensor) -> Tensor:
    """What the layer and its adapter give for states [..., in]: [..., out]."""
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
    untyped: Any = _Adapted
    out: Tensor = untyped.apply(states.flatten(0, -2), _matrix(module), module.bias, dtype, scale, down, up)
    return out.view(*states.shape[:-1], -1)


def _matrix(module: Any) -> Tensor:
    """[out, in]; the transformers of GPT-2 keep theirs the other way round."""
    weight: Tensor = module.weight
    return weight if isinstance(module, Linear) else weight.T


class _Adapted(torch.autograd.Function):
    """states @ matrixᵀ + bias + scale · states @ downᵀ @ upᵀ.

    One function, because autograd would read and write all states once more for every sum and product.
    """

    @staticmethod
    def forward(
        context: Any,
        states: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype,
        scale: float,
        down: Tensor,
        up: Tensor,
    ) -> Tensor:
        states, matrix, down, up = (tensor.to(dtype) for tensor in (states, matrix, down, up))
        out = linear(states, matrix, None if bias is None else bias.to(dtype))
        low = linear(states, down) * scale
        out.addmm_(low, up.T)
        context.save_for_backward(states, matrix, low, down, up)
        context.scale = scale
        return out

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, matrix, low, down, up = context.saved_tensors
        narrow = (gradient @ up) * context.scale
        given = (gradient @ matrix).addmm_(narrow, down) if context.needs_input_grad[0] else None
        return given, None, None, None, None, narrow.T @ states, gradient.T @ low
