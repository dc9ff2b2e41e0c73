"""The optimiser of fine-tuning: AdamW, the learning-rate schedule and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from amuro.core.types import Recipe


def rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Factor on the learning rate at `step` (from 0): transformers' linear or constant schedule with linear warm-up."""
    warmup = math.ceil(recipe.warmup_ratio * steps)
    if step < warmup:
        return step / warmup
    return 1.0 if recipe.schedule == "constant" else (steps - step) / (steps - warmup)


def optimizer_of(parameters: Sequence[torch.nn.Parameter], recipe: Recipe, learning_rate: float) -> torch.optim.AdamW:
    """Fused AdamW; weight decay applies to matrices only, not to norms and biases."""
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True)


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all gradients together, as a tensor on their device."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def take_step(optimizer: Any, rate: float, excess: Tensor) -> None:
    """One optimiser step at the learning rate `rate`, with gradient clipping.

    `excess` = gradient norm / max norm; gradients are divided by max(excess, 1), i.e. clipped, inside the fused kernel.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.grad_scale = excess.clamp(min=1.0)
    optimizer.step()
