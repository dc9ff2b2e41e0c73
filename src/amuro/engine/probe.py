"""Whether a model of a kind that is not known here can be read at all: tried once, on a few tokens."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from amuro.engine import window
from amuro.engine.network import Network
from amuro.errors import WeightsError

_TOKENS = 12
_APART = 1e-3
"""Most that what is read later may change an earlier logit, as a share of the largest one: rounding does not."""


def refuse_unreadable(network: Network, folder: Path) -> None:
    """Raises WeightsError unless the model gives logits for plain token ids, the same whatever stands behind them.

    A model that looks ahead (BERT without `is_decoder`) would read the answers that it is asked for.
    """
    kind = network.model.config.model_type
    try:
        early, whole = _logits(network, _TOKENS // 2), _logits(network, _TOKENS)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise WeightsError(f"the model in {folder} (type '{kind}') cannot be read as text: {reason}", _CURE) from error
    if bool(((whole[: len(early)] - early).abs() > _APART * early.abs().max().clamp(min=1.0)).any()):
        raise WeightsError(
            f"the model in {folder} (type '{kind}') changes what it says of a token by what stands behind it",
            'use a causal model; those of the kind of BERT are one with "is_decoder": true in their config.json',
        )


_CURE = "use a causal language model that transformers reads from token ids alone (docs/architectures.md)"


def _logits(network: Network, tokens: int) -> Tensor:
    """float32 logits [tokens, vocabulary] of the first tokens of one row."""
    tokens = min(tokens, network.context_length)
    vocabulary = window.text_config(network.model).vocab_size
    with torch.no_grad():
        ids = network.tensor([[(7 * place + 3) % vocabulary for place in range(tokens)]])
        logits: Tensor = network.model(ids).logits[0].float()
    return logits
