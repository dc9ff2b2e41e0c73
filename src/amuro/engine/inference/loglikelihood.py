"""Log-likelihood of answers. The prefix runs once for all requests, each context once for all its options."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from amuro.core.errors import AmuroError
from amuro.core.requests import Request, RequestBatch
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.packed_attention import KVCache, end_to_end
from amuro.engine.inference.batching import Batch, BatchCache

_TOKENS = {"cpu": 1024, "cuda": 32768}
"""Maximum tokens per batch; more is not faster (on a CPU with 0.9 M parameters 512 and 2,048 took 7 % longer)."""
_STATES = {"cpu": 1 << 20, "cuda": 1 << 30}
"""Maximum numbers in a batch's hidden states (tokens × width): on a CPU they should fit into its cache."""
_LOGITS = {"cpu": 1 << 21, "cuda": 1 << 28}
"""Maximum logits computed at once: on a CPU few enough to stay in its cache until they are summed."""
_LEAST = 1e4
"""Maximum plausible surprisal of one token in nats: logits of trained models differ by some hundreds at most."""


def score(network: Network, request_batch: RequestBatch, cache: BatchCache | None = None) -> list[tuple[float, ...]]:
    """Summed log-probability (nats) of each option of each request; one tuple per request, one number per option.

    Logits are float32 whatever the precision. cache: keeps the packed batches for the next model with these requests.
    Raises AmuroError on an empty context or option, on a row longer than the context length, and where a
    log-probability is not finite or below −10,000 nats per token.
    """
    longest = max((_length(request_batch, request) for request in request_batch.requests), default=0)
    _check(request_batch, longest, network.context_length)
    with torch.no_grad(), network.autocast():
        if network.supports_packing(longest):
            sums = _score_packed(network, request_batch, cache or BatchCache())
        else:
            sums = [_score_by_row(network, request_batch.prefix, request) for request in request_batch.requests]
    _refuse_implausible(request_batch, sums)
    return sums


def _refuse_implausible(request_batch: RequestBatch, sums: Sequence[tuple[float, ...]]) -> None:
    """Raise AmuroError on a log-probability that is NaN, infinite, or below −10,000 nats per token."""
    for request, values in zip(request_batch.requests, sums, strict=True):
        for option, value in zip(request.options, values, strict=True):
            if not value >= -_LEAST * len(option):
                name = "NaN" if math.isnan(value) else "infinity" if math.isinf(value) else f"{value:.3g}"
                what = f"{request_batch.cell.model.address} gives {name} as a log-probability of {len(option)} tokens"
                raise AmuroError(what, "its weights are broken")


def _length(request_batch: RequestBatch, request: Request) -> int:
    """Input tokens of the longest option's row: prefix, context and the option without its last token."""
    return len(request_batch.prefix) + len(request.context) + max(map(len, request.options), default=0) - 1


def _check(request_batch: RequestBatch, longest: int, limit: int) -> None:
    """Raise AmuroError on an empty context or option, and on a row of more than `limit` tokens."""
    for request in request_batch.requests:
        if not request.context or not request.options or not all(request.options):
            raise AmuroError(
                f"request {request.example_id} of {request_batch.cell.eval_set} has an empty context or option",
                "give it a beginning-of-text token or words",
            )
    if longest > limit and not request_batch.past_window:
        raise AmuroError(
            f"a prompt of {request_batch.cell.eval_set} has {longest} tokens, the model reads {limit}",
            "use fewer shots",
        )


def _score_packed(network: Network, request_batch: RequestBatch, cache: BatchCache) -> list[tuple[float, ...]]:
    """`score` by packed rows that share the prefix, and the context of each request."""
    if not request_batch.requests:
        return []
    kind = network.device.type
    budget = min(_TOKENS[kind], _STATES[kind] // network.model.config.hidden_size, network.tokens_in_memory())
    packed = cache.packed_batches(request_batch, budget)
    prefix = network.read_prefix(request_batch.prefix)
    sums = np.zeros(packed.ends[-1])
    for batch in packed.batches:
        np.add.at(sums, batch.slots, _log_probabilities(network, batch, prefix))
    return [tuple(part.tolist()) for part in np.split(sums, packed.ends[:-1])]


def _log_probabilities(network: Network, batch: Batch, prefix: KVCache) -> np.ndarray:
    """Log-probability [targets] of each target token in nats."""
    packed = end_to_end(batch.lengths, network.device, batch.branch, prefix)
    hidden = network.read(batch.ids, batch.positions, packed, batch.heads)
    chunk = max(1, _LOGITS[network.device.type] // network.model.config.vocab_size)
    chunks = []
    for start in range(0, len(hidden), chunk):
        logits = network.logits(hidden[start : start + chunk])
        in_chunk = np.flatnonzero((batch.where >= start) & (batch.where < start + chunk))
        where = network.tensor(batch.where[in_chunk] - start)
        target_logits = logits[where, network.tensor(batch.targets[in_chunk])]
        chunks.append((in_chunk, target_logits - torch.logsumexp(logits, dim=-1)[where]))
    values = np.empty(len(batch.where))
    for in_chunk, log_probabilities in chunks:  # copied back after all chunks are launched: a copy waits for the GPU
        values[in_chunk] = log_probabilities.cpu().numpy()
    return values


def _score_by_row(network: Network, prefix: tuple[int, ...], request: Request) -> tuple[float, ...]:
    """`score` of one request with one row per option, for models that do not support packed rows."""
    sums = []
    for option in request.options:
        ids = network.tensor([[*prefix, *request.context, *option[:-1]]])
        logits = network.row_logits(ids)[0, -len(option) :].float()
        log_probabilities = logits.log_softmax(-1).gather(1, network.tensor(option)[:, None])
        sums.append(float(log_probabilities.double().sum()))
    return tuple(sums)
