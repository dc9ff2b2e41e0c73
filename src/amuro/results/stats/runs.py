"""The noise of runs: how far two tunings of the same weights, alike but for their seed, lie apart."""

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
    """Variance of the score of one run around the mean of its replicates, pooled over the places that have some."""

    variance: float
    sampling: float
    """The share of `variance` that is there because runs are asked few examples: it falls with more of them."""
    df: float
    units: int = 1
    """Comparisons that had a say: its own, and those that it was drawn towards."""

    @property
    def beyond(self) -> float:
        """What runs add to the noise of examples."""
        return max(self.variance - self.sampling, 0.0)

    def parts(self, items: Part, weights: ArrayLike, runs: ArrayLike) -> list[Part]:
        """Sources of noise of Σ w_t ȳ_t, where ȳ_t is a mean over `runs`[t] runs and `items` its noise of examples."""
        share = float((np.asarray(weights, dtype=float) ** 2 / np.asarray(runs, dtype=float)).sum())
        return noise_parts(items, [(self, share)])


def noise_parts(items: Part, shares: Sequence[tuple[RunNoise, float]]) -> list[Part]:
    """Sources of noise of a weighted sum of means: (noise of runs, Σ w²/runs) of each way of tuning in it.

    What runs and examples have in common is counted once: sampling leaves the part of the examples and stays in
    that of the runs, which has fewer degrees of freedom. The sum is unbiased, so by chance it may be the smaller.
    Several ways of tuning make one part, with Satterthwaite's degrees of freedom: apart, each would claim its few.
    """
    of_items = max(items[0] - sum(share * noise.sampling for noise, share in shares), 0.0)
    of_runs = [(share * noise.variance, noise.df) for noise, share in shares]
    whole = [(sum(variance for variance, _ in of_runs), satterthwaite(of_runs))] if of_runs else []
    return [(of_items, items[1]), *whole]


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


def shrunk_together(noises: Sequence[RunNoise | None]) -> list[RunNoise | None]:
    """Each comparison's noise drawn towards what is usual among the others, worth `PRIOR_DF` degrees of freedom.

    Few seeds say little of one comparison, and they differ by orders of magnitude: neither each alone nor one pool for
    all. Posterior of a scaled inverse χ² prior (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004, eq. 3) around its own
    sampling and the median of what runs add beyond sampling in the *others* (each variance divided by the median of
    χ²/df): a mean would be that of the loudest. One alone gains nothing, and None, one without replicates, stays None.
    """
    known = [one for one in noises if one is not None]
    beyond = np.array([one.variance * one.df / float(special.chdtri(one.df, 0.5)) - one.sampling for one in known])

    def towards(own: RunNoise, place: int) -> RunNoise:
        if len(known) < 2:
            return own
        usual = own.sampling + max(float(np.median(np.delete(beyond, place))), 0.0)
        variance = (PRIOR_DF * usual + own.df * own.variance) / (PRIOR_DF + own.df)
        return replace(own, variance=variance, df=PRIOR_DF + own.df, units=len(known))

    places = iter(range(len(known)))
    return [None if one is None else towards(one, next(places)) for one in noises]
