"""One number with its uncertainty: everything that a verdict is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scipy import optimize, special


class Quantity(Protocol):
    """What a verdict needs to know of an effect."""

    @property
    def value(self) -> float: ...

    def interval(self, level: float = 0.95) -> tuple[float, float]: ...

    def p_two_sided(self, null: float = 0.0) -> float: ...


TINY = 1e-290
"""Probabilities below this are nought."""
Part = tuple[float, float]
"""One source of noise: (variance that it gives the estimate, degrees of freedom of that variance)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value whose variance is a sum of independent parts, each known with its own degrees of freedom.

    Quantiles are those of Student's t, averaged over the parts by variance (Cochran & Cox, Experimental Designs, 1950).
    Satterthwaite's single number of degrees of freedom is estimated from the same variances and errs to the bold side
    where a part with few of them happens to come out small.
    """

    value: float
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, value: float, se: float, df: float) -> Estimate:
        """An estimate with one source of noise."""
        return cls(value, ((se**2, df),))

    @property
    def variance(self) -> float:
        return sum(variance for variance, _ in self.parts)

    @property
    def se(self) -> float:
        """Standard error."""
        return math.sqrt(self.variance)

    def multiplier(self, above: float) -> float:
        """Standard errors beyond which the estimate lies with probability `above`; the error must not be 0."""
        quantiles = (-float(special.stdtrit(df, above)) * variance for variance, df in self.parts if variance)
        return sum(quantiles) / self.variance

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Central interval; the value itself twice where nothing varies."""
        half = self.multiplier(0.5 - level / 2) * self.se if self.variance > 0 else 0.0
        return self.value - half, self.value + half

    def p_above(self, null: float = 0.0) -> float:
        """One-sided p value of "not above `null`"."""
        if self.variance <= 0:
            return 0.0 if self.value > null else 1.0
        distance = (self.value - null) / self.se
        return self._tail(distance) if distance >= 0 else 1 - self._tail(-distance)

    def p_two_sided(self, null: float = 0.0) -> float:
        """Two-sided p value of "equal to `null`"."""
        return 2 * self._tail(abs(self.value - null) / self.se) if self.variance > 0 else float(self.value == null)

    def _tail(self, distance: float) -> float:
        """Probability beyond so many standard errors: the `multiplier` solved for its argument."""
        tails = [float(special.stdtr(df, -distance)) for variance, df in self.parts if variance > 0]
        if len(tails) == 1 or not 0 < distance < 1000 or max(tails) < TINY:
            return max(tails)
        # The root lies between the tails of the parts; a little beyond, so that rounding cannot hide it. The smaller
        # tail may be 0 to the machine, where no quantile is finite.
        low, high = max(min(tails) * (1 - 1e-6), TINY), min(max(tails) * (1 + 1e-6), 0.5)
        if self.multiplier(low) <= distance:
            return low
        # Tails span hundreds of orders of magnitude, so the root is sought on the scale of their logarithm.
        root = optimize.brentq(lambda log: self.multiplier(math.exp(log)) - distance, math.log(low), math.log(high))
        return math.exp(root)


def combine(value: float, parts: Sequence[Part]) -> Estimate:
    """An estimate from its sources of noise."""
    return Estimate(value, tuple(parts))


def satterthwaite(parts: Sequence[Part]) -> float:
    """Degrees of freedom of a sum of variances, where only one number will do (Biometrics Bulletin 2, 1946)."""
    total = sum(variance for variance, _ in parts)
    if total <= 0:
        return min(df for _, df in parts)
    return total**2 / sum(variance**2 / df for variance, df in parts)
