"""Greedy generation: the prefix is read once, all rows step together, and a row leaves as soon as it stops."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from amuro.engine.network import Network
from amuro.engine.protocol import Decode
from amuro.engine.score import batches, padded
from amuro.errors import AmuroError
from amuro.types import Ask, Generation

_TOKENS = {"cpu": 8192, "cuda": 65536}
"""Prompt tokens a batch, padding counted."""


def generate(network: Network, ask: Ask, decode: Decode) -> list[Generation]:
    """Greedy continuation of each query of `ask`; `tokens` counts what the model said, end-of-text included.

    A row ends at a stop string, at end-of-text, after `ask.max_new_tokens`, or where the context length is full.
    Raises AmuroError on an empty context or one that leaves no room to answer.
    """
    longest = max((len(ask.prefix) + len(query.context) for query in ask.queries), default=0)
    if longest >= network.context_length and not ask.past_window:
        raise AmuroError(
            f"a prompt of {ask.cell.eval_set} has {longest} tokens, the model reads {network.context_length}",
            "ask with fewer shots",
        )
    if not all(query.context for query in ask.queries):
        raise AmuroError(f"a query of {ask.cell.eval_set} has an empty context", "give it words")
    with torch.no_grad(), network.autocast():
        if network.takes_own_masks(longest + ask.max_new_tokens):
            said = _say_together(network, ask, decode)
        else:
            said = [_say_alone(network, ask, query.context, decode) for query in ask.queries]
    return [_finish(network, ask, ids, decode) for ids in said]


def _say_together(network: Network, ask: Ask, decode: Decode) -> list[list[int]]:
    prefix = network.read_prefix(ask.prefix)
    order = sorted(range(len(ask.queries)), key=lambda index: len(ask.queries[index].context))
    lengths = [len(ask.prefix) + len(ask.queries[index].context) + ask.max_new_tokens for index in order]
    said: list[list[int]] = [[] for _ in order]
    for batch in batches(lengths, _TOKENS.get(network.device.type, 8192)):
        rows = order[batch]
        contexts = [ask.queries[index].context for index in rows]
        for index, ids in zip(rows, _say_batch(network, ask, contexts, prefix, decode), strict=True):
            said[index] = ids
    return said


def _say_batch(
    network: Network, ask: Ask, contexts: Sequence[tuple[int, ...]], prefix: DynamicCache, decode: Decode
) -> list[list[int]]:
    """New tokens of each context. Columns of the cache: prefix, padded contexts, then one for each step."""
    start, longest = len(ask.prefix), max(map(len, contexts))
    lengths = network.tensor([len(context) for context in contexts])
    cache = network.shared(prefix, len(contexts), longest + ask.max_new_tokens)
    filled = _filled(lengths, start, ask.max_new_tokens)
    hidden = _read_contexts(network, contexts, cache, start)
    last = hidden[torch.arange(len(contexts), device=network.device), lengths - 1]
    said: list[list[int]] = [[] for _ in contexts]
    alive, positions = list(range(len(contexts))), lengths + start
    for column in range(start + longest, start + longest + ask.max_new_tokens):
        chosen = network.logits(last).argmax(-1)
        for index, token in zip(alive, chosen.tolist(), strict=True):
            said[index].append(token)
        full = (positions >= _end(network, ask)).tolist()
        going = [
            row for row, index in enumerate(alive) if not (full[row] or _stopped(network, ask, said[index], decode))
        ]
        if not going:
            break
        if len(going) < len(alive):
            keep = network.tensor(going)
            cache.batch_select_indices(keep)
            filled, positions, chosen = filled[keep], positions[keep], chosen[keep]
            alive = [alive[row] for row in going]
        last = network.hidden(chosen[:, None], positions[:, None], filled[:, None, : column + 1], cache)[:, -1]
        positions = positions + 1
    return said


def _filled(lengths: Tensor, start: int, steps: int) -> Tensor:
    """[rows, columns]: every column of the cache except the padding after a context."""
    longest = int(lengths.max())
    columns = torch.arange(start + longest + steps, device=lengths.device)
    return (columns < start + lengths[:, None]) | (columns >= start + longest)


def _read_contexts(network: Network, contexts: Sequence[tuple[int, ...]], cache: DynamicCache, start: int) -> Tensor:
    ids = padded(network, contexts)
    rows, length = ids.shape
    positions = torch.arange(start, start + length, device=network.device).expand(rows, -1)
    seen = torch.ones(length, start + length, dtype=torch.bool, device=network.device).tril(start)
    return network.hidden(ids, positions, seen.expand(rows, -1, -1), cache)


def _say_alone(network: Network, ask: Ask, context: tuple[int, ...], decode: Decode) -> list[int]:
    """One row through the model's own cache: for attention that we do not know."""
    room = _end(network, ask) - len(ask.prefix) - len(context)
    fed, cache = network.tensor([[*ask.prefix, *context]]), None
    said: list[int] = []
    while len(said) < min(ask.max_new_tokens, room) and not _stopped(network, ask, said, decode):
        output = network.model(fed, use_cache=True, **({network.cache_argument: cache} if cache else {}))
        cache = getattr(output, network.cache_argument)
        said.append(int(output.logits[0, -1].argmax()))
        fed = network.tensor([said[-1:]])
    return said


def _end(network: Network, ask: Ask) -> int:
    """The first position at which nothing more is said. Rotary positions have no last one of their own."""
    return sys.maxsize if ask.past_window else network.context_length


def _stopped(network: Network, ask: Ask, said: list[int], decode: Decode) -> bool:
    if said and said[-1] in network.end_of_text:
        return True
    if not ask.stop or not said:
        return False
    text = decode(said)
    return any(stop in text for stop in ask.stop)


def _finish(network: Network, ask: Ask, said: list[int], decode: Decode) -> Generation:
    ended = bool(said) and said[-1] in network.end_of_text
    text = decode(said[:-1] if ended else said)
    cuts = [text.index(stop) for stop in ask.stop if stop in text]
    return Generation(text[: min(cuts, default=len(text))], ended or bool(cuts), len(said))
