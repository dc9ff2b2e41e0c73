"""Resampling of whole clusters, for statistics without a formula."""

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
