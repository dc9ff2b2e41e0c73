"""Signal-to-noise ratio: standard deviation between levels (checkpoints) over that of one run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from amuro.results.stats.clustered import Floats
from amuro.results.stats.spread import spread

LARGEST = 1e5
"""Non-centrality beyond which a χ² approximation replaces the non-central F (signals hundreds of times the noise)."""


@dataclass(frozen=True, slots=True)
class SignalToNoise:
    """Standard deviation between levels, beyond noise, over that of one run.

    Heineman et al. (arXiv 2508.13144) divide the range of scores by the noise. A range grows with the number of levels
    even if they are equal; the standard deviation beyond noise, used here, is then 0. Value and interval invert the
    non-central F of the observed ratio, which carries the uncertainty of the noise.
    """

    ratio: float
    """Observed variance between levels over that of noise alone; follows F(df, noise_df) if all levels are equal."""
    df: float
    """Degrees of freedom between levels."""
    noise_df: float
    """Degrees of freedom of the noise."""
    runs: float
    """Harmonic mean of the numbers of runs per level."""

    @property
    def value(self) -> float:
        """Returns the median-unbiased estimate."""
        return self._at(0.5)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns the central interval, which is never below 0."""
        return self._at(0.5 + level / 2), self._at(0.5 - level / 2)

    def p_two_sided(self, null: float = 0.0) -> float:
        """Returns twice the upper tail of F: the p value of "no variance between levels"."""
        return min(1.0, 2 * float(special.fdtrc(self.df, self.noise_df, self.ratio)))

    def _at(self, below: float) -> float:
        """Returns the signal-to-noise at which P(ratio < observed) = `below`; 0 where there is none."""
        return math.sqrt(self._noncentrality(below) / self.df / self.runs)

    def _noncentrality(self, below: float) -> float:
        """Returns the non-centrality at which P(ratio < observed) = `below`, at least 0."""

        def excess(noncentrality: float) -> float:
            return float(special.ncfdtr(self.df, self.noise_df, noncentrality, self.ratio)) - below

        if float(special.fdtr(self.df, self.noise_df, self.ratio)) <= below:
            return 0.0
        high = 1.0
        while excess(high) > 0:
            if high > LARGEST:
                return self._of_large(below)
            high *= 4
        return float(optimize.brentq(excess, 0.0, high))

    def _of_large(self, below: float) -> float:
        """Returns the non-centrality for very large signals, where only the χ² of the noise varies."""
        return self.df * self.ratio * float(special.chdtri(self.noise_df, below)) / self.noise_df


def signal_to_noise(levels: Floats, variance: float, runs: ArrayLike, noise_df: float) -> SignalToNoise:
    """Computes the signal-to-noise ratio of means (T,) over `runs` (T,) runs each.

    One run has variance `variance`, above 0, with `noise_df` degrees of freedom. Examples are the same for all levels
    and treated as fixed, as in the source.
    """
    shares = 1 / np.asarray(runs, dtype=float)
    between = spread(levels, np.diag(variance * shares), noise_df)
    return SignalToNoise(between.ratio, between.df, noise_df, float(1 / shares.mean()))


def detrended(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Returns the variance of y (k,) around its least-squares line over x, and its degrees of freedom k − 2; k ≥ 3.

    Where x is constant the variance is around the mean, with k − 1 degrees of freedom.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if np.ptp(xs) == 0:
        return float(np.var(ys, ddof=1)), float(len(xs) - 1)
    design = np.column_stack([np.ones(len(xs)), (xs - xs.mean()) / np.ptp(xs)])
    residual = ys - design @ (np.linalg.pinv(design) @ ys)
    df = float(len(xs) - 2)
    return float(residual @ residual) / df, df
