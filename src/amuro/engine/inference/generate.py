"""Greedy generation with continuous batching: the prefix runs once, and a finished row is replaced by a waiting one."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from amuro.core.errors import AmuroError
from amuro.core.requests import Generation, RequestBatch
from amuro.engine.base import Decode
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import DecodeCache, KVCache, added_mask, columns_for, end_to_end

_TOKENS = {"cpu": 1024, "cuda": 32768}
"""Maximum context tokens per prefill pass."""
_ROWS = {"cpu": 128, "cuda": 512}
"""Rows that are decoded together; more is not faster (on a CPU 64 rows took 20 % longer, 256 as long)."""
_SHARE_OF_MEMORY = 0.2
"""Share of the free memory that keys and values of all rows may take."""
_REFILLED = 0.75
"""Rows are refilled once fewer than this share still generate, so that a prefill covers several contexts."""


def generate(network: Network, request_batch: RequestBatch, decode: Decode) -> list[Generation]:
    """Greedy continuation of each request; `Generation.tokens` counts generated tokens, end-of-text included.

    A row ends at a stop string, at an id of `request_batch.ends`, after `request_batch.max_new_tokens`, or where the
    context length is full. Raises AmuroError on an empty context or one that leaves no room to answer.
    """
    longest = max((len(request_batch.prefix) + len(request.context) for request in request_batch.requests), default=0)
    if longest >= network.context_length and not request_batch.past_window:
        raise AmuroError(
            f"a prompt of {request_batch.cell.eval_set} has {longest} tokens, the model reads {network.context_length}",
            "use fewer shots",
        )
    if not all(request.context for request in request_batch.requests):
        raise AmuroError(f"a request of {request_batch.cell.eval_set} has an empty context", "give it words")
    if not all(request_batch.stop):
        raise AmuroError(f"{request_batch.cell.eval_set} stops at an empty text", "leave it out of stop")
    stopped = _Stop(request_batch.ends, request_batch.stop, decode)
    with torch.no_grad(), network.autocast():
        if network.supports_packing(longest + request_batch.max_new_tokens):
            generates = request_batch.requests and request_batch.max_new_tokens
            generated = (
                _ContinuousBatch(network, request_batch, stopped).generate_all()
                if generates
                else [[] for _ in request_batch.requests]
            )
        else:
            generated = [
                _generate_by_row(network, request_batch, request.context, stopped) for request in request_batch.requests
            ]
    return [_finish(request_batch, ids, decode) for ids in generated]


@dataclass
class _Stop:
    """Whether the generated tokens end a row.

    Only a token with the last character of a stop string can complete it, so for most tokens no text is decoded.
    """

    ends: frozenset[int]
    stop: tuple[str, ...]
    decode: Decode
    _completes: dict[int, bool] = field(default_factory=dict)

    def __call__(self, generated: list[int]) -> bool:
        if not generated:
            return False
        if generated[-1] in self.ends:
            return True
        if not self.stop or not self._may_complete(generated[-1]):
            return False
        text = self.decode(generated)
        return any(stop in text for stop in self.stop)

    def _may_complete(self, token: int) -> bool:
        """Whether the token may complete a stop string (cached).

        True also for a token with an incomplete UTF-8 character, and for every token if a stop string ends in a space,
        since some decoders drop a leading space.
        """
        if token not in self._completes:
            text = self.decode([token])
            uncertain = "\N{REPLACEMENT CHARACTER}" in text or any(stop.endswith(" ") for stop in self.stop)
            self._completes[token] = uncertain or any(stop[-1] in text for stop in self.stop)
        return self._completes[token]


class _ContinuousBatch:
    """All requests of one batch in generation. Active rows fill the buffers from row 0 on, without gaps."""

    def __init__(self, network: Network, request_batch: RequestBatch, stopped: Callable[[list[int]], bool]) -> None:
        """stopped: whether a row with these generated tokens has ended."""
        self._network, self._batch, self._stopped = network, request_batch, stopped
        self._prefix = network.read_prefix(request_batch.prefix)
        self._generated: list[list[int]] = [[] for _ in request_batch.requests]
        self._waiting = deque(
            sorted(range(len(request_batch.requests)), key=lambda index: len(request_batch.requests[index].context))
        )
        self._end = _end(network, request_batch)
        room = max(len(request.context) for request in request_batch.requests) + request_batch.max_new_tokens
        self._buffers, self._rows = _buffers(network, len(request_batch.requests), columns_for(room, network.device))
        self._active: list[int] = []
        """[active rows]: index of the row's request."""
        self._lengths: list[int] = []
        """[active rows]: tokens in the row's buffer."""

    def generate_all(self) -> list[list[int]]:
        """The generated token ids of each request."""
        while self._waiting or self._active:
            while self._waiting and len(self._active) <= _REFILLED * self._rows:
                self._refill()
            if self._active:
                self._step()
        return self._generated

    def _refill(self) -> None:
        """Prefill waiting contexts into free rows: as many as there are rows and as fit into one forward pass."""
        network, first = self._network, len(self._active)
        chosen: list[int] = []
        budget = min(_TOKENS[network.device.type], network.tokens_in_memory())
        while self._waiting and first + len(chosen) < self._rows:
            length = len(self._batch.requests[self._waiting[0]].context)
            if chosen and length > budget:
                break
            budget -= length
            chosen.append(self._waiting.popleft())
        contexts = [self._batch.requests[index].context for index in chosen]
        lengths = np.array([len(context) for context in contexts])
        kept: KVCache = {}
        packed = end_to_end(lengths, network.device, prefix=self._prefix, kept=kept)
        start = len(self._batch.prefix)
        hidden = network.read(
            [token for context in contexts for token in context],
            [start + place for length in lengths for place in range(length)],
            packed,
            np.cumsum(lengths) - 1,
        )
        rows = network.tensor(np.repeat(np.arange(first, first + len(chosen)), lengths))
        places = network.tensor(np.concatenate([np.arange(length) for length in lengths]))
        for layer, (keys, values) in kept.items():
            self._buffers[layer][0][rows, :, places] = keys[0].transpose(0, 1)
            self._buffers[layer][1][rows, :, places] = values[0].transpose(0, 1)
        self._active += chosen
        self._lengths += lengths.tolist()
        self._append_next_tokens(hidden, first)

    def _step(self) -> None:
        """One decoding step: run the last token of every active row, and append the next one."""
        network, lengths = self._network, self._network.tensor(self._lengths)
        columns = columns_for(max(self._lengths) + 1, network.device)
        visible = torch.arange(columns, device=network.device) <= lengths[:, None]
        rows = torch.arange(len(lengths), device=network.device)
        cache = DecodeCache(self._prefix, self._buffers, rows, lengths, added_mask(visible[:, None, None]))
        last_tokens = [self._generated[index][-1] for index in self._active]
        hidden = network.read(last_tokens, lengths + len(self._batch.prefix), cache)
        self._lengths = [length + 1 for length in self._lengths]
        self._append_next_tokens(hidden, 0)

    def _append_next_tokens(self, hidden: Tensor, first: int) -> None:
        """Append the likeliest next token to the rows from `first` on, and remove the rows that have ended.

        hidden: [rows from `first` on, width], the last hidden state of each.
        """
        ended = []
        for row, token in enumerate(self._network.logits(hidden).argmax(-1).tolist(), start=first):
            generated = self._generated[self._active[row]]
            generated.append(token)
            full = len(self._batch.prefix) + self._lengths[row] >= self._end
            if full or len(generated) == self._batch.max_new_tokens or self._stopped(generated):
                ended.append(row)
        if ended:
            self._remove(ended)

    def _remove(self, ended: list[int]) -> None:
        """Free the rows that have ended: the last active rows are copied into their places."""
        remaining = len(self._active) - len(ended)
        free = [row for row in ended if row < remaining]
        moved = [row for row in range(remaining, len(self._active)) if row not in ended]
        if free:
            used = max(self._lengths[row] for row in moved)
            target, source = self._network.tensor(free), self._network.tensor(moved)
            for keys, values in self._buffers.values():
                keys[target, :, :used], values[target, :, :used] = keys[source, :, :used], values[source, :, :used]
        for row, mover in zip(free, moved, strict=True):
            self._active[row], self._lengths[row] = self._active[mover], self._lengths[mover]
        del self._active[remaining:], self._lengths[remaining:]


def _buffers(network: Network, requests: int, room: int) -> tuple[KVCache, int]:
    """(zeroed keys and values of every layer [rows, key heads, room, head width], number of rows).

    The number of rows is limited by the requests, the device and the free memory. room: tokens per row.
    """
    config = network.model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dtype = torch.bfloat16 if network.precision == "bfloat16" else torch.float32
    row = 2 * config.num_hidden_layers * heads * room * width * dtype.itemsize
    rows = min(requests, _ROWS[network.device.type], max(1, int(_SHARE_OF_MEMORY * network.free_memory()) // row))

    def empty() -> Tensor:
        return torch.zeros(rows, heads, room, width, dtype=dtype, device=network.device)

    return {layer: (empty(), empty()) for layer in range(config.num_hidden_layers)}, rows


def _generate_by_row(
    network: Network, request_batch: RequestBatch, context: tuple[int, ...], stopped: Callable[[list[int]], bool]
) -> list[int]:
    """The generated ids of one row through the model's own cache, for models that do not support packed rows."""
    # The last generated token is never an input, hence the + 1.
    room = _end(network, request_batch) - len(request_batch.prefix) - len(context) + 1
    prompt, cache = [*request_batch.prefix, *context], None
    generated: list[int] = []
    while len(generated) < min(request_batch.max_new_tokens, room) and not stopped(generated):
        ids = network.tensor([generated[-1:] if cache else [*prompt, *generated]])
        logits, cache = network.next_logits(ids, cache)
        generated.append(int(logits.argmax()))
    return generated


def _end(network: Network, request_batch: RequestBatch) -> int:
    """The first position at which no more is generated: the context length, or no limit with `past_window`."""
    return sys.maxsize if request_batch.past_window else network.context_length


def _finish(request_batch: RequestBatch, generated: list[int], decode: Decode) -> Generation:
    """The generation as text, cut at the first stop string and without an end-of-text token."""
    ended = bool(generated) and generated[-1] in request_batch.ends
    text = decode(generated[:-1] if ended else generated)
    cuts = [text.index(stop) for stop in request_batch.stop if stop in text]
    return Generation(text[: min(cuts, default=len(text))], ended or bool(cuts), len(generated))
