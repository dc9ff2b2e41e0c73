"""Power analysis: minimum detectable effects, and the rows or seeds that a given effect needs."""

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
"""Power for which minimum detectable effects are computed."""
MOST_ROWS, MOST_SEEDS = 1_000_000, 100
"""Search limits: a design that needs more is reported as impossible."""
SMALLEST_TAIL = 1e-12
"""Smallest tail probability that a p value is searched at."""


def detectable(parts: Sequence[Part], alpha: float = 0.05, power: float = POWER) -> float:
    """Returns the minimum detectable effect of a two-sided test at `alpha` with `power`: (t_(1−α/2) + t_power) · SE.

    Quantiles are those of `Estimate`, so a variance with few degrees of freedom costs power. The effect is 0 where the
    variance is 0. (Miller, arXiv 2411.00640, on power analysis; here with t in place of z.)
    """
    estimate = combine(0.0, parts)
    if estimate.variance <= 0:
        return 0.0
    return (estimate.multiplier(alpha / 2) + estimate.multiplier(1 - power)) * estimate.se


def detectable_interval(
    parts: Sequence[Part], known: Sequence[float], alpha: float, power: float = POWER, level: float = 0.95
) -> tuple[float, float]:
    """Returns the interval of the minimum detectable effect; variance i is known with `known[i]` degrees of freedom.

    Each part's variance is moved to its own χ² limits; the resulting distances of the effect are added as squares, for
    either side (Graybill & Wang, J. Am. Stat. Assoc. 75 (1980) 869, for a sum of variances; Zou & Donner, Statist. Med.
    27 (2008) 1693, for any increasing function). A single χ² for the sum, after Satterthwaite, is too short where a
    part with few degrees of freedom is small by chance.
    """
    effect, tail = detectable(parts, alpha, power), 0.5 - level / 2

    def distance(part: int, limit: float) -> float:
        variance, df = parts[part]
        moved = [*parts[:part], (variance * known[part] / limit, df), *parts[part + 1 :]]
        return detectable(moved, alpha, power) - effect

    below, above = (
        math.sqrt(sum(distance(part, float(special.chdtri(df, upper))) ** 2 for part, df in enumerate(known)))
        for upper in (tail, 1 - tail)
    )
    return max(effect - below, 0.0), effect + above


def variance_df(values: Floats, clusters: Ints) -> float:
    """Returns the degrees of freedom of the clustered variance of a mean over `values` (n,): 2G/(κ − 1), at most G − 1.

    κ is the kurtosis of the G clusters' sums of residuals. The relative variance of a mean of G squares is (κ − 1)/G,
    and that of a χ² with d degrees of freedom 2/d. Clusters of uneven size have κ above 3, the value of a normal
    distribution, so they give fewer degrees of freedom than equal ones.
    """
    sums = np.bincount(clusters, values - values.mean())
    squares = float((sums**2).mean())
    groups = len(sums)
    excess = float((sums**4).mean()) / squares**2 - 1 if squares > 0 else 0.0
    return max(min(2 * groups / excess, groups - 1) if excess > 0 else groups - 1, 1.0)


@dataclass(frozen=True, slots=True)
class Margin:
    """δ − minimum detectable effect: above 0 where the study can detect an effect of δ.

    It has an interval because the variances behind the detectable effect are estimated.
    """

    delta: float
    """Smallest effect of interest."""
    parts: tuple[Part, ...]
    """Sources of noise, with the degrees of freedom that the test will have."""
    alpha: float
    """Level of the two-sided test."""
    power: float = POWER
    known: tuple[float, ...] = ()
    """Degrees of freedom with which each variance was estimated; empty: those of the test."""

    @property
    def detectable(self) -> float:
        """Returns the minimum detectable effect."""
        return detectable(self.parts, self.alpha, self.power)

    @property
    def value(self) -> float:
        """Returns δ − minimum detectable effect."""
        return self.delta - self.detectable

    @property
    def supported_from(self) -> float:
        """Returns the effect whose estimate, with that power, differs from 0 significantly and reaches δ as well."""
        estimate = combine(0.0, self.parts)
        return max(self.detectable, self.delta + estimate.multiplier(1 - self.power) * estimate.se)

    def detectable_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns the interval of the minimum detectable effect."""
        known = self.known or tuple(df for _, df in self.parts)
        return detectable_interval(self.parts, known, self.alpha, self.power, level)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns the interval of `value`."""
        low, high = self.detectable_interval(level)
        return self.delta - high, self.delta - low

    def p_two_sided(self, null: float = 0.0) -> float:
        """Returns 1 − the level of the widest interval that excludes `null`."""

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
    """Variance components of one difference (tuned − base), which do not depend on the number of examples or seeds."""

    between: float
    """Variance between the mean differences of clusters."""
    within: float
    """Variance of an example within its cluster, where the tuned score is a mean over `seeds` seeds."""
    run: float = 0.0
    """Variance of the expected score between tuning seeds."""
    answers: float = 0.0
    """Variance of an example's score between tuning seeds."""
    seeds: int = 1
    """Number of seeds over which `within` was estimated."""


@dataclass(frozen=True, slots=True)
class Design:
    """Size of a comparison at one checkpoint: rows and clusters of examples, tuning seeds."""

    rows: int
    clusters: int
    seeds: int
    replicated: int = 0
    """Number of checkpoints of the series with several seeds."""
    run_df: int = 0
    """Degrees of freedom of the seed variance: Σ (seeds − 1) over those checkpoints; 0 where it stays unknown."""


def components(values: Floats, clusters: Ints) -> tuple[float, float]:
    """Returns the variances (between, within) clusters of values (n,), by one-way random effects.

    Source: Searle, Casella & McCulloch 1992, §3.6. Where clusters differ less than chance makes them, *between* would
    be negative; then it is 0 and *within* is the variance of cluster means, so that the variance of the mean is right.
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
    """Returns the sources of noise of (tuned − base) under a design: examples, and seeds if replicated."""
    answers = noise.answers / design.rows
    items = noise.between / design.clusters + noise.within / design.rows
    items = max(items + answers * (1 / design.seeds - 1 / noise.seeds), 0.0)
    of_items = (items, float(max(design.clusters - 1, 1)))
    if design.run_df < 1:
        return [of_items]
    return RunNoise(noise.run + answers, answers, design.run_df).parts(of_items, [1.0], [design.seeds])


def rows_needed(noise: Components, design: Design, delta: float, alpha: float, clusters: int = 2) -> int | None:
    """Returns the fewest rows, in `clusters` clusters or more, at which δ is detectable; None if no number is enough.

    The rows per cluster are those of `design`.
    """
    per_cluster = design.rows / design.clusters

    def enough(rows: int) -> bool:
        wider = replace(design, rows=rows, clusters=max(round(rows / per_cluster), 2))
        return detectable(parts(noise, wider), alpha) <= delta

    return _least(enough, math.ceil(clusters * per_cluster), MOST_ROWS)


def seeds_needed(noise: Components, design: Design, delta: float, alpha: float) -> int | None:
    """Returns the fewest seeds per replicated checkpoint at which δ is detectable; None where no number is enough.

    Two replicated checkpoints are assumed where the design has fewer.
    """

    def enough(seeds: int) -> bool:
        more = replace(design, seeds=seeds, run_df=max(design.replicated, 2) * (seeds - 1))
        return detectable(parts(noise, more), alpha) <= delta

    return _least(enough, 2, MOST_SEEDS)


def _least(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """Returns the smallest number in [least, most] that is enough, by bisection; None where `most` is not."""
    if not enough(most):
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle + 1, most)
    return least
