"""Means over clustered examples, with cluster-robust covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amuro.results.stats.estimate import Estimate, Part, combine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Means:
    """Means of k rows over the same n examples, with their cluster-robust covariance."""

    value: Floats
    """(k,)"""
    covariance: Floats
    """(k, k)"""
    groups: int
    """Number of clusters."""

    def noise(self, weights: ArrayLike) -> Part:
        """Returns the variance of a weighted sum of the means, and its degrees of freedom."""
        w = np.asarray(weights, dtype=float)
        return float(w @ self.covariance @ w), degrees(self.groups)

    def contrast(self, weights: ArrayLike) -> Estimate:
        """Estimates the weighted sum of the means, `weights` (k,)."""
        return combine(float(np.asarray(weights, dtype=float) @ self.value), [self.noise(weights)])


def degrees(groups: int) -> float:
    """Returns the degrees of freedom of a variance between `groups` clusters: groups − 1, at least 1."""
    return float(max(groups - 1, 1))


def cluster_sums(values: Floats, clusters: Ints) -> tuple[Floats, Floats]:
    """Returns the sums (G, k) of each row of `values` (k, n) in each cluster, and the cluster sizes (G,)."""
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(clusters)))
    return np.add.reduceat(values[:, order], starts, axis=1).T, sizes.astype(float)


def clustered_means(values: ArrayLike, clusters: Ints) -> Means:
    """Returns means over examples of `values` (k, n) and their cluster-robust covariance.

    Var = G/(G−1) · Σ_g e_g e_gᵀ / n² with e_g the sum of residuals in cluster g (Miller, arXiv 2411.00640, eq. 4,
    with the usual small-sample factor). `clusters` (n,) has codes from 0; with one cluster the covariance is 0.
    """
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    sums, sizes = cluster_sums(rows, clusters)
    groups, n = len(sizes), rows.shape[1]
    means = sums.sum(axis=0) / n
    residuals = sums - np.outer(sizes, means)
    factor = groups / max(groups - 1, 1) / n**2
    return Means(means, factor * residuals.T @ residuals, groups)


def clustered_mean(values: ArrayLike, clusters: Ints) -> Estimate:
    """Estimates the mean of values (n,) with its clustered standard error."""
    return clustered_means(values, clusters).contrast([1.0])
