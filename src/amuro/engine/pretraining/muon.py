"""Muon (Jordan et al., 2024): momentum, made orthogonal, as the step of a hidden matrix.

The update is that of `torch.optim.Muon` without decay. That one orthogonalises matrix by matrix in bfloat16, which
takes as long as a whole forward and backward pass on a processor without bfloat16 units; here matrices of one shape
go through together, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic polynomial whose iterates push all singular values towards 1."""
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then `orthogonal`, scaled by √max(1, rows / columns). Parameters must be matrices."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            matrices = sorted((p for p in group["params"] if p.grad is not None), key=_shape)
            for _, alike in groupby(matrices, key=_shape):
                self._step_alike(list(alike), group["lr"], group["momentum"])

    def _step_alike(self, matrices: list[Tensor], lr: float, momentum: float) -> None:
        gradients = torch.stack([_gradient(p) for p in matrices])
        buffers = torch.stack([self._buffer(p) for p in matrices]).lerp_(gradients, 1 - momentum)
        updates = orthogonal(gradients.lerp_(buffers, momentum))
        scale = max(1.0, updates.shape[-2] / updates.shape[-1]) ** 0.5
        for matrix, buffer, update in zip(matrices, buffers, updates, strict=True):
            self.state[matrix]["momentum_buffer"].copy_(buffer)
            matrix.sub_(update, alpha=lr * scale)

    def _buffer(self, matrix: Tensor) -> Tensor:
        state: dict[str, Tensor] = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]


def orthogonal(matrices: Tensor) -> Tensor:
    """(n, rows, columns) → the same, each with its singular values brought near 1 (Newton–Schulz)."""
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
