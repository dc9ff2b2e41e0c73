"""The noise of runs: how far two tunings of the same weights, alike but for their seed, lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from amuro.stats.clustered import Floats, Ints, clustered_means
from amuro.stats.estimate import Part
from amuro.stats.replicates import PRIOR_DF


@dataclass(frozen=True, slots=True)
class RunNoise:
    """Variance of the score of one run around the mean of its replicates, pooled over the places that have some."""

    variance: float
    sampling: float
    """The share of `variance` that is there because runs are asked few examples: it falls with more of them."""
    df: float
    units: int = 1
    """Evaluation sets that had a say: its own, and those that it was drawn towards."""

    def parts(self, items: Part, weights: ArrayLike, runs: ArrayLike) -> list[Part]:
        """Sources of noise of Σ w_t ȳ_t, where ȳ_t is a mean over `runs`[t] runs and `items` its noise of examples.

        What runs and examples have in common is counted once: sampling leaves the part of the examples and stays in
        that of the runs, which has fewer degrees of freedom. The sum is unbiased, so by chance it may be the smaller.
        """
        share = float((np.asarray(weights, dtype=float) ** 2 / np.asarray(runs, dtype=float)).sum())
        of_items = max(items[0] - share * self.sampling, 0.0)
        return [(of_items, items[1]), (share * self.variance, self.df)]


def run_noise(groups: Sequence[Floats], clusters: Ints) -> RunNoise | None:
    """Noise of runs from replicates: each group holds scores (runs, n) over the same examples; None without any.

    Variance components as in a nested analysis of variance: the variance between the means of runs, and how much of
    it the clustered spread of single examples around the group's mean accounts for.
    """
    several = [group for group in groups if len(group) > 1]
    df = sum(len(group) - 1 for group in several)
    if df == 0:
        return None
    means = [clustered_means(group - group.mean(axis=0), clusters) for group in several]
    variance = sum(float((mean.value**2).sum()) for mean in means) / df
    sampling = sum(float(np.trace(mean.covariance)) for mean in means) / df
    return RunNoise(variance, sampling, df)


def drawn_together(noises: Sequence[RunNoise | None]) -> list[RunNoise | None]:
    """Each set's noise drawn towards the mean of the others, as if they were `PRIOR_DF` degrees of freedom of its own.

    Few seeds say little of one set, and sets differ: neither each alone nor one pool for all. Posterior of a scaled
    inverse χ² prior (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004, eq. 3) whose mean is that of the *other* sets, so
    that one set alone gains no degrees of freedom. None, a set without replicates, stays None.
    """
    known = [one for one in noises if one is not None]
    total, variance, sampling = (
        sum(one.df * weight for one, weight in zip(known, weights, strict=True))
        for weights in ([1.0] * len(known), [one.variance for one in known], [one.sampling for one in known])
    )

    def towards(own: RunNoise) -> RunNoise:
        others = total - own.df
        if others <= 0:
            return own
        prior = min(PRIOR_DF, others)
        df = prior + own.df

        def posterior(mine: float, everyone: float) -> float:
            return (prior * (everyone - own.df * mine) / others + own.df * mine) / df

        return replace(
            own,
            variance=posterior(own.variance, variance),
            sampling=posterior(own.sampling, sampling),
            df=df,
            units=len(known),
        )

    return [None if one is None else towards(one) for one in noises]
