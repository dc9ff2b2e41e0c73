"""The ratio of two estimates, with an interval that does not break where the denominator is small."""

from __future__ import annotations

import math

from amuro.stats.estimate import Estimate


def fieller(above: Estimate, below: Estimate, level: float = 0.95) -> tuple[float, float] | None:
    """Interval of above / below for independent estimates; None where `below` may be 0, so that no interval is finite.

    Fieller, J. R. Statist. Soc. B 16 (1954): all ratios r for which above − r · below may be 0.
    """
    if below.variance <= 0:
        return None
    t = max(one.multiplier(0.5 - level / 2) for one in (above, below) if one.variance > 0)
    a = below.value**2 - (t * below.se) ** 2
    if a <= 0:
        return None
    b, c = above.value * below.value, above.value**2 - (t * above.se) ** 2
    root = math.sqrt(max(b * b - a * c, 0.0))
    return (b - root) / a, (b + root) / a
