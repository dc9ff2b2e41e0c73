"""Attention of flat tokens: many rows laid end to end without padding, all of them behind one shared prefix.

A model of transformers runs unchanged on one long row of tokens; only its attention is ours, and is told by a `Layout`
which token sees which. The keys and values of a prefix are kept once and never copied: what a token sees of the prefix
and what it sees of its own row are computed apart and merged by their log-sum-exps, which is exact (Milakov &
Gimelshein 2018, arXiv:1805.02867, §3.1; Juravsky et al. 2024, arXiv:2402.05099, §3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

NAME = "amuro"
"""What transformers calls this attention."""
LAYOUT = "amuro_layout"
"""The keyword that carries a layout through the model. No context variable: a backward pass that computes a layer
again does so in another thread on CUDA."""

_ALIGNED = 8
"""Columns of a mask are a multiple of it on CUDA, where the kernel wants its lines so."""

Ints = NDArray[np.int64]
KeyValue = tuple[Tensor, Tensor]
"""Keys and values [rows, heads, tokens, width]; where several query heads share them, once."""
KVCache = dict[int, KeyValue]
"""Layer → its keys and values; empty before anything was read."""


class AttentionPattern(Protocol):
    """How the flat tokens of one forward pass attend."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Each of the three [1, heads, tokens, width], keys and values of fewer heads perhaps.

        Returns [1, tokens, heads, width].
        """


@dataclass(frozen=True)
class RowIndex:
    """Where flat tokens stand in rows."""

    gather: Tensor
    """[rows, longest]: which flat token stands where in its row; padding repeats any."""
    scatter: Tensor
    """[tokens]: where each flat token stands in the flattened rows."""

    def by_row(self, states: Tensor) -> Tensor:
        """[1, heads, tokens, width] → [rows, heads, longest, width]."""
        found: Tensor = _apply(_ToRows, states[0].transpose(0, 1), self.gather, self.scatter)
        return found.transpose(1, 2)

    def flat(self, states: Tensor) -> Tensor:
        """[rows, heads, longest, width] → [tokens, heads, width]."""
        found: Tensor = _apply(_ToTokens, states.transpose(1, 2), self.scatter)
        return found


@dataclass(frozen=True)
class PackedRows:
    """Rows that do not see each other, each read after the same prefix."""

    keys: RowIndex
    mask: Tensor | None = None
    """[rows, 1, most queries, most keys], added to the scores; None: causal, with padding on the right."""
    prefix: KVCache = field(default_factory=dict)
    """One row, which all rows are read after."""
    kept: KVCache | None = None
    """Filled with each layer's flat keys and values [1, heads, tokens, width] where they are wanted."""
    queries: RowIndex | None = None
    """Where not every token asks, places of those that do."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `Layout`."""
        if self.kept is not None:
            self.kept[layer] = key, value
        queries = self.queries or self.keys
        own = queries.by_row(query), self.keys.by_row(key), self.keys.by_row(value)
        if not self.prefix:
            return queries.flat(_whole(*own, self.mask, scale))[None]
        seen, weight = partial(*own, self.mask, scale)
        before, before_weight = partial(query, *self.prefix[layer], None, scale, causal=False)
        weight = queries.flat(weight[..., None])
        return merged(queries.flat(seen), weight, *_tokens_first(before, before_weight))[None]

    def queried_by(self, tokens: Tensor) -> PackedRows:
        """The same for a query of those flat tokens alone, in rising order."""
        columns, stand = self.keys.gather.shape[1], self.keys.scatter[tokens]
        querying = np.bincount((stand // columns).cpu().numpy(), minlength=len(self.keys.gather))
        gather, scatter = (on_device(found, tokens.device) for found in places(querying, int(querying.max())))
        column = (stand % columns)[gather.clamp_(max=len(tokens) - 1)]
        if self.mask is None:
            mask = added_mask(column[:, None, :, None] >= torch.arange(columns, device=tokens.device))
        else:
            mask = self.mask.gather(2, column[:, None, :, None].expand(-1, -1, -1, columns))
        return replace(self, mask=mask, queries=RowIndex(gather, scatter))


def end_to_end(
    lengths: Ints,
    device: torch.device,
    branch: Ints | None = None,
    prefix: KVCache | None = None,
    kept: KVCache | None = None,
) -> PackedRows:
    """Rows of those lengths, laid end to end.

    branch: for each token 0 on its row's trunk, 1, 2, … on the branches behind it, which see the trunk and themselves;
    None where no row has branches.
    """
    columns = columns_for(int(lengths.max()), device)
    gather, scatter = (on_device(found, device) for found in places(lengths, columns))
    mask = None
    if branch is not None:
        order = torch.arange(columns, device=device)
        of = on_device(branch, device)[gather].masked_fill(order >= on_device(lengths, device)[:, None], -1)
        keys, queries = of[:, None, :], of[:, :, None]
        seen = (order[:, None] >= order) & ((keys == 0) | (keys == queries))
        mask = added_mask(seen[:, None])
    return PackedRows(RowIndex(gather, scatter), mask, prefix or {}, kept)


def places(lengths: Ints, columns: int) -> tuple[Ints, Ints]:
    """`gather` and `scatter` of `Places` for rows of those lengths, end to end."""
    column, starts = np.arange(columns), np.cumsum(lengths) - lengths
    there = column < lengths[:, None]
    return np.where(there, starts[:, None] + column, starts[:, None]), np.flatnonzero(there)


def columns_for(tokens: int, device: torch.device) -> int:
    """How many columns a mask of rows of up to `tokens` tokens has."""
    step = 1 if device.type == "cpu" else _ALIGNED
    return -(-tokens // step) * step


def on_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """The array as a tensor. A GPU is not waited for."""
    found = torch.from_numpy(values)
    return found if device.type == "cpu" else found.pin_memory().to(device, non_blocking=True)


def added_mask(seen: Tensor) -> Tensor:
    """What is added to attention scores: 0 where a key is seen, else −∞."""
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, float("-inf"))


@dataclass(frozen=True)
class DecodeCache:
    """Rows that grow by one token a pass, each behind the same prefix, in buffers made beforehand."""

    prefix: KVCache
    own: KVCache
    """[slots, heads, room, width]: the keys and values of each row so far."""
    rows: Tensor
    """[slots]: 0, 1, …"""
    places: Tensor
    """[slots]: where in its buffer each row's new token goes."""
    mask: Tensor
    """[slots, 1, 1, columns], added to the scores: −∞ beyond a row's new token."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `Layout`. The new tokens' keys and values are written into the buffers."""
        keys, values = self.own[layer]
        keys[self.rows, :, self.places] = key[0].transpose(0, 1)
        values[self.rows, :, self.places] = value[0].transpose(0, 1)
        one = query[0].transpose(0, 1)[:, :, None]
        rows, columns = len(self.rows), self.mask.shape[-1]
        seen, weight = partial(one, keys[:rows, :, :columns], values[:rows, :, :columns], self.mask, scale)
        seen, weight = seen[:, :, 0], weight[:, :, 0, None]
        if self.prefix:
            before = partial(query, *self.prefix[layer], None, scale, causal=False)
            seen = merged(seen, weight, *_tokens_first(*before))
        return seen[None]


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
) -> tuple[Tensor, Any]:
    """What transformers calls for each layer: query [1, heads, tokens, width], keys and values of fewer heads perhaps.

    Returns [1, tokens, heads, width] and no weights. Without a layout it is transformers' own attention.
    """
    layout: AttentionPattern | None = options.pop(LAYOUT, None)
    if layout is None:
        untyped: Any = sdpa_attention_forward
        plain: tuple[Tensor, Any] = untyped(module, query, key, value, mask, **options)
        return plain
    # Under autocast values come in half precision and what was rotated in full: attention is done in the former.
    query, key = query.to(value.dtype), key.to(value.dtype)
    scale = options.get("scaling") or query.shape[-1] ** -0.5
    return layout.attend(module.layer_idx, query, key, value, scale), None


def no_mask(like: Tensor) -> Tensor:
    """What a model is given for a mask where a layout says who sees whom: it makes none of its own then.

    NaN, so that attention which does not know of layouts gives NaN instead of wrong numbers.
    """
    return torch.full((1, 1, 1, 1), float("nan"), device=like.device)


def _whole(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    added = None if mask is None else mask.to(query.dtype)
    key, value = _for_each_head(query, key, value)
    return scaled_dot_product_attention(query, key, value, attn_mask=added, is_causal=mask is None, scale=scale)


def _for_each_head(query: Tensor, key: Tensor, value: Tensor) -> KeyValue:
    """Keys and values that several query heads share, repeated for each."""
    groups = query.shape[1] // key.shape[1]
    return (key, value) if groups == 1 else (key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1))


def partial(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, causal: bool = True
) -> KeyValue:
    """(attention [rows, heads, queries, width], log-sum-exp [rows, heads, queries] of the scores) over some keys.

    Without a mask the keys are those of the queries up to themselves (`causal`) or all. Every query must see a key.
    """
    causal = causal and mask is None
    if not causal and (mask is None or query.shape[2] == 1):
        # All queries see the same keys, so the heads that share keys are more queries of one head.
        rows, heads, queries, width = query.shape
        together = query.reshape(rows, key.shape[1], -1, width)
        seen, weight = _fused(together, key, value, mask, scale, causal)
        return seen.reshape(rows, heads, queries, width), weight.reshape(rows, heads, queries)
    return _fused(query, *_for_each_head(query, key, value), mask, scale, causal)


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, causal: bool) -> KeyValue:
    """Torch's kernels behind `scaled_dot_product_attention`, which keeps their log-sum-exps to itself."""
    added = None if mask is None else mask.to(query.dtype)
    if query.device.type == "cpu":
        found: KeyValue = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, is_causal=causal, attn_mask=added, scale=scale
        )
        return found
    if added is None and query.dtype != torch.float32:
        seen, weight, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, scale=scale
        )
    else:
        if added is not None:
            added = added.expand(len(query), query.shape[1], query.shape[2], -1)
        seen, weight, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, added, True, 0.0, causal, scale=scale
        )
    return seen, weight[:, :, : query.shape[2]]


def merged(seen: Tensor, weight: Tensor, other: Tensor, other_weight: Tensor) -> Tensor:
    """Attention over the keys of both, from that over each [..., width] and the log-sum-exps [..., 1]."""
    share = torch.sigmoid(other_weight.float() - weight.float())
    return torch.lerp(seen.float(), other.float(), share).to(seen.dtype)


def _tokens_first(seen: Tensor, weight: Tensor) -> KeyValue:
    """[1, heads, tokens, width] and [1, heads, tokens] → [tokens, heads, width] and [tokens, heads, 1]."""
    return seen[0].transpose(0, 1), weight[0].transpose(0, 1)[..., None]


class _ToRows(torch.autograd.Function):
    """states [tokens, …] → states[gather] [rows, longest, …].

    Padding repeats a token and is read by nobody, so its gradient is zero, and the gradient of a token is that of its
    own place: what indexing would sum up from all places, sorting them first on CUDA.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, gather: Tensor, scatter: Tensor) -> Tensor:
        ctx.save_for_backward(scatter)
        return _taken(states, gather.flatten()).view(*gather.shape, *states.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _taken(gradient.flatten(0, 1), ctx.saved_tensors[0]), None, None


class _ToTokens(torch.autograd.Function):
    """states [rows, longest, …] → their flat tokens [tokens, …]."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, scatter: Tensor) -> Tensor:
        ctx.save_for_backward(scatter)
        ctx.shape = states.shape
        return _taken(states.flatten(0, 1), scatter)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        places = gradient.new_zeros(ctx.shape).flatten(0, 1)
        return places.index_copy_(0, ctx.saved_tensors[0], gradient).view(ctx.shape), None


def _taken(states: Tensor, chosen: Tensor) -> Tensor:
    """`states[chosen]` of [tokens, …]: line by line of memory, where indexing goes number by number."""
    return states.flatten(1).index_select(0, chosen).view(-1, *states.shape[1:])


def _apply(function: Any, *given: Any) -> Any:
    """Torch's `apply` has no types."""
    return function.apply(*given)


AttentionInterface.register(NAME, attend)
_untyped_mask: Any = sdpa_mask
AttentionMaskInterface.register(NAME, _untyped_mask)
