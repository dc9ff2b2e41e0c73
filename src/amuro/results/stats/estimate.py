"""Estimates: a value with a variance in parts, its intervals and p values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scipy import optimize, special


class Quantity(Protocol):
    """An effect that a verdict can be decided on: value, interval and p value."""

    @property
    def value(self) -> float:
        """The point estimate."""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns the confidence interval at `level`."""

    def p_two_sided(self, null: float = 0.0) -> float:
        """Returns the two-sided p value of "equal to `null`"."""


TINY = 1e-290
"""Probabilities below this are treated as 0."""
Part = tuple[float, float]
"""One source of noise: (its variance of the estimate, degrees of freedom of that variance)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value whose variance is a sum of independent parts, each with its own degrees of freedom.

    Quantiles are those of Student's t, averaged over the parts by variance (Cochran & Cox, Experimental Designs, 1950).
    Satterthwaite's single number of degrees of freedom is not used: its intervals are too short where a part with few
    degrees of freedom is small by chance.
    """

    value: float
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, value: float, se: float, df: float) -> Estimate:
        """Returns an estimate with one source of noise."""
        return cls(value, ((se**2, df),))

    @property
    def variance(self) -> float:
        """Returns the sum of the parts' variances."""
        return sum(variance for variance, _ in self.parts)

    @property
    def se(self) -> float:
        """Returns the standard error."""
        return math.sqrt(self.variance)

    def multiplier(self, above: float) -> float:
        """Returns the upper quantile at tail probability `above`, in standard errors; the variance must not be 0."""
        quantiles = (-float(special.stdtrit(df, above)) * variance for variance, df in self.parts if variance)
        return sum(quantiles) / self.variance

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns the central interval; both ends are the value where the variance is 0."""
        half = self.multiplier(0.5 - level / 2) * self.se if self.variance > 0 else 0.0
        return self.value - half, self.value + half

    def p_above(self, null: float = 0.0) -> float:
        """Returns the one-sided p value of "not above `null`"."""
        if self.variance <= 0:
            return 0.0 if self.value > null else 1.0
        distance = (self.value - null) / self.se
        return self._tail(distance) if distance >= 0 else 1 - self._tail(-distance)

    def p_two_sided(self, null: float = 0.0) -> float:
        """Returns the two-sided p value of "equal to `null`"."""
        return 2 * self._tail(abs(self.value - null) / self.se) if self.variance > 0 else float(self.value == null)

    def _tail(self, distance: float) -> float:
        """Returns the tail probability beyond `distance` standard errors, the inverse of `multiplier`."""
        tails = [float(special.stdtr(df, -distance)) for variance, df in self.parts if variance > 0]
        if len(tails) == 1 or not 0 < distance < 1000 or max(tails) < TINY:
            return max(tails)
        # The root lies between the tails of the parts; the bracket is widened a little against rounding. The smaller
        # tail may underflow to 0, where no quantile is finite.
        low, high = max(min(tails) * (1 - 1e-6), TINY), min(max(tails) * (1 + 1e-6), 0.5)
        if self.multiplier(low) <= distance:
            return low
        # Tails span hundreds of orders of magnitude, so the root is found on a logarithmic scale.
        root = optimize.brentq(lambda log: self.multiplier(math.exp(log)) - distance, math.log(low), math.log(high))
        return math.exp(root)


def combine(value: float, parts: Sequence[Part]) -> Estimate:
    """Returns an estimate from its sources of noise."""
    return Estimate(value, tuple(parts))


def satterthwaite(parts: Sequence[Part]) -> float:
    """Returns the effective degrees of freedom of a sum of variances (Satterthwaite, Biometrics Bulletin 2, 1946)."""
    total = sum(variance for variance, _ in parts)
    if total <= 0:
        return min(df for _, df in parts)
    return total**2 / sum(variance**2 / df for variance, df in parts)
