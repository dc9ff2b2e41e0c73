"""Low-rank adapters (LoRA; Hu et al. 2021, arXiv:2106.09685): initialised as in peft, trained, merged at the end.

peft itself is not used, because unloading its layers breaks models with fused experts. Tests compare the adapters with
peft's number by number.
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
    """Low-rank updates of linear layers: scale · up @ down is added to each layer's matrix."""

    flat: torch.nn.Parameter
    """[1, numbers]: all factors in one row, so that clipping and AdamW handle one tensor; its `grad` likewise holds
    the factors' gradients.
    """
    factors: Mapping[str, tuple[Tensor, Tensor]]
    """Name of a linear layer → (down [rank, in], up [out, rank]), views of `flat`."""
    scale: float
    """alpha / rank."""

    def finished(self) -> Adapter:
        """The adapter after training, without memory for gradients."""
        self.flat.grad = None
        return replace(self, factors={name: (down.detach(), up.detach()) for name, (down, up) in self.factors.items()})

    def merge(self, model: Any) -> None:
        """Add the adapter to the model's weights, in place."""
        with torch.no_grad():
            for name, (down, up) in self.factors.items():
                _matrix(model.get_submodule(name)).add_((up @ down) * self.scale)


def draw_adapter(model: Any, recipe: Recipe, tune_seed: int) -> Adapter:
    """A new adapter for the linear layers that the recipe names, or for all but the head (as arXiv:2405.09673 §3).

    Rank and alpha are the recipe's; there is no dropout. `tune_seed` draws the `down` factors, number for number as
    peft does. The `up` factors are zero, so the model is unchanged before the first step.
    Raises AmuroError where a target is no linear layer.
    """
    with torch.random.fork_rng():
        torch.manual_seed(tune_seed)
        drawn = {
            name: _drawn(_matrix(model.get_submodule(name)), recipe.lora_rank) for name in target_layers(model, recipe)
        }
    return _flattened(drawn, recipe.lora_alpha / recipe.lora_rank)


def target_layers(model: Any, recipe: Recipe) -> list[str]:
    """Names of the linear layers that get an adapter, in the model's order; the head gets none.

    A target is a layer's name or the end of one: `q_proj` matches the query projection of every decoder layer.
    Raises AmuroError where a target matches no linear layer, or the model has none.
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
    """Whether a dotted name ends with the target, at a dot."""
    return f".{name}".endswith(f".{target}")


def _is_linear(module: Any) -> bool:
    """Whether the module's output is matrix × input + bias. Some subclasses of `Linear` compute something else."""
    if not isinstance(module, Linear) or type(module).forward is Linear.forward:
        return isinstance(module, Conv1D | Linear)
    states = torch.ones(1, module.in_features, device=module.weight.device)
    try:
        with torch.no_grad():
            return torch.allclose(module(states), linear(states, module.weight, module.bias))
    except (RuntimeError, TypeError):  # a router returns several tensors, a grouped layer takes several inputs
        return False


def _drawn(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Initial factors for a matrix [out, in]: down [rank, in] (Kaiming uniform) and up [out, rank] (zeros)."""
    down, up = Linear(matrix.shape[1], rank, bias=False), Linear(rank, matrix.shape[0], bias=False)
    torch.nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
    return down.weight.detach().to(matrix.device), torch.zeros_like(up.weight.detach()).to(matrix.device)


def _flattened(drawn: Mapping[str, tuple[Tensor, Tensor]], scale: float) -> Adapter:
    """The adapter of those factors, copied into one flat tensor with one flat gradient."""
    values = [factor for pair in drawn.values() for factor in pair]
    flat = torch.nn.Parameter(torch.cat([value.flatten() for value in values])[None].float(), requires_grad=False)
    flat.grad = torch.zeros_like(flat)
    sizes = [value.numel() for value in values]
    pieces = zip(values, torch.split(flat[0], sizes), torch.split(flat.grad[0], sizes), strict=True)
    leaves = iter([_leaf(piece.view_as(value), grad.view_as(value)) for value, piece, grad in pieces])
    return Adapter(flat, {name: (next(leaves), next(leaves)) for name in drawn}, scale)


def _leaf(values: Tensor, grad: Tensor) -> Tensor:
    """A leaf tensor for autograd on the memory of `values`; its gradients are added to `grad` in place."""
    leaf = values.detach().requires_grad_(True)
    leaf.grad = grad
    return leaf


@contextmanager
def beside(model: Any, adapter: Adapter) -> Iterator[None]:
    """Inside, all parameters of `model` are frozen, and the adapter's output is added to that of its linear layers."""
    modules = {name: model.get_submodule(name) for name in adapter.factors}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    for name, module in modules.items():
        module.forward = partial(_forward, module, *adapter.factors[name], adapter.scale)
    try:
        yield
    finally:
        for module in modules.values():
            del module.forward
        for parameter in trainable:
            parameter.requires_grad_(True)


def _forward(module: Any, down: Tensor, up: Tensor, scale: float, states: Tensor) -> Tensor:
    """Output [..., out] of a linear layer with its adapter for states [..., in], in the autocast dtype if enabled."""
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
    untyped: Any = _Adapted
    out: Tensor = untyped.apply(states.flatten(0, -2), _matrix(module), module.bias, dtype, scale, down, up)
    return out.view(*states.shape[:-1], -1)


def _matrix(module: Any) -> Tensor:
    """The weight matrix [out, in] of a linear layer; GPT-2's `Conv1D` stores it transposed."""
    weight: Tensor = module.weight
    return weight if isinstance(module, Linear) else weight.T


class _Adapted(torch.autograd.Function):
    """states @ matrixᵀ + bias + scale · states @ downᵀ @ upᵀ.

    One autograd function, because separate operations would need one more pass over all states for each of them.
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
        d_low = (gradient @ up) * context.scale
        d_states = (gradient @ matrix).addmm_(d_low, down) if context.needs_input_grad[0] else None
        return d_states, None, None, None, None, d_low.T @ states, gradient.T @ low
