"""Whether a model of a kind that is not known here can be read at all: tried once, on a few tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from amuro.core.errors import WeightsError
from amuro.engine import _window
from amuro.engine.forward.causal_lm import Network

_TOKENS = 12
_APART = 1e-3
"""Most that what is read later may change an earlier logit, as a share of the largest one: rounding does not."""


def tried(network: Network, folder: Path) -> Network:
    """The network, if it gives logits for plain token ids, the same whatever stands behind them; without its cache, if
    reading on from that gives others. Raises WeightsError where it gives none.

    A model that looks ahead (BERT without `is_decoder`) would read the answers that it is asked for.
    """
    kind = network.model.config.model_type
    tokens = min(_TOKENS, network.context_length)
    try:
        network = _with_or_without_cache(network, tokens)
        early, whole = _logits(network, tokens // 2), _logits(network, tokens)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise WeightsError(f"the model in {folder} (type '{kind}') cannot be read as text: {reason}", _CURE) from error
    if not _near(whole[: len(early)], early):
        raise WeightsError(
            f"the model in {folder} (type '{kind}') changes what it says of a token by what stands behind it",
            'use a causal model; those of the kind of BERT are one with "is_decoder": true in their config.json',
        )
    return network if _reads_on(network, whole) else replace(network, reads_on=False)


_CURE = "use a causal language model that transformers reads from token ids alone (docs/architectures.md)"


def _with_or_without_cache(network: Network, tokens: int) -> Network:
    """The network that gives what the model gives when it is not told of a cache."""
    caching = replace(network, needs_cache=True)
    try:
        return network if _near(_logits(network, tokens), _logits(caching, tokens)) else caching
    except Exception:  # what cannot be read in one way may be in the other
        return network


def _reads_on(network: Network, whole: Tensor) -> bool:
    """Whether the second half, read word by word from the cache of the first, has the logits of the whole."""
    begin, cache = len(whole) // 2, None
    try:
        with torch.no_grad():
            for end in range(begin, len(whole) + 1):
                ids = network.tensor([_ids(network, end)[(end - 1 if cache else 0) :]])
                logits, cache = network.next_logits(ids, cache)
                if cache is None or not _near(logits.float(), whole[end - 1]):
                    return False
    except Exception:
        return False
    return True


def _near(left: Tensor, right: Tensor) -> bool:
    return not bool(((left - right).abs() > _APART * right.abs().max().clamp(min=1.0)).any())


def _logits(network: Network, tokens: int) -> Tensor:
    """float32 logits [tokens, vocabulary] of the first tokens of one row."""
    with torch.no_grad():
        return network.row_logits(network.tensor([_ids(network, tokens)]))[0].float()


def _ids(network: Network, tokens: int) -> list[int]:
    """The same row always, as far as it is wanted."""
    vocabulary = _window.text_config(network.model).vocab_size
    return [(7 * place + 3) % vocabulary for place in range(tokens)]
