"""A causal language model seen as body and head: hidden states of chosen tokens first, logits only where asked."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

KNOWN = frozenset({"llama", "olmo", "olmo2", "gpt_neox", "qwen2", "mistral"})
"""Model types whose attention takes a mask of our own and whose logits are `head(body(ids))`; tested one by one."""


@dataclass(frozen=True)
class Network:
    """The live model on its device. bfloat16 means autocast: the weights stay float32."""

    model: Any
    """A transformers `PreTrainedModel`, whose own annotations are partial."""
    precision: str
    device: torch.device

    @cached_property
    def context_length(self) -> int:
        return int(self.model.config.max_position_embeddings)

    @cached_property
    def end_of_text(self) -> frozenset[int]:
        """Ids that end a generation, by the model's generation config or else its config."""
        generation = getattr(self.model, "generation_config", None)
        found = getattr(generation, "eos_token_id", None)
        found = self.model.config.eos_token_id if found is None else found
        return frozenset() if found is None else frozenset(found if isinstance(found, list) else [found])

    @property
    def has_plain_head(self) -> bool:
        """Whether logits are known to be `head(body(ids))`, without a scale or cap behind the head."""
        return self.model.config.model_type in KNOWN

    def takes_own_masks(self, longest: int) -> bool:
        """Whether rows of up to `longest` tokens may share contexts; else every row is read the plain way."""
        config = self.model.config
        if not self.has_plain_head:
            return False
        slides = config.model_type == "mistral" or "sliding_attention" in (getattr(config, "layer_types", None) or ())
        window = getattr(config, "sliding_window", None) if slides else None
        return window is None or longest <= window

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def tensor(self, values: Any) -> Tensor:
        """Whole numbers → int64 tensor on the device."""
        return torch.as_tensor(values, dtype=torch.int64, device=self.device)

    def hidden(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        seen: Tensor | None = None,
        cache: DynamicCache | None = None,
    ) -> Tensor:
        """Last hidden states [rows, tokens, width] of `ids` [rows, tokens].

        seen: bool [rows, tokens, keys], which of the cached and own keys each token attends to; None is causal.
        cache: keys and values of earlier tokens; those of `ids` are added to it.
        """
        extra: dict[str, Any] = {}
        if positions is not None:
            extra["position_ids"] = positions
        if seen is not None:
            mask = torch.zeros(seen.shape, dtype=torch.float32, device=self.device)
            extra["attention_mask"] = mask.masked_fill_(~seen, float("-inf"))[:, None]
        if cache is not None:
            extra[self.cache_argument] = cache
        hidden: Tensor = self.model.base_model(ids, use_cache=cache is not None, **extra)[0]
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 logits [..., vocabulary] of hidden states [..., width]."""
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        return logits.float()

    @cached_property
    def cache_argument(self) -> str:
        """`transformers` ≥ 5.24 says `cache`, earlier ones `past_key_values`."""
        names = inspect.signature(self.model.base_model.forward).parameters
        return "cache" if "cache" in names else "past_key_values"

    def read_prefix(self, prefix: tuple[int, ...]) -> DynamicCache:
        """Keys and values of the prefix, one row."""
        cache = DynamicCache()
        if prefix:
            self.hidden(self.tensor([prefix]), cache=cache)
        return cache

    def shared(self, prefix: DynamicCache, rows: int, room: int) -> DynamicCache:
        """A cache of `rows` rows that all begin with the one row of `prefix`, with room for `room` more tokens."""
        cache = DynamicCache()
        start = prefix.get_seq_length()
        for number in range(self.model.config.num_hidden_layers):
            layer: Any = RoomyLayer(start + room)
            if start:
                one: Any = prefix.layers[number]
                layer.update(one.keys.expand(rows, -1, -1, -1), one.values.expand(rows, -1, -1, -1))
            cache.layers.append(layer)
        return cache


class RoomyLayer(DynamicLayer):
    """Keys and values [rows, heads, tokens, width] in a buffer with room for all that will come.

    The layer that it replaces copies everything with each new token.
    """

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write the new tokens' keys and values behind the others; returns all of them as views."""
        if not self.is_initialized:
            self._key_buffer = _roomy(key_states, self.room)
            self._value_buffer = _roomy(value_states, self.room)
            self.is_initialized, self.length = True, 0
        begin, self.length = self.length, self.length + key_states.shape[-2]
        self._key_buffer[:, :, begin : self.length] = key_states
        self._value_buffer[:, :, begin : self.length] = value_states
        return self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the named rows only."""
        self._key_buffer, self._value_buffer = self._key_buffer[indices], self._value_buffer[indices]
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys = self._key_buffer[:, :, : self.length]
        self.values = self._value_buffer[:, :, : self.length]
        return self.keys, self.values


def _roomy(states: Tensor, room: int) -> Tensor:
    rows, heads, _, width = states.shape
    return states.new_empty(rows, heads, room, width)
