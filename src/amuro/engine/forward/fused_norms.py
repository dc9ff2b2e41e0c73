"""Root-mean-square norms in fewer passes over memory than their modules take, with the same values and gradients.

A small model on a CPU spends as long in its norms as in a third of its matrices. transformers marks these modules as
replaceable (`use_kernel_forward_from_hub("RMSNorm")`); that is all that is done here: weights and names stay.
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
    """Let the RMS norms of `model` compute by `norm`. LayerNorm (OLMo, GPT-NeoX) is fast as it is."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(_norm_of, module)


def _norm_of(module: Any, hidden: Tensor) -> Tensor:
    return norm(hidden, module.weight, module.variance_epsilon)


def norm(hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Hidden [..., width] over its root mean square, times weight [width] (Zhang & Sennrich 2019, arXiv:1910.07467).

    In float32, given back in the precision of `hidden`.
    """
    if hidden.device.type == "cuda":
        return rms_norm(hidden.float(), weight.shape, weight, epsilon).to(hidden.dtype)
    function: Any = _Norm
    found: Tensor = function.apply(hidden.float(), weight, epsilon)
    return found.to(hidden.dtype)


class _Norm(torch.autograd.Function):
    """`rms_normed` for autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        found, ctx.back = rms_normed(x, weight, epsilon)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        of_x, of_weight = ctx.back(gradient)
        return of_x, of_weight if ctx.needs_input_grad[1] else None, None


def rms_normed(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """The norm w·x̂ with x̂ = x·r, r = (mean x² + ε)^(−½), and what turns its gradient g into those of x and w:
    r·(g·w − x̂·mean(g·w·x̂)) and Σ g·x̂.
    """
    squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
    scale = squares.mul_(1 / x.shape[-1]).add_(epsilon).rsqrt_()
    normed = x * scale

    def back(gradient: Tensor) -> tuple[Tensor, Tensor]:
        products = (gradient * normed).flatten(0, -2)
        means = (products @ weight).mul_(1 / len(weight)).view_as(scale)
        of_x = torch.addcmul(gradient * weight, normed, means, value=-1).mul_(scale)
        return of_x, products.sum(0)

    return normed * weight, back


def layer_normed(x: Tensor, epsilon: float) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Layer norm without weights over the last dimension, and what turns the gradient of its result into that of x."""
    shape = x.shape[-1:]
    normed, mean, scale = torch.native_layer_norm(x, shape, None, None, epsilon)

    def back(gradient: Tensor) -> Tensor:
        wanted = [True, False, False]
        found = torch.ops.aten.native_layer_norm_backward(gradient, x, shape, mean, scale, None, None, wanted)
        of_x: Tensor = found[0]
        return of_x

    return normed, back
