"""Tests of paired changes, vectorised over k cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from amuro.results.stats.clustered import Floats


def mcnemar(lost: ArrayLike, won: ArrayLike) -> Floats:
    """Returns exact two-sided p values (k,) of "as many lost as won" (McNemar, Psychometrika 12, 1947).

    `lost` and `won` (k,) count examples that went from right to wrong and from wrong to right. Examples must be
    independent; use `t_test` with clustered errors where they are not.
    """
    fewer, moved = np.minimum(lost, won), np.add(lost, won)
    return np.asarray(np.minimum(2 * special.bdtr(fewer, moved, 0.5), 1.0))


def t_test(difference: ArrayLike, se: ArrayLike, groups: ArrayLike) -> Floats:
    """Returns two-sided p values (k,) of "no difference" for clustered errors `se` over `groups` clusters.

    Where the error is 0, a nonzero difference has p = 0, and p = 1 with a single cluster.
    """
    mean, error, G = (np.asarray(values, dtype=float) for values in (difference, se, groups))
    certain = np.where((mean != 0) & (G > 1), np.inf, 0.0)
    t = np.divide(np.abs(mean), error, out=certain, where=error > 0)
    return np.asarray(2 * special.stdtr(np.maximum(G - 1, 1), -t))
