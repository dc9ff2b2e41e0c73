"""Trends over training: contrasts of checkpoints against the logarithm of tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from amuro.results.stats.clustered import Floats


def change_weights(tokens: ArrayLike) -> Floats:
    """Weights w (T,) with Σ w_t y_t = least-squares slope over log tokens × the observed span of log tokens.

    So the effect is read in points over the whole series. Tokens must be positive and not all equal.
    """
    x = np.log(np.asarray(tokens, dtype=float))
    centred = x - x.mean()
    return np.asarray(centred / (centred**2).sum() * (x.max() - x.min()))


def without_each(tokens: ArrayLike) -> list[Floats]:
    """The weights of the same change when each checkpoint in turn is left out (its weight is zero)."""
    x = np.asarray(tokens, dtype=float)
    weights = []
    for left_out in range(len(x)):
        kept = np.arange(len(x)) != left_out
        full = np.zeros(len(x))
        full[kept] = change_weights(x[kept])
        weights.append(full)
    return weights
