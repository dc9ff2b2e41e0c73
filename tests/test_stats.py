"""The numbers behind the verdicts, against exact values, other libraries' formulas and simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resampling import percentile_interval, run_draws, two_level_draws
from scipy import stats

from amuro.results.stats.bootstrap import cluster_draws
from amuro.results.stats.clustered import clustered_mean, clustered_means
from amuro.results.stats.equivalence import tost
from amuro.results.stats.estimate import Estimate, combine, satterthwaite
from amuro.results.stats.multiplicity import holm
from amuro.results.stats.paired import mcnemar, t_test
from amuro.results.stats.ratio import PairedRatio, fieller
from amuro.results.stats.regression import slope
from amuro.results.stats.runs import RunNoise, run_noise, shrunk_together
from amuro.results.stats.spread import Spread, logit_covariance, logits, spread
from amuro.results.stats.trend import change_weights, without_each

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_interval_and_p_value_agree() -> None:
    """A 95 % interval ends at the value whose two-sided p is .05, and both follow Student's t."""
    estimate = Estimate.of(1.3, 0.4, 7.0)
    low, high = estimate.interval()
    assert low == pytest.approx(1.3 - stats.t.ppf(0.975, 7) * 0.4)
    assert estimate.p_two_sided(low) == pytest.approx(0.05)
    assert estimate.p_above(low) == pytest.approx(0.025)
    assert (estimate.value + low) / 2 < high


def test_estimate_without_spread_is_certain() -> None:
    """Where nothing varies the interval is the value, and p is 0 or 1."""
    estimate = Estimate.of(0.2, 0.0, 3.0)
    assert estimate.interval() == (0.2, 0.2)
    assert (estimate.p_two_sided(), estimate.p_two_sided(0.2), estimate.p_above(0.3)) == (0.0, 1.0, 1.0)


def test_parts_of_noise_combine() -> None:
    """Variances add, one part alone is Student's t, and equal parts have the quantile of either."""
    alone, equal = combine(0.0, [(2.0, 9.0)]), combine(1.0, [(1.0, 5.0), (1.0, 5.0)])
    assert alone.interval()[1] == pytest.approx(stats.t.ppf(0.975, 9) * 2**0.5)
    assert equal.se == pytest.approx(2**0.5)
    assert equal.multiplier(0.025) == pytest.approx(stats.t.ppf(0.975, 5))
    assert satterthwaite([(2.0, 8.0), (1.0, 4.0)]) == pytest.approx(12.0)


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(-8, 8))
def test_p_value_and_interval_agree_for_any_parts(first: float, second: float, value: float) -> None:
    """With noise of 55 and of 4 degrees of freedom, p is below .05 exactly where the 95 % interval leaves out 0."""
    estimate = combine(value, [(first, 55.0), (second, 4.0)])
    low, high = estimate.interval()
    assert (low > 0 or high < 0) == (estimate.p_two_sided() < 0.05)
    assert estimate.p_above() == pytest.approx(1 - Estimate(-value, estimate.parts).p_above())


def test_few_degrees_of_freedom_do_not_make_it_bold() -> None:
    """Where noise of runs with 4 degrees of freedom dominates, p below .0125 falls in at most 1.25 % of null draws."""
    rng = np.random.default_rng(12)
    drawn = zip(rng.normal(0, 2, 4000), rng.chisquare(55, 4000) / 55, 3 * rng.chisquare(4, 4000) / 4, strict=True)
    p = [combine(value, [(items, 55.0), (runs, 4.0)]).p_two_sided() for value, items, runs in drawn]
    assert np.mean(np.array(p) < 0.0125) <= 0.0125
    assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.055


def test_clusters_of_one_give_the_ordinary_standard_error() -> None:
    """With every example its own cluster the clustered error is s / √n."""
    values = np.random.default_rng(0).normal(size=40)
    estimate = clustered_mean(values, np.arange(40))
    assert estimate.se == pytest.approx(values.std(ddof=1) / 40**0.5)
    assert estimate.parts[0][1] == 39


def test_repeating_every_example_adds_no_certainty() -> None:
    """Copies of an example inside its cluster leave the clustered error as it was."""
    values = np.random.default_rng(0).normal(size=40)
    copied = clustered_mean(np.repeat(values, 5), np.repeat(np.arange(40), 5))
    assert copied.se == pytest.approx(clustered_mean(values, np.arange(40)).se)


def test_contrast_of_paired_rows_is_the_mean_of_differences() -> None:
    """The covariance makes a difference of two rows as sure as the row of differences."""
    rng = np.random.default_rng(1)
    rows, clusters = rng.normal(size=(2, 90)) + rng.normal(size=90), rng.integers(30, size=90)
    together = clustered_means(rows, clusters).contrast([1.0, -1.0])
    alone = clustered_mean(rows[0] - rows[1], clusters)
    assert (together.value, together.se) == (pytest.approx(alone.value), pytest.approx(alone.se))


def test_bootstrap_agrees_with_the_formula() -> None:
    """Spread and interval of the cluster bootstrap match the closed form on linear statistics."""
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(60), 8)
    values = (rng.normal(size=60)[clusters] + rng.normal(size=480))[None]
    sample = cluster_draws(values, clusters, rng, 4000)[:, 0]
    formula = clustered_mean(values[0], clusters)
    assert sample.std() == pytest.approx(formula.se, rel=0.06)
    assert percentile_interval(sample) == pytest.approx(formula.interval(), abs=0.2 * formula.se)


def test_paired_rows_stay_paired_in_the_bootstrap() -> None:
    """Two equal rows see the same clusters in every draw."""
    rng = np.random.default_rng(3)
    row = rng.normal(size=100)
    sample = cluster_draws(np.array([row, row]), rng.integers(20, size=100), rng, 50)
    assert np.array_equal(sample[:, 0], sample[:, 1])


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_run_weights_sum_to_one_and_are_unbiased(runs: int) -> None:
    """Drawing few runs anew spreads their mean by s / √m, not by the √((m − 1)/m) less that plain drawing gives."""
    rng = np.random.default_rng(4)
    weights = run_draws(runs, rng, 20_000)
    values = rng.normal(size=runs)
    assert np.allclose(weights.sum(axis=1), 1)
    assert (weights @ values).std() == pytest.approx(values.std(ddof=1) / runs**0.5, rel=0.03)


def test_two_levels_spread_more_than_one() -> None:
    """Runs that differ widen the bootstrap of their mean beyond what clusters alone give."""
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(50), 4)
    values = rng.normal(size=(3, 200)) + np.array([[0.0], [1.0], [2.0]])
    both = two_level_draws(values, clusters, rng, 2000)
    assert both.std() == pytest.approx(np.hypot(1 / 3**0.5, clustered_mean(values.mean(axis=0), clusters).se), rel=0.1)


def test_run_noise_pools_within_groups() -> None:
    """Levels of different checkpoints do not count, only seeds around their own mean; a single seed says nothing."""
    level = np.ones(60)
    groups = [np.outer([0.1, 0.3], level), np.outer([5.0, 5.2, 5.4], level), np.outer([9.0], level)]
    noise = run_noise(groups, np.arange(60))
    assert noise is not None
    assert (noise.variance, noise.sampling, noise.df) == (pytest.approx((0.02 + 0.08) / 3), pytest.approx(0), 3)
    assert run_noise([groups[2]], np.arange(60)) is None


def test_runs_that_differ_by_sampling_alone_add_nothing() -> None:
    """Seeds that answer each example anew, with no run better than another, add no noise beyond that of examples."""
    rng = np.random.default_rng(11)
    drawn = [run_noise([rng.normal(size=(3, 400))], np.arange(400)) for _ in range(400)]
    found = [noise for noise in drawn if noise is not None]
    assert np.mean([noise.variance for noise in found]) == pytest.approx(1 / 400, rel=0.1)
    assert np.mean([noise.sampling for noise in found]) == pytest.approx(1 / 400, rel=0.05)


def test_noise_of_runs_and_examples_is_counted_once() -> None:
    """Total variance is that of examples plus what runs add beyond sampling; the runs' few degrees of freedom show."""
    beyond = combine(0.0, RunNoise(0.5, 0.2, 4).parts((1.0, 50.0), [1.0, 0.0], [2, 1]))
    assert beyond.se**2 == pytest.approx(1.0 + (0.5 - 0.2) / 2)
    assert beyond.multiplier(0.025) > stats.t.ppf(0.975, 50)
    unlucky = combine(0.0, RunNoise(0.1, 0.2, 4).parts((1.0, 50.0), [1.0], [1]))
    assert unlucky.se**2 == pytest.approx(1.0 - 0.2 + 0.1)


def test_a_set_is_drawn_towards_the_others_and_not_towards_itself() -> None:
    """What is usual among the others counts for one degree of freedom; alone, or without seeds, nothing changes."""
    quiet, usual, loud = (RunNoise(variance, 0.001, 2) for variance in (0.01, 0.02, 5.0))
    drawn = shrunk_together([quiet, None, usual, usual, loud])
    expected = 0.02 / (stats.chi2.median(2) / 2)
    assert drawn[0] is not None
    assert drawn[0].variance == pytest.approx((1 * expected + 2 * 0.01) / 3)
    assert (drawn[0].df, drawn[0].units, drawn[1]) == (3, 4, None)
    assert shrunk_together([quiet, None]) == [quiet, None]


def test_a_loud_set_among_quiet_ones_keeps_the_noise_of_its_examples() -> None:
    """Where runs add nothing beyond sampling, a set is drawn to its own sampling, not to that of quieter sets."""
    loud, quiet = RunNoise(4e-4, 4e-4, 2), RunNoise(1e-6, 1e-6, 2)
    drawn = shrunk_together([loud, quiet, quiet, quiet])[0]
    assert drawn is not None
    assert drawn.variance == pytest.approx(4e-4, rel=1e-3)


def test_what_is_usual_is_the_mean_of_what_is_drawn() -> None:
    """Where all sets have one variance, the prior that their medians give is that variance."""
    rng = np.random.default_rng(8)
    sets = [RunNoise(float(v), 0.0, 2) for v in 0.03 * rng.chisquare(2, 2000) / 2]
    drawn = [one.variance for one in shrunk_together(sets) if one is not None]
    assert np.mean(drawn) == pytest.approx(0.03, rel=0.06)


@given(st.lists(st.integers(0, 40), min_size=3, max_size=9, unique=True), st.floats(-3, 3), st.floats(-5, 5))
def test_change_reads_a_straight_line_exactly(doublings: list[int], rate: float, level: float) -> None:
    """A line in log tokens changes by rate × span, whatever its level and wherever the checkpoints lie."""
    tokens = 2.0 ** np.array(doublings)
    x = np.log(tokens)
    line = level + rate * x
    span = x.max() - x.min()
    assert change_weights(tokens) @ line == pytest.approx(rate * span, abs=1e-6)
    for weights in without_each(tokens):
        assert weights.sum() == pytest.approx(0, abs=1e-6)


def test_leaving_out_gives_the_left_out_checkpoint_no_weight() -> None:
    """Each set of weights ignores its own checkpoint and reads the others as if it had never been."""
    left = without_each([10, 100, 1000, 10000])
    assert [int(np.flatnonzero(w == 0)[0]) for w in left[:1]] == [0]
    assert left[0][1:] == pytest.approx(change_weights([100, 1000, 10000]))


def test_tost_needs_both_sides() -> None:
    """A value near 0 is equivalent at a wide margin, none is at a margin narrower than its error, nor is a far one."""
    near = Estimate.of(0.01, 0.02, 50)
    assert tost(near, 0.1) < 0.001
    assert tost(near, 0.01) > 0.05
    assert tost(Estimate.of(0.1, 0.02, 50), 0.1) == pytest.approx(0.5)
    assert tost(Estimate.of(-0.2, 0.02, 50), 0.1) > 0.99


@given(p_lists)
def test_holm_lies_between_bare_and_bonferroni(p_values: list[float]) -> None:
    """Adjusted p values are no smaller than bare, no larger than Bonferroni's, keep the order, and lie in [0, 1]."""
    p, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= p - 1e-12).all()
    assert (adjusted <= np.minimum(p * len(p), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_holm_by_hand() -> None:
    """Holm's own steps on three p values; an empty family is empty."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert len(holm([])) == 0


def test_fieller_covers_a_ratio_and_refuses_a_vague_denominator() -> None:
    """Intervals of a known ratio cover it in 95 % of draws; a denominator that may be 0 gives none."""
    rng = np.random.default_rng(6)
    above, below = rng.normal(0.3, 0.05, 1000), rng.normal(0.6, 0.05, 1000)
    intervals = [
        fieller(Estimate.of(a, 0.05, 1e6), Estimate.of(b, 0.05, 1e6)) for a, b in zip(above, below, strict=True)
    ]
    covered = [low <= 0.5 <= high for low, high in filter(None, intervals)]
    assert len(covered) == 1000
    assert 0.93 <= np.mean(covered) <= 0.97
    assert fieller(Estimate.of(0.3, 0.05, 50), Estimate.of(0.05, 0.05, 50)) is None


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8))
def test_mcnemar_is_the_exact_binomial_test(moved: list[tuple[int, int]]) -> None:
    """As scipy's two-sided binomial test of one half on the pairs that changed; nothing changed is p = 1."""
    lost, won = (np.array(side) for side in zip(*moved, strict=True))
    expected = [stats.binomtest(a, a + b, 0.5).pvalue if a + b else 1.0 for a, b in moved]
    assert mcnemar(lost, won) == pytest.approx(np.array(expected), abs=1e-9)


def test_the_clustered_t_test_is_students() -> None:
    """Two-sided p values with G − 1 degrees of freedom; what never varies is sure, unless one cluster is all."""
    found = t_test([0.1, -1.0, 0.0, -1.0], [0.05, 0.0, 0.0, 0.0], [21, 60, 60, 1])
    assert found == pytest.approx([2 * stats.t.sf(2, 20), 0.0, 1.0, 1.0])


def test_a_paired_ratio_is_fiellers() -> None:
    """For independent sums the inverted contrast gives Fieller's interval, and one that has no end says so."""
    above, below = Estimate.of(0.3, 0.05, 40), Estimate.of(0.6, 0.04, 40)

    def contrast(of: Estimate) -> Callable[[float], Estimate]:
        return lambda r: Estimate.of(above.value - r * of.value, float(np.hypot(above.se, r * of.se)), 40)

    ratio = PairedRatio(0.5, contrast(below))
    assert ratio.interval() == pytest.approx(fieller(above, below), abs=1e-6)
    assert ratio.p_two_sided(ratio.interval()[0]) == pytest.approx(0.05, abs=1e-6)
    vague = PairedRatio(6.0, contrast(Estimate.of(0.05, 0.05, 40)))
    assert vague.interval()[1] == np.inf


def test_slope_is_corrected_for_error_in_x() -> None:
    """Noise in x flattens a least-squares slope; dividing by the reliability restores it."""
    rng = np.random.default_rng(7)
    truth = rng.normal(0, 1, 4000)
    x, y = truth + rng.normal(0, 0.7, 4000), 0.5 - 0.8 * truth
    assert slope(x, y).value == pytest.approx(-0.8 / 1.49, abs=0.03)
    assert slope(x, y, 0.49).value == pytest.approx(-0.8, abs=0.04)
    assert slope(x, y).value == pytest.approx(stats.linregress(x, y).slope)
    assert slope(x, y).se == pytest.approx(stats.linregress(x, y).stderr)


def test_scaled_slope_reads_shares_of_room() -> None:
    """Where y is a fixed share of the scale, the slope is 0 however the scale depends on x."""
    x = np.linspace(0.1, 0.8, 9)
    assert slope(x, 0.6 * (1 - x), scale=1 - x).value == pytest.approx(0, abs=1e-9)
    assert slope(x, (0.6 - 0.5 * x) * (1 - x), scale=1 - x).value == pytest.approx(-0.5)


def test_spread_of_equal_formats_is_nil_on_average() -> None:
    """Sampling noise alone makes no variance between formats, and p values of the null are uniform."""
    rng = np.random.default_rng(8)
    drawn = [spread(rng.normal(0, 0.3, 3), np.eye(3) * 0.09, 1e6) for _ in range(2000)]
    assert np.mean([one.excess for one in drawn]) == pytest.approx(0, abs=0.01)
    assert 0.015 <= np.mean([one.interval()[0] > 0 for one in drawn]) <= 0.035


def test_spread_interval_covers() -> None:
    """The interval of the variance between three fixed formats covers it in 93 to 97 % of draws."""
    rng = np.random.default_rng(9)
    levels = np.array([0.5, 0.0, -0.5])
    truth = float(np.var(levels, ddof=1))
    intervals = [spread(levels + rng.normal(0, 0.2, 3), np.eye(3) * 0.04, 1e6).interval() for _ in range(1500)]
    assert 0.93 <= np.mean([low <= truth <= high for low, high in intervals]) <= 0.97


def test_always_right_is_not_certain() -> None:
    """A format that is right on every row has a finite logit and an error, so that a ceiling proves nothing."""
    rng = np.random.default_rng(10)
    values = np.array([np.ones(400), (rng.random(400) < 0.97).astype(float)])
    covariance = logit_covariance(clustered_means(values, np.repeat(np.arange(50), 8)), 0.0, 400)
    assert np.isfinite(logits(values.mean(axis=1), 0.0, 400)).all()
    assert covariance[0, 0] > covariance[1, 1] > 0


@settings(max_examples=50)
@given(st.floats(0.01, 50), st.floats(1, 4), st.floats(4, 200))
def test_spread_interval_is_ordered(ratio: float, df: float, noise_df: float) -> None:
    """Bounds are ordered, never negative, and the lower is 0 exactly where p is above .05."""
    one = Spread((ratio - 1) * 0.1, 0.1, ratio, df, noise_df)
    low, high = one.interval()
    assert 0 <= low <= high
    assert (low > 0) == (one.p_two_sided() < 0.05)


@settings(max_examples=200, deadline=None)
@given(st.floats(-12, 2), st.floats(-12, 2), st.floats(1, 400), st.floats(1, 1e6), st.floats(-2, 2.9))
def test_a_p_value_is_found_for_any_parts_and_distance(
    first: float, second: float, few: float, many: float, distance: float
) -> None:
    """Variances up to fourteen orders of magnitude apart and effects of a thousand errors have a p value, which lies
    between those of the parts alone."""
    parts = ((10.0**first, few), (10.0**second, many))
    estimate = Estimate(10.0**distance * sum(variance for variance, _ in parts) ** 0.5, parts)
    alone = [2 * float(stats.t.sf(10.0**distance, df)) for df in (few, many)]
    assert min(alone) * 0.999 - 1e-290 <= estimate.p_two_sided() <= max(alone) * 1.001 + 1e-290


def test_a_tail_below_the_smallest_number_is_nought_not_an_error() -> None:
    """A value a hundred errors away has a p value even where one of its sources of noise has no tail left there."""
    estimate = Estimate(108 * math.sqrt(1.25e-5), ((1.05e-5, 3.0), (2.0e-6, 1e6)))
    assert 0 < estimate.p_two_sided() < 1e-4
    assert Estimate(500.0, ((0.5, 1e6), (0.5, 2e6))).p_two_sided() < 1e-200
