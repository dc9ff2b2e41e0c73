"""Variance between a few levels (prompt formats) beyond sampling noise, on the logit scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from amuro.results.stats.clustered import Floats, Means


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance between levels after subtraction of its noise; `ratio` (observed / noise) follows F(df, noise_df)."""

    excess: float
    """Observed variance − noise; below 0 by chance where the levels are equal."""
    noise: float
    """Variance between levels that noise alone gives."""
    ratio: float
    """Observed variance / noise."""
    df: float
    """Degrees of freedom between levels."""
    noise_df: float
    """Degrees of freedom of the noise."""

    @property
    def value(self) -> float:
        """Returns the estimated variance between levels, at least 0."""
        return max(self.excess, 0.0)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns the interval of the variance between levels, at least 0, by inversion of the non-central χ².

        The noise is scaled up so that the interval excludes 0 exactly where the F test rejects.
        """
        tail = 0.5 + level / 2
        wider = float(special.fdtri(self.df, self.noise_df, tail) / (special.chdtri(self.df, 1 - tail) / self.df))
        observed, noise = self.df * self.ratio / wider, wider * self.noise / self.df
        return noise * _noncentrality(observed, self.df, tail), noise * _noncentrality(observed, self.df, 1 - tail)

    def p_two_sided(self, null: float = 0.0) -> float:
        """Returns twice the upper tail of F: the p value of "no variance between levels"."""
        return min(1.0, 2 * float(special.fdtrc(self.df, self.noise_df, self.ratio)))


def _noncentrality(observed: float, df: float, below: float) -> float:
    """Returns the non-centrality at which P(χ² < observed) = `below`, at least 0."""
    if special.chdtr(df, observed) <= below:
        return 0.0
    return float(special.chndtrinc(observed, df, below))


def headroom(means: Floats, chance: float, n: int) -> Floats:
    """Returns (score − chance) / (1 − chance), limited to [.5/n, 1 − .5/n] for `n` examples."""
    return np.asarray(np.clip((means - chance) / (1 - chance), 0.5 / n, 1 - 0.5 / n))


def logits(means: Floats, chance: float, n: int) -> Floats:
    """Returns the log odds of `headroom`."""
    return np.asarray(special.logit(headroom(means, chance, n)))


def logit_stretch(means: Floats, chance: float, n: int) -> Floats:
    """Returns the derivative d logit / d mean, for the delta method."""
    share = headroom(means, chance, n)
    return np.asarray(1 / (share * (1 - share) * (1 - chance)))


def logit_covariance(means: Means, chance: float, n: int) -> Floats:
    """Returns the clustered covariance (F, F) of the logits of means over `n` examples (delta method).

    Variances are at least that of a mean half an example below perfect, since a row that is right on every example
    has a sample variance of 0.
    """
    stretch = logit_stretch(means.value, chance, n)
    least = 0.5 / n * (1 - 0.5 / n) * (1 - chance) ** 2 / n
    covariance = means.covariance + np.diag(np.maximum(least - np.diag(means.covariance), 0))
    return np.asarray(covariance * np.outer(stretch, stretch))


def spread(levels: Floats, covariance: Floats, noise_df: float) -> Spread:
    """Estimates the variance between `levels` (F,) beyond the noise given by their covariance (F, F).

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
    """Returns the sample variance between levels along the last axis."""
    return np.asarray(np.var(levels, axis=-1, ddof=1))
