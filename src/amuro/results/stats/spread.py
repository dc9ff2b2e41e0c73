"""How far a few levels (prompt formats) lie apart beyond sampling noise, on the logit scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from amuro.results.stats.clustered import Floats, Means


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance between levels less what noise adds to it; `ratio` (observed / noise) follows F(df, noise_df)."""

    excess: float
    """Observed variance − noise; below 0 by chance where the levels are alike."""
    noise: float
    ratio: float
    df: float
    noise_df: float

    @property
    def value(self) -> float:
        """The variance between levels, which cannot be below 0."""
        return max(self.excess, 0.0)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the variance between levels, never below 0, by inversion of the non-central χ².

        The noise is widened so that the interval leaves 0 exactly where the F test rejects: F is to χ² as t is to z.
        """
        tail = 0.5 + level / 2
        wider = float(special.fdtri(self.df, self.noise_df, tail) / (special.chdtri(self.df, 1 - tail) / self.df))
        observed, noise = self.df * self.ratio / wider, wider * self.noise / self.df
        return noise * _noncentrality(observed, self.df, tail), noise * _noncentrality(observed, self.df, 1 - tail)

    def p_two_sided(self, null: float = 0.0) -> float:
        """Twice the upper tail of F: the p value of "no variance between levels"."""
        return min(1.0, 2 * float(special.fdtrc(self.df, self.noise_df, self.ratio)))


def _noncentrality(observed: float, df: float, below: float) -> float:
    """The non-centrality at which χ² lies below `observed` with that probability; 0 where none is small enough."""
    if special.chdtr(df, observed) <= below:
        return 0.0
    return float(special.chndtrinc(observed, df, below))


def headroom(means: Floats, chance: float, n: int) -> Floats:
    """Scores as shares of the way from chance to perfect, held off 0 and 1 by half an example of `n`."""
    return np.asarray(np.clip((means - chance) / (1 - chance), 0.5 / n, 1 - 0.5 / n))


def logits(means: Floats, chance: float, n: int) -> Floats:
    """Log odds of `headroom`."""
    return np.asarray(special.logit(headroom(means, chance, n)))


def logit_stretch(means: Floats, chance: float, n: int) -> Floats:
    """How fast the logit changes with the score: d logit / d mean."""
    share = headroom(means, chance, n)
    return np.asarray(1 / (share * (1 - share) * (1 - chance)))


def logit_covariance(means: Means, chance: float, n: int) -> Floats:
    """Clustered covariance (F, F) of the logits of means over `n` examples (delta method).

    A row that is always right varies in no sample, yet not for sure: its variance is at least that of a mean which is
    half an example off.
    """
    stretch = logit_stretch(means.value, chance, n)
    least = 0.5 / n * (1 - 0.5 / n) * (1 - chance) ** 2 / n
    covariance = means.covariance + np.diag(np.maximum(least - np.diag(means.covariance), 0))
    return np.asarray(covariance * np.outer(stretch, stretch))


def spread(levels: Floats, covariance: Floats, noise_df: float) -> Spread:
    """Variance between `levels` (F,) beyond the noise that their covariance (F, F) gives their differences.

    s² − tr(C Σ)/(F − 1) with C the centring matrix (as in a random-effects analysis of variance); the degrees of
    freedom of s² match the first two moments of tr(C Σ) (Box, Ann. Math. Statist. 25, 1954).
    """
    F = len(levels)
    centred = (np.eye(F) - 1 / F) @ covariance
    noise = float(np.trace(centred)) / (F - 1)
    observed = float(np.var(levels, ddof=1))
    df = float(np.trace(centred) ** 2 / np.trace(centred @ centred))
    return Spread(observed - noise, noise, observed / noise, df, noise_df)


def between(levels: Floats) -> Floats:
    """Plain variance between levels along the last axis."""
    return np.asarray(np.var(levels, axis=-1, ddof=1))
