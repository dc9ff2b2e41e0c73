"""Attention of flat tokens against one dense matrix that says who sees whom."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from amuro.engine.forward.packed_attention import PackedRows, end_to_end

CPU = torch.device("cpu")
HEADS, WIDTH = 2, 4

trunks_and_branches = st.lists(
    st.tuples(st.integers(1, 5), st.lists(st.integers(1, 3), max_size=3)), min_size=1, max_size=4
)
"""Rows: tokens of the trunk, tokens of each branch."""


def branch_of(rows: list[tuple[int, list[int]]]) -> list[np.ndarray]:
    """For each token of each row 0 on the trunk, 1, 2, … on the branches."""
    return [np.repeat(np.arange(len(branches) + 1), [trunk, *branches]) for trunk, branches in rows]


def seen_by(rows: list[tuple[int, list[int]]], prefix: int) -> Tensor:
    """[tokens, prefix + tokens]: who sees whom, token by token."""
    owner = [(row, int(branch)) for row, of in enumerate(branch_of(rows)) for branch in of]
    seen = [
        [True] * prefix
        + [key <= request and row == at and branch in (0, on) for key, (row, branch) in enumerate(owner)]
        for request, (at, on) in enumerate(owner)
    ]
    return torch.tensor(seen)


def dense(request: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """[1, tokens, heads, width], in float64."""
    scores = (request.double() @ key.double().mT / WIDTH**0.5).masked_fill(~seen, float("-inf"))
    return (scores.softmax(-1) @ value.double()).transpose(1, 2)


def drawn(tokens: int, seed: int) -> Tensor:
    """[1, heads, tokens, width]"""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(1, HEADS, tokens, WIDTH))).float()


@given(rows=trunks_and_branches, prefix=st.integers(0, 3), data=st.data())
def test_each_token_sees_the_prefix_its_trunk_and_its_branch(
    rows: list[tuple[int, list[int]]], prefix: int, data: st.DataObject
) -> None:
    """Whatever the rows, their branches and the prefix; and tokens that ask alone see what they see among all."""
    of = branch_of(rows)
    flat, lengths = np.concatenate(of), np.array([len(row) for row in of])
    tokens = len(flat)
    request, key, value = (drawn(tokens, seed) for seed in (1, 2, 3))
    before = drawn(prefix, 4), drawn(prefix, 5)
    branch = flat if flat.any() or data.draw(st.booleans()) else None
    layout: PackedRows = end_to_end(lengths, CPU, branch, {0: before} if prefix else None)
    everything = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
    expected = dense(request, *everything, seen_by(rows, prefix)).float()
    torch.testing.assert_close(layout.attend(0, request, key, value, WIDTH**-0.5), expected, rtol=1e-4, atol=1e-5)
    some = torch.tensor(sorted(data.draw(st.sets(st.integers(0, tokens - 1), min_size=1))))
    got = layout.queried_by(some).attend(0, request[:, :, some], key, value, WIDTH**-0.5)
    torch.testing.assert_close(got, expected[:, some], rtol=1e-4, atol=1e-5)
