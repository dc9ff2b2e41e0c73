"""Tests of paired changes, cell by cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from amuro.results.stats.clustered import Floats


def mcnemar(lost: ArrayLike, won: ArrayLike) -> Floats:
    """Two-sided p values of "as many lost as won" (exact; McNemar, Psychometrika 12, 1947).

    `lost` and `won` (k,) count examples that went from right to wrong and from wrong to right. Examples must be
    independent: where they come in clusters, only a clustered error will do.
    """
    fewer, moved = np.minimum(lost, won), np.add(lost, won)
    return np.asarray(np.minimum(2 * special.bdtr(fewer, moved, 0.5), 1.0))


def t_test(difference: ArrayLike, se: ArrayLike, groups: ArrayLike) -> Floats:
    """Two-sided p values of "no difference" (k,) with clustered errors over so many clusters.

    Where nothing varies the difference is sure, unless one cluster is all there is: then nothing is known.
    """
    mean, error, G = (np.asarray(values, dtype=float) for values in (difference, se, groups))
    sure = np.where((mean != 0) & (G > 1), np.inf, 0.0)
    t = np.divide(np.abs(mean), error, out=sure, where=error > 0)
    return np.asarray(2 * special.stdtr(np.maximum(G - 1, 1), -t))
