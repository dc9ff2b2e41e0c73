"""Trends over pre-training: contrasts of checkpoints over the logarithm of tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from amuro.results.stats.clustered import Floats


def change_weights(tokens: ArrayLike) -> Floats:
    """Returns weights w (T,) with Σ w_t y_t = least-squares slope over log tokens × the span of log tokens.

    The sum is the fitted change from the first to the last checkpoint. Tokens must be positive and not all equal.
    """
    x = np.log(np.asarray(tokens, dtype=float))
    centred = x - x.mean()
    return np.asarray(centred / (centred**2).sum() * (x.max() - x.min()))


def without_each(tokens: ArrayLike) -> list[Floats]:
    """Returns the weights of `change_weights` with each checkpoint left out in turn (its weight is 0)."""
    x = np.asarray(tokens, dtype=float)
    weights = []
    for left_out in range(len(x)):
        kept = np.arange(len(x)) != left_out
        padded = np.zeros(len(x))
        padded[kept] = change_weights(x[kept])
        weights.append(padded)
    return weights
