"""Ratios of two estimates, with intervals that stay valid where the denominator is small."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize

from amuro.results.stats.estimate import Estimate

FARTHEST = 100.0
"""Distance from the estimate beyond which an interval end is reported as infinite."""


def fieller(above: Estimate, below: Estimate, level: float = 0.95) -> tuple[float, float] | None:
    """Returns the interval of above / below for independent estimates, or None where `below` may be 0.

    Fieller, J. R. Statist. Soc. B 16 (1954): all ratios r for which above − r · below may be 0.
    """
    if below.variance <= 0:
        return None
    t = max(side.multiplier(0.5 - level / 2) for side in (above, below) if side.variance > 0)
    a = below.value**2 - (t * below.se) ** 2
    if a <= 0:
        return None
    b, c = above.value * below.value, above.value**2 - (t * above.se) ** 2
    root = math.sqrt(max(b * b - a * c, 0.0))
    return (b - root) / a, (b + root) / a


@dataclass(frozen=True)
class PairedRatio:
    """The ratio of two sums over the same examples and runs, with Fieller's interval for paired sums.

    `contrast(r)` estimates above − r · below. The interval has every r for which the contrast does not differ from 0
    (Fieller, J. R. Statist. Soc. B 16, 1954, here with any number of sources of noise).
    """

    value: float
    contrast: Callable[[float], Estimate]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns the interval; an end is infinite where none is found within `FARTHEST`."""
        tail = (1 - level) / 2
        return self._end(-1.0, tail), self._end(1.0, tail)

    def _end(self, side: float, tail: float) -> float:
        """Returns where a one-sided test of the contrast first rejects, in the direction `side` (−1 or 1)."""

        def beyond(distance: float) -> float:
            estimate = self.contrast(self.value + side * distance)
            return (estimate.p_above() if side < 0 else Estimate(-estimate.value, estimate.parts).p_above()) - tail

        reach = 0.01
        while reach < FARTHEST and beyond(reach) > 0:
            reach *= 2
        if reach >= FARTHEST:
            return side * math.inf
        return self.value + side * float(optimize.brentq(beyond, 0.0, reach))

    def p_two_sided(self, null: float = 0.0) -> float:
        """Returns the two-sided p value of "the ratio is `null`"."""
        return self.contrast(null).p_two_sided()
