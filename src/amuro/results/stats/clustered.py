"""Means of examples that come in clusters, and how sure one can be of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amuro.results.stats.estimate import Estimate, Part, combine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Means:
    """Means of k rows over the same n examples, with the covariance that the drawing of clusters gives them."""

    value: Floats
    """(k,)"""
    covariance: Floats
    """(k, k)"""
    groups: int

    def noise(self, weights: ArrayLike) -> Part:
        """Variance of a weighted sum of the means, and its degrees of freedom."""
        w = np.asarray(weights, dtype=float)
        return float(w @ self.covariance @ w), degrees(self.groups)

    def contrast(self, weights: ArrayLike) -> Estimate:
        """Weighted sum of the means."""
        return combine(float(np.asarray(weights, dtype=float) @ self.value), [self.noise(weights)])


def degrees(groups: int) -> float:
    """Degrees of freedom of a variance between so many clusters; of one cluster nothing is known, and it varies not."""
    return float(max(groups - 1, 1))


def cluster_sums(values: Floats, clusters: Ints) -> tuple[Floats, Floats]:
    """Sums (G, k) of each row of `values` (k, n) in each cluster, and the clusters' sizes (G,)."""
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(clusters)))
    return np.add.reduceat(values[:, order], starts, axis=1).T, sizes.astype(float)


def clustered_means(values: ArrayLike, clusters: Ints) -> Means:
    """Means over examples of `values` (k, n) and their cluster-robust covariance.

    Var = G/(G−1) · Σ_g e_g e_gᵀ / n² with e_g the sum of residuals in cluster g (Miller, arXiv 2411.00640, eq. 4,
    with the usual small-sample factor). `clusters` (n,) holds codes from 0; at least two must differ.
    """
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    sums, sizes = cluster_sums(rows, clusters)
    groups, n = len(sizes), rows.shape[1]
    means = sums.sum(axis=0) / n
    residuals = sums - np.outer(sizes, means)
    factor = groups / max(groups - 1, 1) / n**2
    return Means(means, factor * residuals.T @ residuals, groups)


def clustered_mean(values: ArrayLike, clusters: Ints) -> Estimate:
    """Mean of one row of values (n,) with its clustered standard error."""
    return clustered_means(values, clusters).contrast([1.0])
