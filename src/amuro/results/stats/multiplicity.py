"""Corrections of p values for multiple tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from amuro.results.stats.clustered import Floats


def holm(p_values: ArrayLike) -> Floats:
    """Returns adjusted p values that control the family-wise error (Holm, Scand. J. Statist. 6, 1979)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
