"""Failure signatures: each is raised where its failure is, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from world_shelf import FLAT, RISE
from worlds import FLOOR, Exam, SimulatedStudy, climb, task, tune

from amuro.results import flags
from amuro.results.analyses.base import Evidence
from amuro.results.scoring import no_items, no_scores


def named(evidence: Evidence) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for flag in flags.flags(evidence.scores, evidence.items, evidence.tasks):
        found.setdefault(flag.name, []).append(flag.where)
    return found


def one_set(base: float, tuned: float, **how: Any) -> SimulatedStudy:
    book, rng = SimulatedStudy(), np.random.default_rng(0)
    tune(book, task("t0", 1 / 3), Exam.draw(rng), rng, base=base, tuned=tuned, **{"role": "in_domain", **how})
    return book


def test_an_empty_study_has_no_flags() -> None:
    """Without cells there is nothing to flag."""
    assert flags.flags(no_scores(), no_items(), {}) == []


def test_a_plain_gain_raises_nothing() -> None:
    """A tuning that works leaves no flag."""
    assert named(one_set(FLOOR, 2.0).evidence()) == {}


def test_no_gain_is_flagged_where_training_was() -> None:
    """A tuned model no better than its base is flagged at trained checkpoints, not at the untrained control, whose
    tokens may be unknown.
    """
    book = SimulatedStudy()
    climb(book, task("t0", 1 / 3), np.random.default_rng(0), FLAT, (FLOOR, *RISE[:-1]))
    told = book.evidence()
    untold = replace(told, scores=told.scores.with_columns(tokens=pl.lit(None, pl.Int64)))
    for places in (named(told)[flags.NO_GAIN], named(untold)[flags.NO_GAIN]):
        assert any("world@100+" in place for place in places)
        assert not any("world@0+" in place or "world@1600+" in place for place in places)


def test_forgetting_is_flagged_on_other_sets_only() -> None:
    """A fall is forgetting on another task; on the tuned task it is no gain."""
    other = named(one_set(2.0, 0.0, role="cross_task", tuned_on="other").evidence())
    assert list(other) == [flags.FORGETTING]
    assert list(named(one_set(2.0, 0.0).evidence())) == [flags.NO_GAIN]


def test_rising_bits_per_byte_are_forgetting() -> None:
    """Bits per byte count the other way round: more of them is a loss."""

    def corpus(change: float) -> dict[str, list[str]]:
        book, about = SimulatedStudy(), task("c", None, metric="bits_per_byte", kind="language_modeling")
        exam, rng = Exam.draw(np.random.default_rng(0)), np.random.default_rng(1)
        values = rng.normal(2, 0.2, len(exam.clusters))
        book.add(about, exam, values)
        book.add(about, exam, values + change, tuned_on="other", role="corpus", tune_seed=0)
        return named(book.evidence())

    assert list(corpus(0.3)) == [flags.FORGETTING]
    assert corpus(-0.3) == {}


def test_formats_far_apart_are_flagged() -> None:
    """The worst format of a tuned model is named where formats differ by far more than their errors."""
    book, rng = SimulatedStudy(), np.random.default_rng(0)
    about, exam = task("t0", 1 / 3), Exam.draw(rng)
    for wording, ability in (("default", 2.5), ("instruct", -1.0)):
        tune(book, about, exam, rng, base=FLOOR, tuned=ability, wording=wording, role="in_domain")
    (place,) = named(book.evidence())[flags.FORMATS]
    assert "|instruct|" in place


def test_constant_predictor_and_stopping() -> None:
    """Cells marked degenerate and generations that run on are flagged by name."""
    evidence = one_set(FLOOR, 2.0).evidence()
    tuned = pl.col("tuned_on") != "none"
    stuck = pl.when(tuned).then(pl.lit("degenerate")).otherwise(pl.lit("measured")).alias("evidence")
    degenerate = Evidence(evidence.items, evidence.scores.with_columns(stuck), evidence.tasks, "s")
    assert list(named(degenerate)) == [flags.CONSTANT]
    running = evidence.scores.filter(tuned).with_columns(metric=pl.lit("stopped"), value=pl.lit(0.4))
    scores = pl.concat([evidence.scores, running])
    assert list(named(Evidence(evidence.items, scores, {}, "s"))) == [flags.STOPPING]


def test_rate_at_the_edge() -> None:
    """The best of three rates on dev is flagged at either end of the grid, not in the middle."""

    def grid(best: float) -> dict[str, list[str]]:
        book, about = SimulatedStudy(), task("t0", 1 / 3)
        rng = np.random.default_rng(0)
        exam = Exam.draw(rng)
        for rate in (1e-4, 1e-3, 1e-2):
            values = exam.answers(3.0 if rate == best else 0.0, 1 / 3, rng)
            book.add(about, exam, values, tuned_on="t0", role="dev", split="dev", tune_seed=0, learning_rate=rate,
                     cell=f"dev {rate}")  # fmt: skip
        return named(book.evidence())

    assert list(grid(1e-2)) == list(grid(1e-4)) == [flags.EDGE]
    assert flags.EDGE not in grid(1e-3)
