"""Attention over packed rows: many rows stored end to end without padding, all after one shared prefix.

A transformers model runs unchanged on one long row of tokens. Only its attention function is replaced, and an
`AttentionPattern` decides which token attends to which. The keys and values of the prefix are stored once and never
copied: attention over the prefix and attention over a row's own tokens are computed separately and merged exactly
(`attention_kernels.merged`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from amuro.engine.forward.attention_kernels import (
    KeyValue,
    full,
    merged,
    partial,
    to_rows,
    to_tokens,
    tokens_first,
)

NAME = "amuro"
"""Name of this attention function in transformers."""
LAYOUT = "amuro_layout"
"""Keyword that carries the attention pattern through the model. A context variable would not do: on CUDA a backward
pass that recomputes a layer runs in another thread."""

_ALIGNED = 8
"""On CUDA the number of mask columns is a multiple of this, as the kernel requires."""

Ints = NDArray[np.int64]
KVCache = dict[int, KeyValue]
"""Layer number → its keys and values; empty before the first forward pass."""


class AttentionPattern(Protocol):
    """Which of the flat tokens of one forward pass attend to which."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attention of one layer, returned as [1, tokens, heads, head width].

        query: [1, heads, tokens, head width]. key, value: the same with as many heads or fewer (grouped queries).
        scale: factor on the scores.
        """


@dataclass(frozen=True)
class RowIndex:
    """Index arrays between flat tokens and padded rows."""

    gather: Tensor
    """[rows, longest]: index of the flat token at each place of a row; padding holds the index of any token."""
    scatter: Tensor
    """[tokens]: index of each flat token within the flattened rows."""

    def by_row(self, states: Tensor) -> Tensor:
        """[1, heads, tokens, width] → [rows, heads, longest, width]."""
        return to_rows(states[0].transpose(0, 1), self.gather, self.scatter).transpose(1, 2)

    def flat(self, states: Tensor) -> Tensor:
        """[rows, heads, longest, width] → [tokens, heads, width]."""
        return to_tokens(states.transpose(1, 2), self.scatter)


@dataclass(frozen=True)
class PackedRows:
    """Rows that do not attend to each other, each continuing the same prefix."""

    keys: RowIndex
    mask: Tensor | None = None
    """[rows, 1, most queries, most keys], added to the scores; None: causal, with padding on the right."""
    prefix: KVCache = field(default_factory=dict)
    """Keys and values of the shared prefix, as one row."""
    kept: KVCache | None = None
    """Output: receives each layer's flat keys and values [1, heads, tokens, width]; None: they are not stored."""
    queries: RowIndex | None = None
    """Row index of the query tokens if only some tokens are queries (last layer); None: all are."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `AttentionPattern.attend`."""
        if self.kept is not None:
            self.kept[layer] = key, value
        queries = self.queries or self.keys
        by_row = queries.by_row(query), self.keys.by_row(key), self.keys.by_row(value)
        if not self.prefix:
            return queries.flat(full(*by_row, self.mask, scale))[None]
        attended, log_sum = partial(*by_row, self.mask, scale)
        of_prefix, prefix_log_sum = partial(query, *self.prefix[layer], None, scale, causal=False)
        log_sum = queries.flat(log_sum[..., None])
        return merged(queries.flat(attended), log_sum, *tokens_first(of_prefix, prefix_log_sum))[None]

    def queried_by(self, tokens: Tensor) -> PackedRows:
        """The same rows with only some flat tokens as queries; `tokens`: their indices in rising order."""
        columns, place = self.keys.gather.shape[1], self.keys.scatter[tokens]
        queries_per_row = np.bincount((place // columns).cpu().numpy(), minlength=len(self.keys.gather))
        gather, scatter = (
            on_device(indices, tokens.device) for indices in places(queries_per_row, int(queries_per_row.max()))
        )
        column = (place % columns)[gather.clamp_(max=len(tokens) - 1)]
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
    """The attention pattern of rows of those lengths, stored end to end.

    branch: [tokens], 0 for a token of its row's trunk, 1, 2, … for the branches that continue the trunk. A token
    attends causally to the trunk and to its own branch. None: no row has branches.
    prefix, kept: as in `PackedRows`.
    """
    columns = columns_for(int(lengths.max()), device)
    gather, scatter = (on_device(indices, device) for indices in places(lengths, columns))
    mask = None
    if branch is not None:
        order = torch.arange(columns, device=device)
        branch_at = on_device(branch, device)[gather].masked_fill(order >= on_device(lengths, device)[:, None], -1)
        keys, queries = branch_at[:, None, :], branch_at[:, :, None]
        visible = (order[:, None] >= order) & ((keys == 0) | (keys == queries))
        mask = added_mask(visible[:, None])
    return PackedRows(RowIndex(gather, scatter), mask, prefix or {}, kept)


def places(lengths: Ints, columns: int) -> tuple[Ints, Ints]:
    """The `gather` and `scatter` arrays of a `RowIndex` for rows of those lengths, stored end to end."""
    column, starts = np.arange(columns), np.cumsum(lengths) - lengths
    holds_token = column < lengths[:, None]
    return np.where(holds_token, starts[:, None] + column, starts[:, None]), np.flatnonzero(holds_token)


def columns_for(tokens: int, device: torch.device) -> int:
    """Number of mask columns for rows of up to `tokens` tokens: `tokens`, rounded up to a multiple of 8 on CUDA."""
    step = 1 if device.type == "cpu" else _ALIGNED
    return -(-tokens // step) * step


def on_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """The array as a tensor on `device`; the copy to a GPU is asynchronous."""
    tensor = torch.from_numpy(values)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def added_mask(visible: Tensor) -> Tensor:
    """The mask that is added to attention scores: 0 where `visible` is true, else −∞."""
    return torch.zeros(visible.shape, device=visible.device).masked_fill_(~visible, float("-inf"))


@dataclass(frozen=True)
class DecodeCache:
    """Rows that grow by one token per forward pass, each after the same prefix, in preallocated buffers."""

    prefix: KVCache
    own: KVCache
    """Layer → keys and values [slots, heads, capacity, width] of each row's own tokens so far."""
    rows: Tensor
    """[slots]: 0, 1, …"""
    places: Tensor
    """[slots]: index of each row's new token in its buffer."""
    mask: Tensor
    """[slots, 1, 1, columns], added to the scores: −∞ after a row's new token."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `AttentionPattern.attend`. The new tokens' keys and values are written into the buffers."""
        keys, values = self.own[layer]
        keys[self.rows, :, self.places] = key[0].transpose(0, 1)
        values[self.rows, :, self.places] = value[0].transpose(0, 1)
        new_query = query[0].transpose(0, 1)[:, :, None]
        rows, columns = len(self.rows), self.mask.shape[-1]
        attended, log_sum = partial(new_query, keys[:rows, :, :columns], values[:rows, :, :columns], self.mask, scale)
        attended, log_sum = attended[:, :, 0], log_sum[:, :, 0, None]
        if self.prefix:
            of_prefix = partial(query, *self.prefix[layer], None, scale, causal=False)
            attended = merged(attended, log_sum, *tokens_first(*of_prefix))
        return attended[None]


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
) -> tuple[Tensor, Any]:
    """The attention function that transformers calls for each layer, registered as `NAME`.

    query: [1, heads, tokens, width]; key and value may have fewer heads. Returns ([1, tokens, heads, width], None).
    Without an attention pattern among the options it calls transformers' own attention.
    """
    pattern: AttentionPattern | None = options.pop(LAYOUT, None)
    if pattern is None:
        untyped: Any = sdpa_attention_forward
        plain: tuple[Tensor, Any] = untyped(module, query, key, value, mask, **options)
        return plain
    # Under autocast values are in half precision and rotated queries and keys in float32; attention uses the former.
    query, key = query.to(value.dtype), key.to(value.dtype)
    scale = options.get("scaling") or query.shape[-1] ** -0.5
    return pattern.attend(module.layer_idx, query, key, value, scale), None


def no_mask(like: Tensor) -> Tensor:
    """A [1, 1, 1, 1] stand-in mask for models that run with an attention pattern, so that they build none of their own.

    It is NaN, so that an attention function that ignores the pattern gives NaN instead of wrong numbers.
    """
    return torch.full((1, 1, 1, 1), float("nan"), device=like.device)


AttentionInterface.register(NAME, attend)
_untyped_mask: Any = sdpa_mask
AttentionMaskInterface.register(NAME, _untyped_mask)
