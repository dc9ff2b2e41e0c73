"""How far levels (checkpoints) lie apart, in units of the noise of one run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from amuro.results.stats.clustered import Floats
from amuro.results.stats.spread import spread

LARGEST = 1e5
"""Non-centrality beyond which the distribution is not asked: differences are then hundreds of times the noise."""


@dataclass(frozen=True, slots=True)
class SignalToNoise:
    """Standard deviation between levels, beyond noise, over that of one run.

    Heineman et al. (arXiv 2508.13144) divide the range of scores by the noise. A range grows with the number of
    levels even where they are alike, so the standard deviation beyond noise stands in its place, which is 0 there.
    Value and interval invert the non-central F: what is observed over what noise makes of it, with both degrees of
    freedom, so that the uncertainty of the noise is carried.
    """

    ratio: float
    """Observed variance between levels over what noise alone gives; follows F(df, noise_df) where they are alike."""
    df: float
    noise_df: float
    runs: float
    """Harmonic mean of the runs that a level is the mean of."""

    @property
    def value(self) -> float:
        """The median-unbiased estimate."""
        return self._at(0.5)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Central interval; never below 0."""
        return self._at(0.5 + level / 2), self._at(0.5 - level / 2)

    def p_two_sided(self, null: float = 0.0) -> float:
        """Twice the upper tail of F: the p value of "no variance between levels"."""
        return min(1.0, 2 * float(special.fdtrc(self.df, self.noise_df, self.ratio)))

    def _at(self, below: float) -> float:
        """The signal-to-noise at which a smaller ratio than the observed has that probability; 0 where none has."""
        return math.sqrt(self._noncentrality(below) / self.df / self.runs)

    def _noncentrality(self, below: float) -> float:
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
        """Where the signal is so clear, only the χ² of the noise is left to vary."""
        return self.df * self.ratio * float(special.chdtri(self.noise_df, below)) / self.noise_df


def signal_to_noise(levels: Floats, variance: float, runs: ArrayLike, noise_df: float) -> SignalToNoise:
    """From means (T,) over `runs` (T,) runs each, whose variance is `variance` a run on `noise_df` degrees of freedom.

    Examples are the same for all levels and count as fixed, as in the source. `variance` must be above 0.
    """
    shares = 1 / np.asarray(runs, dtype=float)
    found = spread(levels, np.diag(variance * shares), noise_df)
    return SignalToNoise(found.ratio, found.df, noise_df, float(1 / shares.mean()))


def detrended(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Variance of y (k,) around its straight line over x, and its degrees of freedom k − 2; k must be 3 or more.

    Where x is the same everywhere there is no line, only a mean: k − 1 degrees.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if np.ptp(xs) == 0:
        return float(np.var(ys, ddof=1)), float(len(xs) - 1)
    design = np.column_stack([np.ones(len(xs)), (xs - xs.mean()) / np.ptp(xs)])
    residual = ys - design @ (np.linalg.pinv(design) @ ys)
    df = float(len(xs) - 2)
    return float(residual @ residual) / df, df
