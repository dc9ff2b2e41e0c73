"""What *overtraining* says of odd series: too short, of several schedules, untold tokens, one example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from world_shelf_curves import ANNEALED_END, LATE_DROP, LONG, PEAK, PLATEAU, RISING_BASE, course, saturating

from amuro.core.types import Finding
from amuro.results.analyses import load_analysis
from amuro.results.analyses.base import Evidence
from amuro.results.analyze import results
from amuro.run.runner import run
from amuro.study.plan import Plan
from amuro.study.store import Store

pytestmark = pytest.mark.filterwarnings("error")


def found(evidence: Evidence) -> list[Finding]:
    return list(load_analysis("overtraining").run(evidence, np.random.default_rng(0)))


def world(tuned: tuple[float, ...] = PEAK, **how: object) -> Evidence:
    return course(tuned, RISING_BASE, **how)(np.random.default_rng(3), 1)  # type: ignore[arg-type]


def test_a_fall_is_said_with_what_the_base_does() -> None:
    """A fall after a peak is supported, in one pre-training run, and the sentence says that the base does not fall."""
    (finding,) = found(world())
    assert (finding.verdict, finding.evidence, finding.unit, finding.n) == ("supported", "measured", "checkpoints", 5)
    assert "In this pre-training run, at a constant learning rate" in finding.statement
    assert "the base does not fall by the smallest effect of interest" in finding.statement


def test_too_few_checkpoints_are_said_once_a_series() -> None:
    """Nine trained checkpoints are not ten: one insufficient sentence for all sets of the series."""
    evidence = course(PEAK, RISING_BASE)(np.random.default_rng(3), 3)
    shorter = [frame.filter(pl.col("step") != LONG[1]) for frame in (evidence.items, evidence.scores)]
    (finding,) = found(replace(evidence, items=shorter[0], scores=shorter[1]))
    assert (finding.evidence, finding.verdict, finding.n) == ("insufficient", "open", 9)
    assert "on 3 evaluation sets" in finding.statement


def test_an_annealed_checkpoint_makes_a_curve_mixed() -> None:
    """Constant-rate and annealed checkpoints make no one curve, and the note names both."""
    (finding,) = found(world(LATE_DROP, schedules=ANNEALED_END))
    assert (finding.evidence, finding.verdict) == ("mixed", "open")
    assert "annealed, constant" in finding.note


def test_unknown_is_not_constant() -> None:
    """A schedule that nobody stated is called unknown; beside known ones it makes the curve mixed."""
    (alone,) = found(world(schedules={}))
    assert (alone.evidence, alone.verdict) == ("measured", "supported")
    assert "with an unknown state of its learning rate" in alone.statement
    (beside,) = found(world(schedules={f"world@{step}": "constant" for step in LONG[:-1]}))
    assert beside.evidence == "mixed"


def test_without_seeds_there_is_no_trend() -> None:
    """One tuning seed everywhere leaves the noise of runs unknown: insufficient."""
    (finding,) = found(world(seeds=(1,) * len(LONG)))
    assert (finding.evidence, finding.verdict) == ("insufficient", "open")


def test_tokens_that_only_some_checkpoints_have_are_no_axis() -> None:
    """Tokens beside steps would bend any curve: where one count is unknown, all checkpoints are placed by steps."""
    evidence = world(saturating(0.9, 0.5, 0.7, 0.2), seeds=(1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3))
    some = pl.when(pl.col("step") == LONG[-1]).then(None).otherwise(pl.col("tokens")).alias("tokens")
    (partly,) = found(replace(evidence, scores=evidence.scores.with_columns(some)))
    none = pl.lit(None, dtype=pl.Int64).alias("tokens")
    (untold,) = found(replace(evidence, scores=evidence.scores.with_columns(none)))
    (told,) = found(evidence)
    assert " steps (95 % interval" in untold.statement
    assert partly == untold
    assert " tokens (95 % interval" in told.statement


def test_no_plateau_is_told_of_what_still_rises() -> None:
    """A straight rise has no plateau: the note says why, and no number is given."""
    (finding,) = found(world(tuple(np.linspace(-2.5, 2.0, len(LONG)))))
    assert "All but" not in finding.statement
    assert "No saturation point is given: the rise does not surely slow down on the log axis." in finding.note


def test_one_example_is_no_evidence() -> None:
    """A single example gives no number that could be infinite, and no verdict."""
    evidence = world(PLATEAU)
    items = evidence.items.filter(pl.col("example_id") == "e0")
    (finding,) = found(replace(evidence, items=items))
    assert (finding.evidence, finding.verdict) == ("insufficient", "open")


def test_the_schedule_of_a_series_reaches_its_evidence(toy_plan: Plan, store: Store) -> None:
    """What a series says of its learning rate stands beside the scores, by the address of each checkpoint."""
    run(toy_plan, store, lambda event: None)
    schedules = results(toy_plan, store).evidence.schedules
    assert schedules == {c.address: c.schedule for c in toy_plan.checkpoints}
    assert set(schedules.values()) == {"initial", "constant"}


def test_no_base_no_finding() -> None:
    """Tuned models without their bases cannot be compared: not run."""
    evidence = world()
    tuned = [frame.filter(pl.col("tuned_on") != "none") for frame in (evidence.items, evidence.scores)]
    (finding,) = found(replace(evidence, items=tuned[0], scores=tuned[1]))
    assert finding.evidence == "not run"
