"""The noise of runs: how far two tunings of the same weights, alike but for their seed, lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from amuro.stats.estimate import Part


@dataclass(frozen=True, slots=True)
class RunNoise:
    """Variance of one run around the mean of its replicates, pooled over the places that have replicates."""

    variance: float
    df: int

    def part(self, weights: ArrayLike, runs: ArrayLike) -> Part:
        """What this noise adds to Σ w_t ȳ_t where ȳ_t is a mean over `runs`[t] runs."""
        w, m = np.asarray(weights, dtype=float), np.asarray(runs, dtype=float)
        return float(self.variance * (w**2 / m).sum()), float(self.df)


def run_noise(groups: Sequence[ArrayLike]) -> RunNoise | None:
    """Pooled within-group variance; each group holds the scores of replicates. None where nothing is replicated."""
    arrays = [np.asarray(group, dtype=float) for group in groups]
    df = sum(len(array) - 1 for array in arrays)
    if df == 0:
        return None
    squares = sum(float(((array - array.mean()) ** 2).sum()) for array in arrays)
    return RunNoise(squares / df, df)
