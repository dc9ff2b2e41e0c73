"""Greedy generation: the prefix is read once, rows step together, and who stops makes room for one who waits."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from amuro.core.errors import AmuroError
from amuro.core.types import Generation, RequestBatch
from amuro.engine.base import Decode
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import DecodeCache, KVCache, added_mask, columns_for, end_to_end

_TOKENS = {"cpu": 1024, "cuda": 32768}
"""Most tokens of contexts that are read at once."""
_ROWS = {"cpu": 128, "cuda": 512}
"""Rows that step together; more would not be faster (on a CPU 64 took 20 % longer, 256 as long)."""
_SHARE_OF_MEMORY = 0.2
"""Of the memory that is free, what keys and values of all rows may take."""
_REFILLED = 0.75
"""Rows are added when fewer than this share still generate: reading contexts one by one would be slow."""


def generate(network: Network, request_batch: RequestBatch, decode: Decode) -> list[Generation]:
    """Greedy continuation of each request of `ask`; `tokens` counts what the model said, end-of-text included.

    A row ends at a stop string, at one of `ask.ends`, after `ask.max_new_tokens`, or where the context length is full.
    Raises AmuroError on an empty context or one that leaves no room to answer.
    """
    longest = max((len(request_batch.prefix) + len(request.context) for request in request_batch.requests), default=0)
    if longest >= network.context_length and not request_batch.past_window:
        raise AmuroError(
            f"a prompt of {request_batch.cell.eval_set} has {longest} tokens, the model reads {network.context_length}",
            "ask with fewer shots",
        )
    if not all(request.context for request in request_batch.requests):
        raise AmuroError(f"a query of {request_batch.cell.eval_set} has an empty context", "give it words")
    if not all(request_batch.stop):
        raise AmuroError(f"{request_batch.cell.eval_set} stops at an empty text", "leave it out of stop")
    stopped = _Stop(request_batch.ends, request_batch.stop, decode)
    with torch.no_grad(), network.autocast():
        if network.reads_layouts(longest + request_batch.max_new_tokens):
            speaks = request_batch.requests and request_batch.max_new_tokens
            said = (
                _Generating(network, request_batch, stopped).all_said()
                if speaks
                else [[] for _ in request_batch.requests]
            )
        else:
            said = [_say_alone(network, request_batch, request.context, stopped) for request in request_batch.requests]
    return [_finish(request_batch, ids, decode) for ids in said]


@dataclass
class _Stop:
    """Whether what was said ends a row. Only a token that holds a stop string's last letter can complete one, so most
    tokens need no look at the whole text.
    """

    ends: frozenset[int]
    stop: tuple[str, ...]
    decode: Decode
    _completes: dict[int, bool] = field(default_factory=dict)

    def __call__(self, said: list[int]) -> bool:
        if not said:
            return False
        if said[-1] in self.ends:
            return True
        if not self.stop or not self._may_complete(said[-1]):
            return False
        text = self.decode(said)
        return any(stop in text for stop in self.stop)

    def _may_complete(self, token: int) -> bool:
        """A token of bytes that are no whole letter may, and where a space counts any: some decoders drop the first."""
        if token not in self._completes:
            text = self.decode([token])
            doubtful = "\N{REPLACEMENT CHARACTER}" in text or any(stop.endswith(" ") for stop in self.stop)
            self._completes[token] = doubtful or any(stop[-1] in text for stop in self.stop)
        return self._completes[token]


class _Generating:
    """The rows that generate stand first in the buffers: the last one moves where a row has stopped."""

    def __init__(self, network: Network, request_batch: RequestBatch, stopped: Callable[[list[int]], bool]) -> None:
        self._network, self._ask, self._stopped = network, request_batch, stopped
        self._prefix = network.read_prefix(request_batch.prefix)
        self._said: list[list[int]] = [[] for _ in request_batch.requests]
        self._waiting = deque(
            sorted(range(len(request_batch.requests)), key=lambda index: len(request_batch.requests[index].context))
        )
        self._end = _end(network, request_batch)
        room = max(len(request.context) for request in request_batch.requests) + request_batch.max_new_tokens
        self._buffers, self._rows = _buffers(network, len(request_batch.requests), columns_for(room, network.device))
        self._active: list[int] = []
        """Query of each row."""
        self._lengths: list[int] = []
        """Tokens in each row's buffer."""

    def all_said(self) -> list[list[int]]:
        """New tokens of each request."""
        while self._waiting or self._active:
            while self._waiting and len(self._active) <= _REFILLED * self._rows:
                self._refill()
            if self._active:
                self._step()
        return self._said

    def _refill(self) -> None:
        """Read the contexts of those who wait, as many as find a place and as fit into one pass."""
        network, first = self._network, len(self._active)
        chosen: list[int] = []
        budget = min(_TOKENS[network.device.type], network.tokens_in_memory())
        while self._waiting and first + len(chosen) < self._rows:
            length = len(self._ask.requests[self._waiting[0]].context)
            if chosen and length > budget:
                break
            budget -= length
            chosen.append(self._waiting.popleft())
        contexts = [self._ask.requests[index].context for index in chosen]
        lengths = np.array([len(context) for context in contexts])
        kept: KVCache = {}
        packed = end_to_end(lengths, network.device, prefix=self._prefix, kept=kept)
        start = len(self._ask.prefix)
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
        self._hear(hidden, first)

    def _step(self) -> None:
        """Feed the last word of every row."""
        network, lengths = self._network, self._network.tensor(self._lengths)
        columns = columns_for(max(self._lengths) + 1, network.device)
        seen = torch.arange(columns, device=network.device) <= lengths[:, None]
        rows = torch.arange(len(lengths), device=network.device)
        slots = DecodeCache(self._prefix, self._buffers, rows, lengths, added_mask(seen[:, None, None]))
        words = [self._said[index][-1] for index in self._active]
        hidden = network.read(words, lengths + len(self._ask.prefix), slots)
        self._lengths = [length + 1 for length in self._lengths]
        self._hear(hidden, 0)

    def _hear(self, hidden: Tensor, first: int) -> None:
        """Take the next word of the rows from `first` on; who has ended leaves."""
        ended = []
        for row, word in enumerate(self._network.logits(hidden).argmax(-1).tolist(), start=first):
            said = self._said[self._active[row]]
            said.append(word)
            full = len(self._ask.prefix) + self._lengths[row] >= self._end
            if full or len(said) == self._ask.max_new_tokens or self._stopped(said):
                ended.append(row)
        if ended:
            self._close_ranks(ended)

    def _close_ranks(self, ended: list[int]) -> None:
        """The last rows take the places of those that have ended."""
        left = len(self._active) - len(ended)
        free = [row for row in ended if row < left]
        movers = [row for row in range(left, len(self._active)) if row not in ended]
        if free:
            used = max(self._lengths[row] for row in movers)
            to, of = self._network.tensor(free), self._network.tensor(movers)
            for keys, values in self._buffers.values():
                keys[to, :, :used], values[to, :, :used] = keys[of, :, :used], values[of, :, :used]
        for row, mover in zip(free, movers, strict=True):
            self._active[row], self._lengths[row] = self._active[mover], self._lengths[mover]
        del self._active[left:], self._lengths[left:]


def _buffers(network: Network, requests: int, room: int) -> tuple[KVCache, int]:
    """Empty keys and values of every layer [rows, heads, room, width], and how many rows they have."""
    config = network.model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dtype = torch.bfloat16 if network.precision == "bfloat16" else torch.float32
    row = 2 * config.num_hidden_layers * heads * room * width * dtype.itemsize
    rows = min(requests, _ROWS[network.device.type], max(1, int(_SHARE_OF_MEMORY * network.free_memory()) // row))

    def empty() -> Tensor:
        return torch.zeros(rows, heads, room, width, dtype=dtype, device=network.device)

    return {layer: (empty(), empty()) for layer in range(config.num_hidden_layers)}, rows


def _say_alone(
    network: Network, request_batch: RequestBatch, context: tuple[int, ...], stopped: Callable[[list[int]], bool]
) -> list[int]:
    """One row through the model's own cache: for attention that reads no layouts."""
    room = _end(network, request_batch) - len(request_batch.prefix) - len(context) + 1  # the last word said is not read
    read, cache = [*request_batch.prefix, *context], None
    said: list[int] = []
    while len(said) < min(request_batch.max_new_tokens, room) and not stopped(said):
        fed = network.tensor([said[-1:] if cache else [*read, *said]])
        logits, cache = network.next_logits(fed, cache)
        said.append(int(logits.argmax()))
    return said


def _end(network: Network, request_batch: RequestBatch) -> int:
    """The first position at which nothing more is said. Rotary positions have no last one of their own."""
    return sys.maxsize if request_batch.past_window else network.context_length


def _finish(request_batch: RequestBatch, said: list[int], decode: Decode) -> Generation:
    ended = bool(said) and said[-1] in request_batch.ends
    text = decode(said[:-1] if ended else said)
    cuts = [text.index(stop) for stop in request_batch.stop if stop in text]
    return Generation(text[: min(cuts, default=len(text))], ended or bool(cuts), len(said))
