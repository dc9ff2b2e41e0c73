"""A test run of a model of an untested architecture on a few tokens: does it give causal logits?"""

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
"""Tolerance for differences of logits, relative to the largest logit; rounding stays far below it."""


def tried(network: Network, folder: Path) -> Network:
    """The network, after a test that it gives causal logits for token ids alone; with `reads_on` and `needs_cache` set.

    `reads_on` becomes False if generation from the cache gives other logits than a full forward pass.
    Raises WeightsError where the model gives no logits, or where they depend on later tokens: a bidirectional model
    (BERT without `is_decoder`) would see the answers that it has to predict.
    """
    kind = network.model.config.model_type
    tokens = min(_TOKENS, network.context_length)
    try:
        network = _with_or_without_cache(network, tokens)
        early, all_logits = _logits(network, tokens // 2), _logits(network, tokens)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise WeightsError(f"the model in {folder} (type '{kind}') cannot be read as text: {reason}", _CURE) from error
    if not _near(all_logits[: len(early)], early):
        raise WeightsError(
            f"the model in {folder} (type '{kind}') changes what it says of a token by what stands behind it",
            'use a causal model; those of the kind of BERT are one with "is_decoder": true in their config.json',
        )
    return network if _reads_on(network, all_logits) else replace(network, reads_on=False)


_CURE = "use a causal language model that transformers reads from token ids alone (docs/architectures.md)"


def _with_or_without_cache(network: Network, tokens: int) -> Network:
    """The network with `needs_cache` set so that its logits equal those of the model's default call."""
    caching = replace(network, needs_cache=True)
    try:
        return network if _near(_logits(network, tokens), _logits(caching, tokens)) else caching
    except Exception:  # a model that fails in one of the two ways may work in the other
        return network


def _reads_on(network: Network, all_logits: Tensor) -> bool:
    """Whether decoding the second half token by token from the cache gives `all_logits` [tokens, vocabulary]."""
    begin, cache = len(all_logits) // 2, None
    try:
        with torch.no_grad():
            for end in range(begin, len(all_logits) + 1):
                ids = network.tensor([_ids(network, end)[(end - 1 if cache else 0) :]])
                logits, cache = network.next_logits(ids, cache)
                if cache is None or not _near(logits.float(), all_logits[end - 1]):
                    return False
    except Exception:
        return False
    return True


def _near(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors of logits agree within the tolerance."""
    return not bool(((left - right).abs() > _APART * right.abs().max().clamp(min=1.0)).any())


def _logits(network: Network, tokens: int) -> Tensor:
    """float32 logits [tokens, vocabulary] of the first `tokens` tokens of the test row."""
    with torch.no_grad():
        return network.row_logits(network.tensor([_ids(network, tokens)]))[0].float()


def _ids(network: Network, tokens: int) -> list[int]:
    """The first `tokens` ids of a fixed test row."""
    vocabulary = _window.text_config(network.model).vocab_size
    return [(7 * place + 3) % vocabulary for place in range(tokens)]
