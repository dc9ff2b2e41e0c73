"""How small an effect a study can tell from 0, and what a given effect needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from amuro.results.stats.clustered import Floats, Ints
from amuro.results.stats.estimate import Part, combine
from amuro.results.stats.runs import RunNoise

POWER = 0.8
MOST_ROWS, MOST_SEEDS = 1_000_000, 100
"""Beyond these a design is said not to exist."""
SMALLEST_TAIL = 1e-12


def detectable(parts: Sequence[Part], alpha: float = 0.05, power: float = POWER) -> float:
    """The effect that a two-sided test at `alpha` tells from 0 with that power: (t_(1−α/2) + t_power) · SE.

    The quantiles are those of `Estimate`, so noise that is known with few degrees of freedom costs power. 0 where
    nothing varies. (Miller, arXiv 2411.00640, on power analysis; here with t in place of z.)
    """
    estimate = combine(0.0, parts)
    if estimate.variance <= 0:
        return 0.0
    return (estimate.multiplier(alpha / 2) + estimate.multiplier(1 - power)) * estimate.se


def detectable_interval(
    parts: Sequence[Part], known: Sequence[float], alpha: float, power: float = POWER, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the smallest detectable effect, where each variance is known with `known` degrees of freedom.

    The distances to what the effect would be at each part's own χ² limits, added as squares, below and above (Graybill
    & Wang, J. Am. Stat. Assoc. 75 (1980) 869, for a sum of variances; Zou & Donner, Statist. Med. 27 (2008) 1693, for
    any function that rises with each). One χ² for the sum, after Satterthwaite, is too short where a part with few
    degrees happens to come out small.
    """
    own, tail = detectable(parts, alpha, power), 0.5 - level / 2

    def away(place: int, limit: float) -> float:
        variance, df = parts[place]
        moved = [*parts[:place], (variance * known[place] / limit, df), *parts[place + 1 :]]
        return detectable(moved, alpha, power) - own

    below, above = (
        math.sqrt(sum(away(place, float(special.chdtri(df, upper))) ** 2 for place, df in enumerate(known)))
        for upper in (tail, 1 - tail)
    )
    return max(own - below, 0.0), own + above


def variance_df(values: Floats, clusters: Ints) -> float:
    """Degrees of freedom that the clustered variance of a mean over `values` (n,) is known with: 2G/(κ − 1), at most
    G − 1, with κ the kurtosis of the clusters' sums of residuals.

    The variance of a mean of G squares is (κ − 1)/G of its square, that of a χ² with d degrees 2/d. Clusters of uneven
    size have a κ above the 3 of a normal distribution: 56 may know a variance no better than 30 alike would.
    """
    sums = np.bincount(clusters, values - values.mean())
    squares = float((sums**2).mean())
    groups = len(sums)
    excess = float((sums**4).mean()) / squares**2 - 1 if squares > 0 else 0.0
    return max(min(2 * groups / excess, groups - 1) if excess > 0 else groups - 1, 1.0)


@dataclass(frozen=True, slots=True)
class Margin:
    """δ less the smallest detectable effect: above 0 where the study can tell an effect of δ from 0.

    Its interval is that of the detectable effect: noise is estimated, and so is what it allows to be seen.
    """

    delta: float
    parts: tuple[Part, ...]
    """Sources of noise, with the degrees of freedom that a test will have."""
    alpha: float
    power: float = POWER
    known: tuple[float, ...] = ()
    """Degrees of freedom that each variance is known with now; where empty, those of the test."""

    @property
    def detectable(self) -> float:
        return detectable(self.parts, self.alpha, self.power)

    @property
    def value(self) -> float:
        return self.delta - self.detectable

    @property
    def supported_from(self) -> float:
        """The effect whose estimate, with that power, is told from 0 and reaches δ as well."""
        estimate = combine(0.0, self.parts)
        return max(self.detectable, self.delta + estimate.multiplier(1 - self.power) * estimate.se)

    def detectable_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the smallest detectable effect."""
        known = self.known or tuple(df for _, df in self.parts)
        return detectable_interval(self.parts, known, self.alpha, self.power, level)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        low, high = self.detectable_interval(level)
        return self.delta - high, self.delta - low

    def p_two_sided(self, null: float = 0.0) -> float:
        """1 − the level of the widest interval without `null`."""

        def beyond(log_tail: float) -> float:
            low, high = self.interval(1 - 2 * math.exp(log_tail))
            return low - null if self.value > null else null - high

        least, most = math.log(SMALLEST_TAIL), math.log(0.5)
        if beyond(most) <= 0:
            return 1.0
        if beyond(least) >= 0:
            return 2 * SMALLEST_TAIL
        return 2 * math.exp(optimize.brentq(beyond, least, most))


@dataclass(frozen=True, slots=True)
class Components:
    """Where the noise of one difference comes from, apart from how many examples and runs it is asked with."""

    between: float
    """Variance of the clusters' own differences."""
    within: float
    """Variance of one example around its cluster, with the tuned side a mean over `seeds` runs."""
    run: float = 0.0
    """Variance of one tuning run's true score."""
    answers: float = 0.0
    """Variance that one example's answer has from run to run."""
    seeds: int = 1


@dataclass(frozen=True, slots=True)
class Design:
    """What a comparison at one checkpoint rests on."""

    rows: int
    clusters: int
    seeds: int
    replicated: int = 0
    """Checkpoints of the series with several seeds."""
    run_df: int = 0
    """Degrees of freedom of the noise of runs: Σ (seeds − 1) over those checkpoints; 0 where it stays unknown."""


def components(values: Floats, clusters: Ints) -> tuple[float, float]:
    """(between, within) of values (n,) in clusters: one-way random effects (Searle, Casella & McCulloch 1992, §3.6).

    Where clusters are more alike than chance makes them (each holds every answer once), *between* would be negative;
    it is 0 then, and *within* what the means of clusters leave of it, so that the variance of the mean stays right.
    """
    sizes = np.bincount(clusters).astype(float)
    means = np.bincount(clusters, values) / sizes
    n, groups = len(values), len(sizes)
    inside = float(((values - means[clusters]) ** 2).sum()) / (n - groups) if n > groups else 0.0
    of_means = float((sizes * (means - values.mean()) ** 2).sum()) / max(groups - 1, 1)
    if n == groups or of_means <= inside:
        return 0.0, of_means
    size = (n - float((sizes**2).sum()) / n) / max(groups - 1, 1)
    return (of_means - inside) / size, inside


def parts(noise: Components, design: Design) -> list[Part]:
    """Sources of noise of (tuned − base) under a design, as `RunNoise.parts` splits them."""
    answers = noise.answers / design.rows
    items = noise.between / design.clusters + noise.within / design.rows
    items = max(items + answers * (1 / design.seeds - 1 / noise.seeds), 0.0)
    of_items = (items, float(max(design.clusters - 1, 1)))
    if design.run_df < 1:
        return [of_items]
    return RunNoise(noise.run + answers, answers, design.run_df).parts(of_items, [1.0], [design.seeds])


def rows_needed(noise: Components, design: Design, delta: float, alpha: float, clusters: int = 2) -> int | None:
    """Rows, in proportionally more clusters, of which there must be `clusters` at the least, with which δ is
    detectable; None where runs alone are too noisy.
    """
    a_cluster = design.rows / design.clusters

    def enough(rows: int) -> bool:
        wider = replace(design, rows=rows, clusters=max(round(rows / a_cluster), 2))
        return detectable(parts(noise, wider), alpha) <= delta

    return _least(enough, math.ceil(clusters * a_cluster), MOST_ROWS)


def seeds_needed(noise: Components, design: Design, delta: float, alpha: float) -> int | None:
    """Seeds at each replicated checkpoint (two of them if there is none); None where examples alone are too few."""

    def enough(seeds: int) -> bool:
        more = replace(design, seeds=seeds, run_df=max(design.replicated, 2) * (seeds - 1))
        return detectable(parts(noise, more), alpha) <= delta

    return _least(enough, 2, MOST_SEEDS)


def _least(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest number that is enough, where all greater ones are as well."""
    if not enough(most):
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle + 1, most)
    return least
