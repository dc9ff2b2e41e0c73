"""Saturating curves through a few checkpoints: y = top − span · (tokens / first)^(−rate).

A power law with an offset, E + B / D^β for the loss (Hoffmann et al., arXiv 2203.15556, eq. 2; after tuning, over the
tokens of pre-training, Isik et al., arXiv 2402.04177, and Zhang et al., arXiv 2402.17193), turned upside down for
scores. In log tokens it is an exponential approach to the top. Given the rate, top and span are linear parameters, so
the fit is a grid search over the rate alone, without start values or failures to converge (variable projection: Golub &
Pereyra, SIAM J. Numer. Anal. 10, 1973).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from amuro.results.stats.clustered import Floats
from amuro.results.stats.estimate import Estimate

Refusal = Literal["few", "flat", "falling", "linear", "sudden", "unlike"]
"""Why no curve was fitted; `REFUSALS` has the words."""
FEWEST = 5
"""Fewest checkpoints for a curve of three parameters: two more than parameters, so that a misfit can show."""
REFUSALS: dict[Refusal, str] = {
    "few": f"a curve needs {FEWEST} checkpoints",
    "flat": "the score does not surely rise",
    "falling": "the score falls",
    "linear": "the rise does not surely slow down on the log axis",
    "sudden": "the rise is over by the second checkpoint",
    "unlike": "the scores stray from every saturating curve by more than their noise",
}
RATES = 240
"""Number of rates on the search grid, evenly spaced on a logarithmic scale."""
PLACES = 160
"""Number of values at which the profile of a parameter is computed."""
MISFIT = 0.05
"""Level of the goodness-of-fit test: a curve is refused if a smaller share of draws fits worse than the data."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One saturating curve, y = top − span · (tokens / first)^(−rate)."""

    top: float
    """Asymptote for endless training."""
    span: float
    """Distance to the top at the first checkpoint."""
    rate: float
    """Exponent of the power law."""
    first: float
    """Tokens of the first checkpoint."""

    def at(self, tokens: ArrayLike) -> Floats:
        """Returns the curve's values at some tokens, in their shape."""
        return np.asarray(self.top - self.span * (np.asarray(tokens, dtype=float) / self.first) ** -self.rate)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted curve with 95 % intervals."""

    curve: Curve
    rate: tuple[float, float]
    """Interval of the rate."""
    top: tuple[float, float]
    """Interval of the top; it may reach far above the data, since it extrapolates to endless training."""
    reached: float
    """Tokens at which the curve is `delta` below its value at the last checkpoint."""
    reached_interval: tuple[float, float]
    """Interval of `reached`, limited to the observed tokens."""


def curvature_weights(tokens: ArrayLike) -> Floats:
    """Returns weights w (T,) whose Σ w_t y_t is the quadratic coefficient of a parabola fitted in log tokens."""
    x = np.log(np.asarray(tokens, dtype=float))
    x = (x - x.mean()) / np.ptp(x)
    return np.asarray(np.linalg.pinv(np.column_stack([np.ones_like(x), x, x**2]))[2])


def shape(checkpoints: int, change: Estimate, curvature: Estimate) -> Refusal | None:
    """Returns why no saturating curve may be fitted, from linear change and curvature in log tokens; None if it may."""
    low, high = change.interval()
    if checkpoints < FEWEST:
        return "few"
    if high < 0:
        return "falling"
    if low <= 0:
        return "flat"
    return None if curvature.interval()[1] < 0 else "linear"


def fit(tokens: ArrayLike, scores: ArrayLike, errors: Floats, draws: Floats, delta: float) -> Fitted | Refusal:
    """Fits a curve by weighted least squares and returns it with intervals, or the reason why it is refused.

    `scores` (T,) are weighted by their standard `errors` (T,); `draws` (B, T) are draws of their noise around 0, of
    clusters and seeds together. Intervals are profile likelihoods calibrated by parametric bootstrap (Davison & Hinkley
    1997, §5.4): a parameter value is inside if the best curve with that value exceeds the least sum of squares by no
    more than 95 % of refits to `curve + draws` do at the fitted value.
    """
    grid = _Grid.of(tokens, errors)
    y = np.asarray(scores, dtype=float)[None, :]
    misses = grid.free(y)
    best = int(misses[0].argmin())
    if best == RATES - 1:
        return "sudden"
    curve = grid.curve(y, best)
    if best == 0 or curve.span <= 0:
        return "linear"
    refits = curve.at(tokens) + np.asarray(draws, dtype=float)
    of_refits = grid.free(refits)
    least, least_refits = misses.min(), of_refits.min(axis=1)
    if np.mean(least_refits >= least) < MISFIT:
        return "unlike"
    # Where the fitted curve is less than δ below its end at the start, the place is the first checkpoint.
    place = grid.place(curve, delta)
    rate_limit = np.quantile(of_refits[:, best] - least_refits, 0.95)
    top_limit = np.quantile(grid.with_top(refits, [curve.top])[0] - least_refits, 0.95)
    place_limit = np.quantile(grid.with_place(refits, [place], delta)[0] - least_refits, 0.95)
    tops = curve.top + np.linspace(-1, 4, PLACES) * curve.span
    places = np.linspace(0, grid.x[-1], PLACES + 1)[:-1]
    low, high = _ends(places, grid.with_place(y, places, delta)[:, 0] - least - place_limit, place)
    return Fitted(
        curve=curve,
        rate=_ends(grid.rates, misses[0] - least - rate_limit, curve.rate),
        top=_ends(tops, grid.with_top(y, tops)[:, 0] - least - top_limit, curve.top),
        reached=curve.first * float(np.exp(place)),
        reached_interval=(curve.first * float(np.exp(low)), curve.first * float(np.exp(high))),
    )


def _ends(values: Floats, excess: Floats, own: float) -> tuple[float, float]:
    """Returns where `excess` first falls to 0 and last rises above it, interpolated linearly; `own` is inside."""
    held = np.flatnonzero(excess <= 0)
    if not len(held):
        return own, own
    low, high = _crossing(values, excess, held[0], -1), _crossing(values, excess, held[-1], 1)
    return min(low, own), max(high, own)


def _crossing(values: Floats, excess: Floats, inside: int, step: int) -> float:
    """Returns where `excess` crosses 0 between index `inside` and `inside + step`, interpolated linearly."""
    outside = inside + step
    if not 0 <= outside < len(values):
        return float(values[inside])
    share = excess[inside] / (excess[inside] - excess[outside])
    return float(values[inside] + share * (values[outside] - values[inside]))


@dataclass(frozen=True)
class _Grid:
    """Weighted sums of squares of curves over the grid of rates; holds what depends on tokens and errors alone."""

    x: Floats
    """(T,) log tokens since the first checkpoint."""
    weights: Floats
    """(T,) inverse variances, of mean 1."""
    first: float
    """Tokens of the first checkpoint."""
    rates: Floats
    """(R,) grid of rates."""
    decays: Floats
    """(R, T) (tokens / first)^(−rate)."""

    @classmethod
    def of(cls, tokens: ArrayLike, errors: Floats) -> _Grid:
        """Builds the grid for checkpoints with these tokens (T,) and standard errors (T,)."""
        t = np.asarray(tokens, dtype=float)
        x = np.log(t / t[0])
        # The slowest curve is nearly straight over the data; the fastest has risen by 1 − e⁻⁵ at the second checkpoint.
        rates = np.geomspace(0.05 / x[-1], 5 / x[1], RATES)
        inverse = 1 / np.asarray(errors, dtype=float) ** 2
        return cls(x, inverse / inverse.mean(), float(t[0]), rates, np.exp(-np.outer(rates, x)))

    def free(self, y: Floats) -> Floats:
        """Returns the least weighted sum of squares (B, R) around `y` (B, T) for each rate."""
        centred = y - self._mean(y)[:, None]
        column = self.decays - self._mean(self.decays)[:, None]
        slope_part = (centred * self.weights) @ column.T
        return self._square(centred)[:, None] - slope_part**2 / self._square(column)[None, :]

    def curve(self, y: Floats, rate: int) -> Curve:
        """Returns the best curve for y (1, T) at one rate, given by its index."""
        column = self.decays[rate] - self._mean(self.decays[rate : rate + 1])[0]
        slope = float((y[0] * self.weights) @ column / self._square(column[None, :])[0])
        top = float(self._mean(y)[0] - slope * self._mean(self.decays[rate : rate + 1])[0])
        return Curve(top, -slope, float(self.rates[rate]), self.first)

    def with_top(self, y: Floats, tops: ArrayLike) -> Floats:
        """Returns the least sum of squares (P, B) around `y` (B, T) of curves with each of the given tops (P,)."""
        norm = self._square(self.decays)
        return np.array([self._with_top(y - top, norm) for top in np.asarray(tops, dtype=float)])

    def _with_top(self, below: Floats, norm: Floats) -> Floats:
        """Returns the least sum of squares (B,) for `below` = y − top, minimised over span and rate."""
        explained = ((below * self.weights) @ self.decays.T) ** 2 / norm
        return np.asarray(self._square(below) - explained.max(axis=1))

    def with_place(self, y: Floats, places: ArrayLike, delta: float) -> Floats:
        """Returns the least sum of squares (P, B) of curves `delta` below their last value at given log tokens.

        This condition determines the span for each rate, so only the height is free.
        """
        missed = []
        for place in np.asarray(places, dtype=float):
            gap = np.exp(-self.rates * place) - self.decays[:, -1]
            offset = -delta * self.decays / gap[:, None]
            offset = offset - self._mean(offset)[:, None]
            centred = y - self._mean(y)[:, None]
            cross = (centred * self.weights) @ offset.T
            missed.append((self._square(centred)[:, None] - 2 * cross + self._square(offset)[None, :]).min(axis=1))
        return np.array(missed)

    def place(self, curve: Curve, delta: float) -> float:
        """Returns the log tokens since the first checkpoint at which `curve` is `delta` below its end, at least 0."""
        missing = float(np.exp(-curve.rate * self.x[-1])) + delta / curve.span
        return max(-float(np.log(missing)) / curve.rate, 0.0)

    def _mean(self, rows: Floats) -> Floats:
        """Returns weighted means over checkpoints."""
        return np.asarray(rows @ self.weights / self.weights.sum())

    def _square(self, rows: Floats) -> Floats:
        """Returns weighted sums of squares over checkpoints."""
        return np.asarray((rows**2) @ self.weights)
