"""Seed variance: differences between tunings of the same weights that differ in their seed only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from amuro.results.stats.clustered import Floats, Ints, clustered_means
from amuro.results.stats.estimate import Part, satterthwaite
from amuro.results.stats.replicates import PRIOR_DF


@dataclass(frozen=True, slots=True)
class RunNoise:
    """Variance of the mean score of one tuning run between seeds, pooled over the replicated checkpoints."""

    variance: float
    """Observed variance between runs."""
    sampling: float
    """Part of `variance` that is due to the sampling of examples; it falls with more examples."""
    df: float
    """Degrees of freedom of `variance`."""
    units: int = 1
    """Number of comparisons that contributed: its own and those that it was shrunk towards."""

    @property
    def beyond(self) -> float:
        """Returns the variance between seeds beyond the sampling of examples, at least 0."""
        return max(self.variance - self.sampling, 0.0)

    def parts(self, items: Part, weights: ArrayLike, runs: ArrayLike) -> list[Part]:
        """Returns the sources of noise of Σ w_t ȳ_t, ȳ_t a mean over `runs[t]` runs; `items` is that of examples."""
        share = float((np.asarray(weights, dtype=float) ** 2 / np.asarray(runs, dtype=float)).sum())
        return noise_parts(items, [(self, share)])


def noise_parts(items: Part, shares: Sequence[tuple[RunNoise, float]]) -> list[Part]:
    """Returns the sources of noise of a weighted sum of means, from (run noise, Σ w²/runs) of each tuning in it.

    The sampling that runs and examples share is counted once: it is subtracted from the part of the examples and stays
    in that of the runs, which has fewer degrees of freedom. The sum of both is unbiased. Several tunings make one part,
    with Satterthwaite's degrees of freedom.
    """
    of_items = max(items[0] - sum(share * noise.sampling for noise, share in shares), 0.0)
    of_runs = [(share * noise.variance, noise.df) for noise, share in shares]
    runs = [(sum(variance for variance, _ in of_runs), satterthwaite(of_runs))] if of_runs else []
    return [(of_items, items[1]), *runs]


def run_noise(groups: Sequence[Floats], clusters: Ints) -> RunNoise | None:
    """Estimates run noise from groups of replicates, scores (runs, n) on the same examples; None without replicates.

    Variance components are those of a nested analysis of variance: the variance between the means of runs, and the part
    of it that the clustered sampling of examples accounts for.
    """
    several = [group for group in groups if len(group) > 1]
    df = sum(len(group) - 1 for group in several)
    if df == 0:
        return None
    means = [clustered_means(group - group.mean(axis=0), clusters) for group in several]
    variance = sum(float((mean.value**2).sum()) for mean in means) / df
    sampling = sum(float(np.trace(mean.covariance)) for mean in means) / df
    return RunNoise(variance, sampling, df)


def shrunk_together(noises: Sequence[RunNoise | None]) -> list[RunNoise | None]:
    """Returns each comparison's noise shrunk towards that of the others, with `PRIOR_DF` prior degrees of freedom.

    Few seeds give an uncertain variance, and comparisons differ by orders of magnitude, so neither separate variances
    nor one pool is right. The result is the posterior of a scaled inverse χ² prior (Smyth, Stat. Appl. Genet. Mol.
    Biol. 3, 2004, eq. 3). Its centre is the comparison's own sampling plus the median, over the *others*, of the
    variance beyond sampling (each divided by the median of χ²/df); a mean would be dominated by the largest. A single
    comparison stays as it is, and None (no replicates) stays None.
    """
    known = [noise for noise in noises if noise is not None]
    beyond = np.array(
        [noise.variance * noise.df / float(special.chdtri(noise.df, 0.5)) - noise.sampling for noise in known]
    )

    def shrink(noise: RunNoise, index: int) -> RunNoise:
        if len(known) < 2:
            return noise
        centre = noise.sampling + max(float(np.median(np.delete(beyond, index))), 0.0)
        variance = (PRIOR_DF * centre + noise.df * noise.variance) / (PRIOR_DF + noise.df)
        return replace(noise, variance=variance, df=PRIOR_DF + noise.df, units=len(known))

    indices = iter(range(len(known)))
    return [None if noise is None else shrink(noise, next(indices)) for noise in noises]
