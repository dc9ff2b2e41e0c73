"""Fused RMS norm: the same values and gradients as transformers' modules, with fewer memory passes.

A small model on a CPU spends as long in its norms as in a third of its matrix products. transformers marks these
modules as replaceable (`use_kernel_forward_from_hub("RMSNorm")`). Only their `forward` is replaced here; weights and
parameter names stay.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import rms_norm


def hasten_norms(model: Any) -> None:
    """Replace the forward pass of every RMS norm of `model` by `norm`. torch's LayerNorm is fused already."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(_norm_of, module)


def _norm_of(module: Any, hidden: Tensor) -> Tensor:
    """`norm` with the weight and epsilon of an RMS norm module of transformers."""
    return norm(hidden, module.weight, module.variance_epsilon)


def norm(hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """`hidden` [..., width] divided by its root mean square, times `weight` [width].

    (Zhang & Sennrich 2019, arXiv:1910.07467.) It is computed in float32 and returned in the dtype of `hidden`.
    """
    if hidden.device.type == "cuda":
        return rms_norm(hidden.float(), weight.shape, weight, epsilon).to(hidden.dtype)
    function: Any = _Norm
    normed: Tensor = function.apply(hidden.float(), weight, epsilon)
    return normed.to(hidden.dtype)


class _Norm(torch.autograd.Function):
    """`rms_normed` as an autograd function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        normed, ctx.norm_backward = rms_normed(x, weight, epsilon)
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        d_x, d_weight = ctx.norm_backward(gradient)
        return d_x, d_weight if ctx.needs_input_grad[1] else None, None


def rms_normed(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """The RMS norm w·x̂ of x [..., width], with x̂ = x·r and r = (mean x² + ε)^(−½), and its backward pass.

    The backward pass maps the gradient g of the result to (gradient of x, gradient of w):
    r·(g·w − x̂·mean(g·w·x̂)) and Σ g·x̂, the sum over all but the last dimension.
    """
    squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
    scale = squares.mul_(1 / x.shape[-1]).add_(epsilon).rsqrt_()
    normed = x * scale

    def backward(gradient: Tensor) -> tuple[Tensor, Tensor]:
        products = (gradient * normed).flatten(0, -2)
        means = (products @ weight).mul_(1 / len(weight)).view_as(scale)
        d_x = torch.addcmul(gradient * weight, normed, means, value=-1).mul_(scale)
        return d_x, products.sum(0)

    return normed * weight, backward


def layer_normed(x: Tensor, epsilon: float) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Layer norm without weights over the last dimension, and its backward pass (gradient of result → of x)."""
    shape = x.shape[-1:]
    normed, mean, scale = torch.native_layer_norm(x, shape, None, None, epsilon)

    def backward(gradient: Tensor) -> Tensor:
        outputs = [True, False, False]  # the gradient of x alone: there is no weight and no bias
        d_x: Tensor = torch.ops.aten.native_layer_norm_backward(gradient, x, shape, mean, scale, None, None, outputs)[0]
        return d_x

    return normed, backward
