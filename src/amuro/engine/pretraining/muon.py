"""The optimiser Muon (Jordan et al. 2024): orthogonalised momentum as the update of hidden matrices.

The update is that of `torch.optim.Muon` without weight decay. torch orthogonalises matrix by matrix in bfloat16, which
takes as long as a forward and backward pass on a CPU without bfloat16 units. Here all matrices of one shape are
orthogonalised as one batch, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients (a, b, c) of the quintic polynomial whose iterates move all singular values towards 1."""
ITERATIONS = 5
"""Newton–Schulz iterations per step."""


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised and scaled by √max(1, rows / columns). Parameters must be matrices."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient; `closure` is not called."""
        for group in self.param_groups:
            matrices = sorted((p for p in group["params"] if p.grad is not None), key=_shape)
            for _, alike in groupby(matrices, key=_shape):
                self._step_alike(list(alike), group["lr"], group["momentum"])

    def _step_alike(self, matrices: list[Tensor], lr: float, momentum: float) -> None:
        """Update matrices of one shape."""
        gradients = torch.stack([_gradient(p) for p in matrices])
        buffers = torch.stack([self._buffer(p) for p in matrices]).lerp_(gradients, 1 - momentum)
        updates = orthogonal(gradients.lerp_(buffers, momentum))
        scale = max(1.0, updates.shape[-2] / updates.shape[-1]) ** 0.5
        for matrix, buffer, update in zip(matrices, buffers, updates, strict=True):
            self.state[matrix]["momentum_buffer"].copy_(buffer)
            matrix.sub_(update, alpha=lr * scale)

    def _buffer(self, matrix: Tensor) -> Tensor:
        """The momentum buffer of a matrix; zeros at first."""
        state: dict[str, Tensor] = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices [n, rows, columns] → approximately orthogonal ones: singular values near 1 (Newton–Schulz iteration)."""
    a, b, c = COEFFICIENTS
    wide = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    x: Tensor = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide is matrices else x.mT


def _shape(matrix: Tensor) -> tuple[int, ...]:
    return tuple(matrix.shape)


def _gradient(matrix: Tensor) -> Tensor:
    assert matrix.grad is not None
    return matrix.grad
