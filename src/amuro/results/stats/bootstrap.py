"""Bootstrap over clusters of examples, and over runs as a second level, for statistics without a formula."""

from __future__ import annotations

import numpy as np

from amuro.results.stats.clustered import Floats, Ints, cluster_sums


def cluster_draws(values: Floats, clusters: Ints, rng: np.random.Generator, draws: int = 500) -> Floats:
    """Returns bootstrap means (draws, k) of the rows of `values` (k, n), drawing whole clusters with replacement.

    All rows share the drawn clusters, which keeps their pairing (Efron & Tibshirani 1993, ch. 8).
    """
    sums, sizes = cluster_sums(values, clusters)
    groups = len(sizes)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(float)
    resampled: Floats = (weights @ sums) / (weights @ sizes)[:, None]
    return resampled


def run_draws(runs: int, rng: np.random.Generator, draws: int = 500) -> Floats:
    """Returns bootstrap weights (draws, runs) of runs drawn with replacement; each row sums to 1.

    Deviations are scaled by √(m/(m−1)) for m runs, which makes the variance over draws unbiased (Davison & Hinkley
    1997, §3.8). A single run has weight 1.
    """
    if runs == 1:
        return np.ones((draws, 1))
    weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=draws) / runs
    stretched: Floats = 1 / runs + (weights - 1 / runs) * np.sqrt(runs / (runs - 1))
    return stretched


def two_level_draws(values: Floats, clusters: Ints, rng: np.random.Generator, draws: int = 500) -> Floats:
    """Returns bootstrap means (draws,) of `values` (runs, n), drawing both clusters and runs with replacement."""
    by_run = cluster_draws(values, clusters, rng, draws)
    return np.asarray((by_run * run_draws(len(values), rng, draws)).sum(axis=1))


def percentile_interval(sample: Floats, level: float = 0.95) -> tuple[float, float]:
    """Returns the central interval of a bootstrap sample at `level`."""
    low, high = np.quantile(sample, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
