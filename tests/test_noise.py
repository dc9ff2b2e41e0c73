"""Signal against noise, and what a study could have seen: exact cases, coverage, and poor evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from world_shelf_curves import CLOSE_END, RISE, TREND_AT_THE_END, bases, early, tuned_once

from amuro.core.types import Finding
from amuro.results.analyses import load_analysis
from amuro.results.analyses.base import Evidence
from amuro.results.stats.signal import detrended, signal_to_noise

pytestmark = pytest.mark.filterwarnings("error")


def found(analysis: str, evidence: Evidence, ending: str) -> Finding:
    every = load_analysis(analysis).run(evidence, np.random.default_rng(0))
    (one,) = [finding for finding in every if finding.id.endswith(ending)]
    return one


@pytest.mark.parametrize("spread", [0.0, 0.7, 3.0])
def test_signal_to_noise_holds_the_truth(spread: float) -> None:
    """Levels over unequally many runs: 95 % intervals hold the ratio in 93 to 99 %, and nothing is found in nothing."""
    rng, runs = np.random.default_rng(0), np.array([1, 3, 1, 1, 3])
    true = spread * np.array([-1.0, 0.5, 0.0, 1.0, -0.5])
    held, called = [], []
    for _ in range(1500):
        found = signal_to_noise(true + rng.normal(0, 1, 5) / np.sqrt(runs), rng.chisquare(4) / 4, runs, 4.0)
        low, high = found.interval()
        held.append(low <= true.std(ddof=1) <= high)
        called.append(low > 0)
        assert low <= found.value <= high
    assert 0.93 <= np.mean(held) <= 0.99
    assert spread > 0 or np.mean(called) <= 0.03


def test_a_clear_signal_stays_finite() -> None:
    """Differences a thousand times the noise give a finite ratio near the truth."""
    levels = np.array([0.0, 0.3, 0.6, 0.9])
    signal = signal_to_noise(levels, 1e-8, [1, 1, 1, 1], 4.0)
    assert signal.value == pytest.approx(levels.std(ddof=1) / 1e-4, rel=0.15)
    assert np.isfinite(signal.interval()).all()


def test_a_range_grows_where_nothing_differs_and_this_does_not() -> None:
    """Of twelve levels that are alike the range over the noise is above 3, the median signal-to-noise near 0."""
    rng = np.random.default_rng(1)
    levels = rng.normal(0, 1, (400, 12))
    assert np.median(np.ptp(levels, axis=1)) > 3
    assert np.median([signal_to_noise(row, 1.0, [1] * 12, 1000.0).value for row in levels]) < 0.35


def test_a_line_is_no_noise() -> None:
    """What lies on a straight line has no variance around it; one more point than a line needs has one degree."""
    assert detrended([1, 2, 4], [3, 5, 9]) == (pytest.approx(0, abs=1e-20), 1.0)


def test_the_noise_of_bases_needs_close_checkpoints() -> None:
    """On a log-spaced grid the noise of a base is insufficient, and the note says why."""
    evidence = bases(RISE[1:], steps=CLOSE_END[:5])(np.random.default_rng(0), 1)
    finding = found("noise", evidence, "base")
    assert (finding.evidence, finding.verdict) == ("insufficient", "open")
    assert finding.note.startswith("No close checkpoints")


def test_a_rise_among_the_close_ones_is_taken_off() -> None:
    """Bases that still rise at the end are told from noise all the same, with the paper's ratio beside it."""
    finding = found("noise", bases(TREND_AT_THE_END, run_sd=0.1)(np.random.default_rng(0), 1), "base")
    assert (finding.verdict, finding.delta) == ("supported", 1.0)
    assert "plain range over noise" in finding.statement


def test_annealed_ends_are_mixed() -> None:
    """An annealed last checkpoint beside constant ones is no near-replicate of them."""
    evidence = bases(TREND_AT_THE_END)(np.random.default_rng(0), 1)
    states = {**evidence.schedules, f"world@{CLOSE_END[-1]}": "annealed"}
    assert found("noise", replace(evidence, schedules=states), "base").evidence == "mixed"


@pytest.mark.parametrize(("analysis", "ending"), [("noise", "tuned"), ("detectable", "latent_gain")])
def test_one_seed_leaves_runs_unknown(analysis: str, ending: str) -> None:
    """Without replicated checkpoints nothing is said of tuned models over pre-training."""
    finding = found(analysis, early(RISE, seeds=(1,) * 6)(np.random.default_rng(0), 1), ending)
    assert (finding.evidence, finding.verdict) == ("insufficient", "open")


def test_the_detectable_gain_grows_with_the_family() -> None:
    """More tuned tasks, corrected together, leave a larger smallest effect on the same rows."""
    evidence = tuned_once(0.0, 1.0)(np.random.default_rng(0), 3)
    first = found("detectable", evidence, "t0.gain")
    alone = [frame.filter(pl.col("task") == "t0") for frame in (evidence.items, evidence.scores)]
    only = found("detectable", replace(evidence, items=alone[0], scores=alone[1]), "t0.gain")
    assert first.effect is not None
    assert only.effect is not None
    assert first.effect < only.effect
    assert "corrected for 3 tunings" in first.statement


def test_what_no_study_of_this_size_can_see_is_said() -> None:
    """Few examples and far-apart seeds: an effect of δ is surely not detectable, and the note says what would be."""
    finding = found("detectable", tuned_once(0.0, 1.0, run_sd=0.8)(np.random.default_rng(0), 1), ".gain")
    assert finding.verdict == "refuted"
    assert "To be supported with 80 % power" in finding.note
    assert finding.delta == 0.0
