"""A causal language model seen as body and head: hidden states of chosen tokens first, logits only where asked."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from amuro.core.architectures import FAST
from amuro.engine import _window as window
from amuro.engine.forward.fused_llama import FusedDecoder
from amuro.engine.forward.packed_attention import LAYOUT, AttentionPattern, KVCache, end_to_end, no_mask, on_device

KNOWN = FAST
"""Model types whose attention reads a layout and whose logits are `head(body(ids))`; tested one by one."""
_SHARE_OF_MEMORY = 0.4
"""Of the memory that is free, what the tokens of one forward pass may take."""


@dataclass(frozen=True)
class Network:
    """The live model on its device. bfloat16 means autocast: the weights stay float32."""

    model: Any
    """A transformers `PreTrainedModel`, whose own annotations are partial."""
    precision: str
    device: torch.device
    tokenizer_limit: int | None = None
    """Tokens that its tokenizer says a text may have: asked where the model's config says nothing."""
    reads_on: bool = True
    """Whether its cache can be read on from, one word after another; else all is read anew for each."""
    needs_cache: bool = False
    """Whether a row that is read without a cache gives other logits: layers that are passed twice may look into it."""

    @cached_property
    def context_length(self) -> int:
        """Tokens that the model was made to read at once."""
        return window.context_length(self.model, self.tokenizer_limit)

    def reads_layouts(self, longest: int) -> bool:
        """Whether rows of up to `longest` tokens may share what is equal; else every row is read the plain way."""
        known = self.model.config.model_type in KNOWN and not self._rope_by_length
        return known and (self._window is None or longest <= self._window)

    @property
    def _rope_by_length(self) -> str:
        """The kind of rotary embedding, where it depends on the longest row of a pass."""
        kind = (getattr(self.model.config, "rope_parameters", None) or {}).get("rope_type", "")
        return kind if kind in ("dynamic", "longrope") else ""

    @property
    def _window(self) -> int | None:
        """Tokens that attention looks back, where it does not see all."""
        config = self.model.config
        slides = config.model_type == "mistral" or "sliding_attention" in (getattr(config, "layer_types", None) or ())
        return getattr(config, "sliding_window", None) if slides else None

    def remark(self) -> str:
        """Which prompts are read the plain way, in words; empty where none can be."""
        kind = self.model.config.model_type
        if kind not in KNOWN:
            return f"models of type '{kind}' are not known here: rows are read one by one, slower, with equal scores"
        if self._rope_by_length:
            return (
                f"rotary embeddings of type '{self._rope_by_length}' depend on a row's length: rows are read one by one"
            )
        if self._window is not None and self._window < self.context_length:
            return f"attention looks back {self._window} tokens: longer rows are read one by one, with equal scores"
        return ""

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def tensor(self, values: Any) -> Tensor:
        """Whole numbers → int64 tensor on the device, which is not waited for."""
        return values if isinstance(values, Tensor) else on_device(np.asarray(values, dtype=np.int64), self.device)

    def read(self, ids: Any, positions: Any, layout: AttentionPattern, wanted: Any = None) -> Tensor:
        """Last hidden states [wanted, width] of flat tokens that see each other as `layout` says.

        wanted: which tokens' states are returned; None for all.
        """
        ids, positions = self.tensor(ids), self.tensor(positions)
        wanted = None if wanted is None else self.tensor(wanted)
        if self._lean and self._lean.applies():
            return self._lean.read(ids, positions, layout, wanted)
        with self._at_the_end_only(wanted, len(ids)):
            hidden: Tensor = self.model.base_model(
                ids[None],
                position_ids=positions[None],
                attention_mask=no_mask(ids),
                use_cache=False,
                **{LAYOUT: layout},
            )[0][0]
        return hidden if wanted is None else hidden[wanted]

    @cached_property
    def _lean(self) -> FusedDecoder | None:
        plain = self.device.type == "cpu" and self.precision == "float32"
        return FusedDecoder.of(self.model) if plain else None

    @contextmanager
    def _at_the_end_only(self, wanted: Tensor | None, tokens: int) -> Iterator[None]:
        """The last layer's matrices behind attention are multiplied with the wanted tokens only: no other token's
        output is read. The states of the others are wrong then.
        """
        hooks = []
        if wanted is not None:
            for module in self._behind_attention:
                hooks.append(module.register_forward_pre_hook(lambda _, given: (given[0][:, wanted],)))
                hooks.append(module.register_forward_hook(lambda _, __, out: _in_place(out, wanted, tokens)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @cached_property
    def _behind_attention(self) -> tuple[Any, ...]:
        last = self.model.base_model.layers[-1]
        attention = getattr(last, "self_attn", None) or last.attention
        return getattr(attention, "o_proj", None) or attention.dense, last.mlp

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 logits [..., vocabulary] of hidden states [..., width]."""
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        return logits.float()

    def row_logits(self, ids: Tensor) -> Tensor:
        """Logits [rows, tokens, vocabulary] of ids [rows, tokens], by the model's own way of reading."""
        spared = not self.needs_cache and "use_cache" in inspect.signature(self.model.forward).parameters
        logits: Tensor = self.model(ids, **({"use_cache": False} if spared else {})).logits
        return logits

    def next_logits(self, ids: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """Logits [vocabulary] behind the last of `ids` [1, tokens], and the cache to read on with: None where the model
        keeps none that is known here, and must read all again.

        cache: what was given back for the tokens before `ids`.
        """
        name = self._cache_argument
        if name is None or not self.reads_on:
            return self.row_logits(ids)[0, -1], None
        output = self.model(ids, use_cache=True, **({name: cache} if cache else {}))
        return output.logits[0, -1], getattr(output, name, None)

    @cached_property
    def _cache_argument(self) -> str | None:
        """`transformers` ≥ 5.24 says `cache`, earlier ones `past_key_values`; what keeps no keys says neither."""
        names = inspect.signature(self.model.base_model.forward).parameters
        return next((name for name in ("cache", "past_key_values") if name in names), None)

    def read_prefix(self, prefix: tuple[int, ...]) -> KVCache:
        """Each layer's keys and values of the prefix."""
        kept: KVCache = {}
        if prefix:
            layout = end_to_end(np.array([len(prefix)]), self.device, kept=kept)
            self.read(prefix, range(len(prefix)), layout, wanted=[len(prefix) - 1])
        return kept

    def tokens_in_memory(self, training: bool = False) -> int:
        """How many tokens a forward pass may have, by a part of the free memory; `training` keeps every layer's states.

        A layer's states are about 16 vectors of the model's width and 5 of the inner width for each token.
        """
        layer = 4 * (16 * window.width(self.model) + 5 * window.inner_width(self.model))
        layers = window.layers(self.model) if training else 2
        room = max(1, int(_SHARE_OF_MEMORY * self.free_memory()) // int(layer * layers))
        return 1 << (room.bit_length() - 1)  # a round number, so that it is the same a moment later

    def free_memory(self) -> int:
        """Bytes; on a CPU this process's share of them, by its threads: other live processes have the other cores."""
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            return int(free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return int(_available() * min(1.0, torch.get_num_threads() / cores))

    @contextmanager
    def recomputing(self, wanted: bool) -> Iterator[None]:
        """Layers forget their states and compute them again in the backward pass: a third more time, far less memory.

        All but the last, whose hooks are gone by then. Only the layers themselves are told that they train: what is
        inside them stays without dropout.
        """
        layers: list[Any] = [one for one in self.model.modules() if isinstance(one, GradientCheckpointingLayer)]
        chosen = layers[:-1] if wanted else []
        for layer in chosen:
            # No state of random numbers is kept: there is no dropout, and a CUDA graph could not record it.
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
            layer.gradient_checkpointing = layer.training = True
        try:
            yield
        finally:
            for layer in chosen:
                layer.gradient_checkpointing = layer.training = False


def _available() -> int:
    """Bytes that can be had: Linux counts what it holds of files as well, which it gives up when asked."""
    facts = Path("/proc/meminfo")
    for line in facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _in_place(states: Tensor, wanted: Tensor, tokens: int) -> Tensor:
    """[1, wanted, width] → [1, tokens, width]; zeros elsewhere."""
    return states.new_zeros(1, tokens, states.shape[-1]).index_copy(1, wanted, states)
