"""Saturating curves: exact on exact data, honest in their intervals, refused by name where they would be nonsense."""

from __future__ import annotations

import numpy as np
import pytest
from world_shelf_curves import LONG, course, saturating

from amuro.results.saturation import saturation
from amuro.results.stats.curves import FEWEST, REFUSALS, Curve, Fitted, curvature_weights, fit, shape
from amuro.results.stats.estimate import Estimate
from amuro.results.trajectory_groups import trajectories

TOKENS = np.geomspace(1e5, 1e9, 12)
TRUE = Curve(0.8, 0.4, 0.45, 1e5)
DELTA, SE = 0.05, 0.015
pytestmark = pytest.mark.filterwarnings("error")


def reached(curve: Curve, tokens: np.ndarray, delta: float) -> float:
    """Where `curve` lacks delta of its last value: by search, apart from the formula."""
    fine = np.geomspace(tokens[0], tokens[-1], 200_001)
    return float(fine[np.argmax(curve.at(fine) >= curve.at(tokens[-1:])[0] - delta)])


def fitted(scores: np.ndarray, se: float = SE, seed: int = 0, tokens: np.ndarray = TOKENS) -> Fitted | str:
    draws = np.random.default_rng(seed).normal(0, se, (300, len(tokens)))
    return fit(tokens, scores, np.full(len(tokens), se), draws, DELTA)


def test_an_exact_curve_is_found() -> None:
    """Scores that lie on a curve give that curve, to the step of the grid of rates."""
    found = fitted(TRUE.at(TOKENS))
    assert isinstance(found, Fitted)
    assert found.curve.rate == pytest.approx(0.45, rel=0.02)
    assert found.curve.top == pytest.approx(0.8, abs=0.002)
    assert found.reached == pytest.approx(reached(TRUE, TOKENS, DELTA), rel=0.05)
    assert found.rate[0] < 0.45 < found.rate[1]
    assert found.top[0] < 0.8 < found.top[1]


@pytest.mark.parametrize(("rate", "se"), [(0.45, 0.015), (0.25, 0.008), (0.8, 0.03)])
def test_intervals_hold_the_truth(rate: float, se: float) -> None:
    """Of 150 noisy courses, 95 % intervals of rate, top and place of the plateau hold the truth in 91 to 99 %."""
    true, held = Curve(0.8, 0.4, rate, 1e5), []
    place = reached(true, TOKENS, DELTA)
    for seed in range(150):
        rng = np.random.default_rng([7, seed])
        found = fitted(true.at(TOKENS) + rng.normal(0, se, 12), se, seed)
        if isinstance(found, Fitted):
            bounds = ((found.rate, rate), (found.top, 0.8), (found.reached_interval, place))
            held.append([low <= value <= high for (low, high), value in bounds])
    assert len(held) > 130
    assert all(0.91 <= share <= 0.99 for share in np.mean(held, axis=0)), np.mean(held, axis=0)


def test_the_plateau_of_a_tuned_task_is_where_it_is() -> None:
    """Where clustered examples and scattered runs saturate in expectation, the interval holds the place."""
    make = course(saturating(0.9, 0.5, 0.7, 0.2))
    true = Curve(0.9, 0.5, 0.7, LONG[1] * 1024.0)
    place = reached(true, np.array(LONG[1:]) * 1024.0, DELTA)
    held = []
    for seed in range(120):
        rng = np.random.default_rng([11, seed])
        said = saturation(trajectories(make(rng, 1), ["in_domain"])[0], DELTA, rng)
        if said.fitted:
            low, high = said.fitted.reached_interval
            held.append(low <= place <= high)
            assert said.sentence.startswith("All but 0.05 of the final tuned score is reached at ")
    assert len(held) >= 90
    assert 0.89 <= np.mean(held) <= 1.0, np.mean(held)


@pytest.mark.parametrize(
    ("checkpoints", "change", "bend", "name"),
    [(FEWEST - 1, 0.3, -0.2, "few"), (12, 0.0, 0.0, "flat"), (12, -0.3, -0.2, "falling"), (12, 0.3, 0.0, "linear"),
     (12, 0.3, 0.2, "linear"), (12, 0.3, -0.2, None)],
)  # fmt: skip
def test_shapes_that_do_not_saturate_are_refused_by_name(
    checkpoints: int, change: float, bend: float, name: str | None
) -> None:
    """Too few, flat, falling, straight: each has its name, and a sentence that says so."""
    said = shape(checkpoints, Estimate.of(change, 0.05, 50), Estimate.of(bend, 0.05, 50))
    assert said == name
    assert name is None or name in REFUSALS


def test_a_rise_at_once_and_a_course_of_another_shape_are_refused() -> None:
    """All of the rise before the second checkpoint has no rate; a dip in the midst is no saturating curve."""
    at_once = np.array([0.3] + [0.8] * 11)
    dip = TRUE.at(TOKENS) - 0.3 * (np.arange(12) == 6)
    assert fitted(at_once) == "sudden"
    assert fitted(dip) == "unlike"


def test_a_flat_course_gives_no_numbers() -> None:
    """Equal scores do not divide by zero: they are refused."""
    assert fitted(np.full(12, 0.5)) in REFUSALS


def test_curvature_is_nought_on_a_straight_line() -> None:
    """The weights of curvature see neither height nor slope, and a parabola with its coefficient."""
    x = np.log(TOKENS)
    scaled = (x - x.mean()) / np.ptp(x)
    weights = curvature_weights(TOKENS)
    assert weights @ (3 + 2 * x) == pytest.approx(0, abs=1e-9)
    assert weights @ (1 + 5 * scaled**2) == pytest.approx(5)
