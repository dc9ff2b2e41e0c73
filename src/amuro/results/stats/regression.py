"""Linear regression over few data sets, with measurement error in x."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from amuro.results.stats.estimate import Estimate


def slope(x: ArrayLike, y: ArrayLike, x_variance: float = 0.0, scale: ArrayLike | None = None) -> Estimate:
    """Estimates slope b of y = s · (a + b x) by least squares, corrected for error in x; `scale` s is 1 unless given.

    `x_variance` is the mean sampling variance of x. Estimate and standard error are divided by the reliability
    1 − x_variance / var(x) (Fuller 1987, §1.2), which is limited to .2 or more.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    s = np.ones(len(xs)) if scale is None else np.asarray(scale, dtype=float)
    design = np.column_stack([s, s * xs])
    inverse = np.linalg.pinv(design.T @ design)
    coefficients = inverse @ design.T @ ys
    residual = ys - design @ coefficients
    df = len(xs) - 2
    se = float(np.sqrt(residual @ residual / df * inverse[1, 1]))
    reliability = max(1 - x_variance / max(float(np.var(xs, ddof=1)), 1e-12), 0.2)
    return Estimate.of(float(coefficients[1]) / reliability, se / reliability, float(df))
