"""Attention kernels that also return log-sum-exps, and the exact merge of two partial attentions.

Attention over two disjoint sets of keys equals the two partial attentions weighted by their log-sum-exps (Milakov &
Gimelshein 2018, arXiv:1805.02867, §3.1; Juravsky et al. 2024, arXiv:2402.05099, §3.2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

KeyValue = tuple[Tensor, Tensor]
"""Keys and values, each [rows, key heads, tokens, head width]; a key head may serve several query heads (GQA)."""


def full(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Attention [rows, heads, queries, head width] over all keys of a row; causal where `mask` is None."""
    additive_mask = None if mask is None else mask.to(query.dtype)
    key, value = _repeat_key_heads(query, key, value)
    return scaled_dot_product_attention(query, key, value, attn_mask=additive_mask, is_causal=mask is None, scale=scale)


def partial(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, causal: bool = True
) -> KeyValue:
    """Attention over some of the keys, for `merged`.

    Returns (attention [rows, heads, queries, head width], log-sum-exp of the scores [rows, heads, queries]).
    Without a mask a query attends to the keys up to its own position (`causal`) or to all keys. Every query must
    attend to at least one key.
    """
    causal = causal and mask is None
    if not causal and (mask is None or query.shape[2] == 1):
        # All queries attend to the same keys, so query heads that share a key head become more queries of one head.
        rows, heads, queries, width = query.shape
        grouped = query.reshape(rows, key.shape[1], -1, width)
        attended, log_sum = _fused(grouped, key, value, mask, scale, causal)
        return attended.reshape(rows, heads, queries, width), log_sum.reshape(rows, heads, queries)
    return _fused(query, *_repeat_key_heads(query, key, value), mask, scale, causal)


def merged(attended: Tensor, log_sum: Tensor, other: Tensor, other_log_sum: Tensor) -> Tensor:
    """Attention [..., width] over the union of two disjoint sets of keys.

    It is computed from the attention over each set [..., width] and its log-sum-exp [..., 1].
    """
    share = torch.sigmoid(other_log_sum.float() - log_sum.float())
    return torch.lerp(attended.float(), other.float(), share).to(attended.dtype)


def tokens_first(attended: Tensor, log_sum: Tensor) -> KeyValue:
    """[1, heads, tokens, width] and [1, heads, tokens] → [tokens, heads, width] and [tokens, heads, 1]."""
    return attended[0].transpose(0, 1), log_sum[0].transpose(0, 1)[..., None]


def to_rows(states: Tensor, gather: Tensor, scatter: Tensor) -> Tensor:
    """Flat tokens [tokens, …] → rows [rows, longest, …], by the index arrays of a `RowIndex`."""
    rows: Tensor = _apply(_ToRows, states, gather, scatter)
    return rows


def to_tokens(states: Tensor, scatter: Tensor) -> Tensor:
    """Rows [rows, longest, …] → flat tokens [tokens, …], by the scatter array of a `RowIndex`."""
    tokens: Tensor = _apply(_ToTokens, states, scatter)
    return tokens


def _repeat_key_heads(query: Tensor, key: Tensor, value: Tensor) -> KeyValue:
    """Keys and values with as many heads as the query: each key head is repeated for the query heads it serves."""
    groups = query.shape[1] // key.shape[1]
    return (key, value) if groups == 1 else (key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1))


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, causal: bool) -> KeyValue:
    """Attention and log-sum-exp from torch's internal kernels: `scaled_dot_product_attention` drops the latter."""
    additive_mask = None if mask is None else mask.to(query.dtype)
    if query.device.type == "cpu":
        result: KeyValue = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, is_causal=causal, attn_mask=additive_mask, scale=scale
        )
        return result
    if additive_mask is None and query.dtype != torch.float32:
        attended, log_sum, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, scale=scale
        )
    else:
        if additive_mask is not None:
            additive_mask = additive_mask.expand(len(query), query.shape[1], query.shape[2], -1)
        attended, log_sum, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, additive_mask, True, 0.0, causal, scale=scale
        )
    return attended, log_sum[:, :, : query.shape[2]]


class _ToRows(torch.autograd.Function):
    """states [tokens, …] → states[gather] [rows, longest, …].

    No output depends on padding, so its gradient is zero and a token's gradient is that of its single place in the
    rows. Plain indexing would sum over all places instead, and sort them first on CUDA.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, gather: Tensor, scatter: Tensor) -> Tensor:
        ctx.save_for_backward(scatter)
        return _select(states, gather.flatten()).view(*gather.shape, *states.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _select(gradient.flatten(0, 1), ctx.saved_tensors[0]), None, None


class _ToTokens(torch.autograd.Function):
    """states [rows, longest, …] → their flat tokens [tokens, …]."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, scatter: Tensor) -> Tensor:
        ctx.save_for_backward(scatter)
        ctx.shape = states.shape
        return _select(states.flatten(0, 1), scatter)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows = gradient.new_zeros(ctx.shape).flatten(0, 1)
        return rows.index_copy_(0, ctx.saved_tensors[0], gradient).view(ctx.shape), None


def _select(states: Tensor, indices: Tensor) -> Tensor:
    """`states[indices]` of [tokens, …]. `index_select` copies whole lines of memory, indexing single numbers."""
    return states.flatten(1).index_select(0, indices).view(-1, *states.shape[1:])


def _apply(function: Any, *arguments: Any) -> Any:
    """`function.apply(*arguments)`: torch's `apply` has no type annotations."""
    return function.apply(*arguments)
