"""A causal language model split into decoder and head: hidden states of chosen tokens, logits only where needed."""

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
"""Model types that accept an attention pattern and whose logits are `head(decoder(ids))`; each is tested."""
_SHARE_OF_MEMORY = 0.4
"""Share of the free memory that the tokens of one forward pass may take."""


@dataclass(frozen=True)
class Network:
    """The loaded model on its device, with the two ways to run it: packed rows, or row by row."""

    model: Any
    """A transformers `PreTrainedModel`, untyped because its own annotations are partial."""
    precision: str
    """float32, or bfloat16 by autocast (the weights stay float32)."""
    device: torch.device
    tokenizer_limit: int | None = None
    """Maximum text length in tokens by the tokenizer's files; used where the model's config states no limit."""
    reads_on: bool = True
    """Whether generation can continue from the model's cache token by token; False: each step recomputes the row."""
    needs_cache: bool = False
    """Whether the logits of a row are correct only with a cache (some architectures share layers through it)."""

    @cached_property
    def context_length(self) -> int:
        """Maximum number of tokens of one sequence, prompt and answer together."""
        return window.context_length(self.model, self.tokenizer_limit)

    def supports_packing(self, longest: int) -> bool:
        """Whether rows of up to `longest` tokens may run packed, sharing prefixes; False: each row runs by itself."""
        known = self.model.config.model_type in KNOWN and not self._rope_by_length
        return known and (self._window is None or longest <= self._window)

    @property
    def _rope_by_length(self) -> str:
        """The type of rotary embedding if it depends on the longest row of a forward pass, else an empty text."""
        kind = (getattr(self.model.config, "rope_parameters", None) or {}).get("rope_type", "")
        return kind if kind in ("dynamic", "longrope") else ""

    @property
    def _window(self) -> int | None:
        """Size of the attention window in tokens (sliding-window attention); None: attention is not limited."""
        config = self.model.config
        slides = config.model_type == "mistral" or "sliding_attention" in (getattr(config, "layer_types", None) or ())
        return getattr(config, "sliding_window", None) if slides else None

    def remark(self) -> str:
        """A sentence for users about rows that run one by one instead of packed; empty where all can be packed."""
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
        """Autocast to bfloat16 (of torch); without effect in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def tensor(self, values: Any) -> Tensor:
        """Integers → int64 tensor on the device (the copy to a GPU is asynchronous); a tensor is returned unchanged."""
        return values if isinstance(values, Tensor) else on_device(np.asarray(values, dtype=np.int64), self.device)

    def read(self, ids: Any, positions: Any, layout: AttentionPattern, wanted: Any = None) -> Tensor:
        """Last hidden states [wanted, width] of flat tokens [tokens], by a forward pass without the head.

        ids, positions: [tokens], token ids and position indices. layout: which token attends to which.
        wanted: indices of the tokens whose states are returned; None for all.
        """
        ids, positions = self.tensor(ids), self.tensor(positions)
        wanted = None if wanted is None else self.tensor(wanted)
        if self._fused and self._fused.applies():
            return self._fused.read(ids, positions, layout, wanted)
        with self._last_layer_only_for(wanted, len(ids)):
            hidden: Tensor = self.model.base_model(
                ids[None],
                position_ids=positions[None],
                attention_mask=no_mask(ids),
                use_cache=False,
                **{LAYOUT: layout},
            )[0][0]
        return hidden if wanted is None else hidden[wanted]

    @cached_property
    def _fused(self) -> FusedDecoder | None:
        """The fused decoder of the model; None on a GPU, in bfloat16, or for other architectures."""
        supported = self.device.type == "cpu" and self.precision == "float32"
        return FusedDecoder.of(self.model) if supported else None

    @contextmanager
    def _last_layer_only_for(self, wanted: Tensor | None, tokens: int) -> Iterator[None]:
        """Inside, the last layer's output projection and MLP are computed for the wanted tokens only.

        The final states of all other tokens are wrong then, so only those of the wanted ones may be used.
        """
        hooks = []
        if wanted is not None:
            for module in self._after_attention:
                hooks.append(module.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, wanted],)))
                hooks.append(module.register_forward_hook(lambda _, __, out: _scattered(out, wanted, tokens)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @cached_property
    def _after_attention(self) -> tuple[Any, ...]:
        """The output projection of the last layer's attention, and its MLP."""
        last = self.model.base_model.layers[-1]
        attention = getattr(last, "self_attn", None) or last.attention
        return getattr(attention, "o_proj", None) or attention.dense, last.mlp

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 logits [..., vocabulary] of hidden states [..., width]."""
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        return logits.float()

    def row_logits(self, ids: Tensor) -> Tensor:
        """Logits [rows, tokens, vocabulary] of ids [rows, tokens], by the model's own forward pass."""
        can_skip_cache = not self.needs_cache and "use_cache" in inspect.signature(self.model.forward).parameters
        logits: Tensor = self.model(ids, **({"use_cache": False} if can_skip_cache else {})).logits
        return logits

    def next_logits(self, ids: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """Logits [vocabulary] for the token after `ids` [1, tokens], and the cache for the next call.

        cache: the cache that was returned for the tokens before `ids`. The returned cache is None where the model has
        none that can be continued from; the next call must pass all ids again then.
        """
        name = self._cache_argument
        if name is None or not self.reads_on:
            return self.row_logits(ids)[0, -1], None
        output = self.model(ids, use_cache=True, **({name: cache} if cache else {}))
        return output.logits[0, -1], getattr(output, name, None)

    @cached_property
    def _cache_argument(self) -> str | None:
        """Name of the model's cache argument: `cache` from transformers 5.24 on, `past_key_values` before.

        None for models without either (they keep no keys and values).
        """
        names = inspect.signature(self.model.base_model.forward).parameters
        return next((name for name in ("cache", "past_key_values") if name in names), None)

    def read_prefix(self, prefix: tuple[int, ...]) -> KVCache:
        """Each layer's keys and values of the prefix, by one forward pass; empty for an empty prefix."""
        kept: KVCache = {}
        if prefix:
            layout = end_to_end(np.array([len(prefix)]), self.device, kept=kept)
            self.read(prefix, range(len(prefix)), layout, wanted=[len(prefix) - 1])
        return kept

    def tokens_in_memory(self, training: bool = False) -> int:
        """Number of tokens that one forward pass may have within 40 % of the free memory; a power of two.

        A layer's activations are estimated as 16 vectors of the model's width and 5 of the MLP's width per token, in
        float32. With `training` every layer keeps its activations, else two layers do.
        """
        layer = 4 * (16 * window.width(self.model) + 5 * window.inner_width(self.model))
        layers = window.layers(self.model) if training else 2
        room = max(1, int(_SHARE_OF_MEMORY * self.free_memory()) // int(layer * layers))
        return 1 << (room.bit_length() - 1)  # a power of two, so that small changes of free memory do not change it

    def free_memory(self) -> int:
        """Free memory in bytes. On a CPU it is this process's share, threads / cores: other workers use the rest."""
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            return int(free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return int(_available() * min(1.0, torch.get_num_threads() / cores))

    @contextmanager
    def recomputing(self, wanted: bool) -> Iterator[None]:
        """Inside, gradient checkpointing is on if `wanted`: a third more time, far less memory.

        It covers all layers but the last, because the hooks of `_last_layer_only_for` are gone in the backward pass.
        Only the layers themselves are set to training mode; their submodules are not, so there is no dropout.
        """
        layers: list[Any] = [
            module for module in self.model.modules() if isinstance(module, GradientCheckpointingLayer)
        ]
        chosen = layers[:-1] if wanted else []
        for layer in chosen:
            # The random state need not be preserved: there is no dropout, and a CUDA graph could not record it.
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
            layer.gradient_checkpointing = layer.training = True
        try:
            yield
        finally:
            for layer in chosen:
                layer.gradient_checkpointing = layer.training = False


def _available() -> int:
    """Available memory in bytes. On Linux it includes the page cache, which the kernel frees on demand."""
    facts = Path("/proc/meminfo")
    for line in facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _scattered(states: Tensor, wanted: Tensor, tokens: int) -> Tensor:
    """[1, wanted, width] → [1, tokens, width], with zeros for all other tokens."""
    return states.new_zeros(1, tokens, states.shape[-1]).index_copy(1, wanted, states)
