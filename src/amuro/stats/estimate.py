"""One number with its uncertainty: everything that a verdict is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import special


class Quantity(Protocol):
    """What a verdict needs to know of an effect."""

    @property
    def value(self) -> float: ...

    def interval(self, level: float = 0.95) -> tuple[float, float]: ...

    def p_two_sided(self, null: float = 0.0) -> float: ...


Part = tuple[float, float]
"""One source of noise: (variance that it gives the estimate, degrees of freedom of that variance)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its standard error and the degrees of freedom of that error."""

    value: float
    se: float
    df: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's t interval; the value itself twice where nothing varies."""
        half = float(special.stdtrit(self.df, 0.5 + level / 2)) * self.se
        return self.value - half, self.value + half

    def p_above(self, null: float = 0.0) -> float:
        """One-sided p value of "not above `null`"."""
        if self.se == 0:
            return 0.0 if self.value > null else 1.0
        return float(special.stdtr(self.df, (null - self.value) / self.se))

    def p_two_sided(self, null: float = 0.0) -> float:
        """Two-sided p value of "equal to `null`"."""
        if self.se == 0:
            return 0.0 if self.value != null else 1.0
        return float(2 * special.stdtr(self.df, -abs(self.value - null) / self.se))


def combine(value: float, parts: Sequence[Part]) -> Estimate:
    """An estimate whose variance is a sum of independent parts; df after Satterthwaite (Biometrics Bull. 2, 1946)."""
    total = sum(variance for variance, _ in parts)
    if total <= 0:
        return Estimate(value, 0.0, min(df for _, df in parts))
    df = total**2 / sum(variance**2 / df for variance, df in parts if variance > 0)
    return Estimate(value, float(np.sqrt(total)), float(df))
