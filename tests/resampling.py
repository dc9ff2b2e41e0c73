"""Resampling of runs as a second level beside clusters: what the closed forms of the package are held against."""

from __future__ import annotations

import numpy as np

from amuro.results.stats.bootstrap import cluster_draws
from amuro.results.stats.clustered import Floats, Ints


def run_draws(runs: int, rng: np.random.Generator, draws: int = 500) -> Floats:
    """Weights (draws, runs), each row summing to one, when runs are drawn with replacement.

    Deviations are stretched by √(m/(m−1)), so that the spread over draws is unbiased for few runs (Davison & Hinkley
    1997, §3.8). A single run has nothing to vary: its weight is one.
    """
    if runs == 1:
        return np.ones((draws, 1))
    weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=draws) / runs
    stretched: Floats = 1 / runs + (weights - 1 / runs) * np.sqrt(runs / (runs - 1))
    return stretched


def two_level_draws(values: Floats, clusters: Ints, rng: np.random.Generator, draws: int = 500) -> Floats:
    """Means (draws,) of `values` (runs, n) when both clusters and runs are drawn anew."""
    by_run = cluster_draws(values, clusters, rng, draws)
    return np.asarray((by_run * run_draws(len(values), rng, draws)).sum(axis=1))


def percentile_interval(sample: Floats, level: float = 0.95) -> tuple[float, float]:
    """Central interval of a bootstrap sample."""
    low, high = np.quantile(sample, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
