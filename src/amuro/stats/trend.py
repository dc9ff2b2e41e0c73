"""Trends over training: contrasts of checkpoints against the logarithm of tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from amuro.stats.clustered import Floats
from amuro.stats.estimate import Part


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


def jitter(values: ArrayLike) -> Part:
    """Variance of single checkpoints around a course that only rises or only falls, with its degrees of freedom.

    Residuals of the better isotonic fit over T − H_T degrees of freedom, H_T = Σ 1/t being what such a fit of noise
    uses up on average (Robertson, Wright & Dykstra 1988, §2.4). A course of any monotone shape counts as no jitter.
    """
    y = np.asarray(values, dtype=float)
    fits = [isotonic_regression(y, increasing=rising).x for rising in (True, False)]
    df = len(y) - float((1 / np.arange(1, len(y) + 1)).sum())
    return min(float(((y - fit) ** 2).sum()) for fit in fits) / df, df
