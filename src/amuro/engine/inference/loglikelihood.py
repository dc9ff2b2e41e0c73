"""Log-likelihood of answers: the prefix is read once for all requests, each context once for all its options."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from amuro.core.errors import AmuroError
from amuro.core.types import Request, RequestBatch
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import KVCache, end_to_end
from amuro.engine.inference.batching import Batch, BatchCache

_TOKENS = {"cpu": 1024, "cuda": 32768}
"""Most tokens a batch; more would not be faster (on a CPU with 0.9 M parameters 512 and 2,048 took 7 % longer)."""
_STATES = {"cpu": 1 << 20, "cuda": 1 << 30}
"""Most numbers that a batch's hidden states have: on a CPU they should stay in its cache."""
_LOGITS = {"cpu": 1 << 21, "cuda": 1 << 28}
"""Logits computed at once: on a CPU so few that they stay in its cache until they are summed."""
_LEAST = 1e4
"""Nats below which no token of a sound model falls: logits of trained models differ by some hundreds at the most."""


def score(network: Network, request_batch: RequestBatch, cache: BatchCache | None = None) -> list[tuple[float, ...]]:
    """Summed natural-log probability of each option of each request of `ask`, in float32 whatever the precision.

    shelf: keeps the layouts for the next model that is asked the same.
    Raises AmuroError on an empty context or option, on a row longer than the context length, and where a
    log-probability is not finite.
    """
    longest = max((_length(request_batch, request) for request in request_batch.requests), default=0)
    _check(request_batch, longest, network.context_length)
    with torch.no_grad(), network.autocast():
        if network.reads_layouts(longest):
            sums = _score_together(network, request_batch, cache or BatchCache())
        else:
            sums = [_score_plainly(network, request_batch.prefix, request) for request in request_batch.requests]
    _refuse_absurd(request_batch, sums)
    return sums


def _refuse_absurd(request_batch: RequestBatch, sums: Sequence[tuple[float, ...]]) -> None:
    """Refuse what is no number, and what is finite but no answer of a sound model: so improbable a token."""
    for request, values in zip(request_batch.requests, sums, strict=True):
        for option, value in zip(request.options, values, strict=True):
            if not value >= -_LEAST * len(option):
                name = "NaN" if math.isnan(value) else "infinity" if math.isinf(value) else f"{value:.3g}"
                what = f"{request_batch.cell.model.address} gives {name} as a log-probability of {len(option)} tokens"
                raise AmuroError(what, "its weights are broken")


def _length(request_batch: RequestBatch, request: Request) -> int:
    return len(request_batch.prefix) + len(request.context) + max(map(len, request.options), default=0) - 1


def _check(request_batch: RequestBatch, longest: int, limit: int) -> None:
    for request in request_batch.requests:
        if not request.context or not request.options or not all(request.options):
            raise AmuroError(
                f"query {request.example_id} of {request_batch.cell.eval_set} has an empty context or option",
                "give it a beginning-of-text token or words",
            )
    if longest > limit and not request_batch.past_window:
        raise AmuroError(
            f"a prompt of {request_batch.cell.eval_set} has {longest} tokens, the model reads {limit}",
            "ask with fewer shots",
        )


def _score_together(network: Network, request_batch: RequestBatch, cache: BatchCache) -> list[tuple[float, ...]]:
    if not request_batch.requests:
        return []
    kind = network.device.type
    budget = min(_TOKENS[kind], _STATES[kind] // network.model.config.hidden_size, network.tokens_in_memory())
    laid = cache.layouts(request_batch, budget)
    prefix = network.read_prefix(request_batch.prefix)
    sums = np.zeros(laid.ends[-1])
    for batch in laid.batches:
        np.add.at(sums, batch.slots, _log_probabilities(network, batch, prefix))
    return [tuple(part.tolist()) for part in np.split(sums, laid.ends[:-1])]


def _log_probabilities(network: Network, batch: Batch, prefix: KVCache) -> np.ndarray:
    """Of each target, in nats."""
    packed = end_to_end(batch.lengths, network.device, batch.branch, prefix)
    hidden = network.read(batch.ids, batch.positions, packed, batch.heads)
    chunk = max(1, _LOGITS[network.device.type] // network.model.config.vocab_size)
    pieces = []
    for start in range(0, len(hidden), chunk):
        logits = network.logits(hidden[start : start + chunk])
        here = np.flatnonzero((batch.where >= start) & (batch.where < start + chunk))
        where = network.tensor(batch.where[here] - start)
        picked = logits[where, network.tensor(batch.targets[here])]
        pieces.append((here, picked - torch.logsumexp(logits, dim=-1)[where]))
    values = np.empty(len(batch.where))
    for here, piece in pieces:  # after the last piece was sent to the device
        values[here] = piece.cpu().numpy()
    return values


def _score_plainly(network: Network, prefix: tuple[int, ...], request: Request) -> tuple[float, ...]:
    """One row an option, whose last token is not read: for attention that reads no layouts."""
    sums = []
    for option in request.options:
        ids = network.tensor([[*prefix, *request.context, *option[:-1]]])
        logits = network.row_logits(ids)[0, -len(option) :].float()
        picked = logits.log_softmax(-1).gather(1, network.tensor(option)[:, None])
        sums.append(float(picked.double().sum()))
    return tuple(sums)
