"""Noise of runs from pairs of near-replicates, one pair a unit: too few to know any unit's own variance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from amuro.results.stats.estimate import Part

PRIOR_DF = 1.0
"""What the mean variance of all units weighs beside a unit's own, in degrees of freedom: as much as one pair. Declared,
not estimated: a handful of pairs cannot say how far units differ in their noise. With 1 the interval of a mean over two
to four units covers 93 % or more where their noise differs up to fourfold; with 2 it fell to 89 %."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """Variance of one run in each unit, drawn towards the mean of all units (a scaled inverse χ² prior).

    Posterior of a unit with variance s² on d degrees of freedom: (ν₀ s₀² + d s²) / (ν₀ + d), on ν₀ + d degrees
    (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004, eq. 3, with ν₀ = `PRIOR_DF`).
    """

    own: Mapping[str, Part]
    """Unit → (variance from its pair or pairs, degrees of freedom)."""

    @property
    def variance(self) -> float:
        """Mean variance over the units, weighted by degrees of freedom."""
        return sum(v * df for v, df in self.own.values()) / self.df

    @property
    def df(self) -> float:
        """Degrees of freedom of all pairs together."""
        return sum(df for _, df in self.own.values())

    def of(self, unit: str) -> Part:
        """(variance of one run, degrees of freedom) of a unit; of the pool where the unit has no pair of its own."""
        if unit not in self.own:
            return self.variance, min(PRIOR_DF, self.df)
        variance, df = self.own[unit]
        return (PRIOR_DF * self.variance + df * variance) / (PRIOR_DF + df), PRIOR_DF + df


def pooled(differences: Mapping[str, np.ndarray], shared: float = 0.0) -> Pooled | None:
    """The pool of units whose pairs of runs differ by `differences`; None where there is no pair.

    A unit's differences are of one pair of runs asked in several ways, so they count as one degree of freedom; with
    `shared` = 1 what they have in common is taken off first, and k ways leave k − 1 degrees.
    """
    own = {unit: _variance(np.asarray(d, dtype=float), shared) for unit, d in differences.items() if len(d) > shared}
    return Pooled(own) if own else None


def _variance(differences: np.ndarray, shared: float) -> Part:
    if shared:
        df = float(len(differences) - 1)
        return float(((differences - differences.mean()) ** 2).sum()) / 2 / df, df
    return float((differences**2).mean()) / 2, 1.0
