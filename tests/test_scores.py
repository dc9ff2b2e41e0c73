"""From kept predictions to tidy scores: every coordinate, honest errors, degenerate cells by name."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core.errors import DataError
from amuro.results import scoring
from amuro.run.runner import run
from amuro.study.plan import Plan
from amuro.study.result_keys import key_of
from amuro.study.status import states
from amuro.study.store import Store


@pytest.fixture
def tables(toy_plan: Plan, store: Store) -> tuple[pl.DataFrame, pl.DataFrame]:
    run(toy_plan, store, lambda event: None)
    done = {s.cell.address: s.manifest for s in states(toy_plan, store) if s.manifest}
    return scoring.tables(store, done, toy_plan.roles, toy_plan.tasks, toy_plan.checkpoints)


def test_scores_are_the_means_of_their_items(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """A cell's value is the mean of its rows (bits per byte, a ratio of sums, apart)."""
    items, totals = tables
    means = items.group_by("cell", "metric").agg(pl.col("value").mean().alias("mean"), pl.len().alias("rows"))
    means = means.with_columns(pl.col("cell", "metric").cast(pl.String))
    both = totals.join(means, on=["cell", "metric"]).filter(pl.col("metric") != "bits_per_byte")
    assert both.height > 0
    np.testing.assert_allclose(both["value"], both["mean"], atol=1e-12)
    assert (both["rows"] == both["n"]).all()


def test_scores_are_the_same_to_the_last_digit(toy_plan: Plan, store: Store) -> None:
    """Errors are summed in the order of the rows, whatever threads do: twice the same store, twice the same bytes."""
    run(toy_plan, store, lambda event: None)
    done = {s.cell.address: s.manifest for s in states(toy_plan, store) if s.manifest}
    once, again = (scoring.tables(store, done, toy_plan.roles, toy_plan.tasks, toy_plan.checkpoints) for _ in range(2))
    assert once[0].equals(again[0])
    assert once[1].equals(again[1])


def test_every_row_carries_every_coordinate(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """No coordinate is missing or null where a value exists; a base says none rather than nothing."""
    for frame in tables:
        assert set(scoring.COORDINATES) <= set(frame.columns)
        never_null = [c for c in scoring.COORDINATES if c != "learning_rate"]
        assert frame.select(never_null).null_count().sum_horizontal().item() == 0
        assert set(frame.filter(pl.col("recipe") == "none")["tuned_on"]) == {"none"}


def test_calibration_reads_dev_only(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Each label cell has a calibrated score, because the plan brought its dev cell along."""
    _, totals = tables
    labels = totals.filter((pl.col("kind") == "classification") & (pl.col("metric") == "accuracy"))
    calibrated = totals.filter(pl.col("metric") == "calibrated_accuracy")
    assert set(labels["cell"]) == set(calibrated["cell"])


def test_a_constant_predictor_is_degenerate_and_its_histogram_says_so(
    tables: tuple[pl.DataFrame, pl.DataFrame], toy_plan: Plan, store: Store
) -> None:
    """A model that always says one word is marked, whatever its accuracy."""
    cell = next(c for c in toy_plan.cells if c.eval_set.task == "world_inference" and c.eval_set.split == "test")
    manifest = store.cells()[cell.address][0]
    frame = store.frame(manifest, "predictions.parquet")
    assert frame is not None
    one_word = pl.Series([[0.0, -9.0, -9.0]] * frame.height)
    facts = {**manifest, "ids": "others"}
    store.commit("cells", key_of("cells", facts), facts,
                 {"predictions.parquet": frame.with_columns(log_probabilities=one_word)})  # fmt: skip
    constant = store.manifest("cells", key_of("cells", facts))
    assert constant is not None
    _, totals = scoring.tables(store, {cell.address: constant}, toy_plan.roles, toy_plan.tasks, toy_plan.checkpoints)
    row = totals.row(by_predicate=pl.col("metric") == "accuracy", named=True)
    assert row["evidence"] == "degenerate"
    assert json.loads(row["predicted_histogram"]) == {"true": 1.0}


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(0, 1), min_size=2, max_size=30),
    cluster_seed=st.integers(0, 99),
)
def test_clustered_errors_follow_their_formula(values: list[float], cluster_seed: int) -> None:
    """Against the definition written out; with one row a cluster it is the usual standard error."""
    rng = np.random.default_rng(cluster_seed)
    for clusters in (rng.integers(0, 4, len(values)), np.arange(len(values))):
        frame = pl.DataFrame({"cell": "c", "metric": "m", "cluster": clusters.astype(str), "value": values})
        found = scoring.clustered_errors(frame)["se"][0]
        x = np.array(values)
        groups = [x[clusters == g] - x.mean() for g in np.unique(clusters)]
        if len(groups) == 1:
            assert found is None
            continue
        inflated = len(groups) / (len(groups) - 1)
        expected = np.sqrt(inflated * sum(g.sum() ** 2 for g in groups)) / len(x)
        assert found == pytest.approx(expected, abs=1e-9)
    assert found == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)), abs=1e-9)


def test_pairs_refuses_what_is_not_fully_named(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Base beside tuned pairs row by row; leaving out a coordinate that differs is an error, not an average."""
    _, totals = tables
    last = totals.filter((pl.col("step") == 10000) & (pl.col("metric") == "accuracy") & (pl.col("split") == "test"))
    base, tuned = pl.col("recipe") == "none", pl.col("recipe") != "none"
    named = ("tuned_on", "recipe", "method", "tune_format", "tune_seed", "learning_rate")
    found = scoring.pairs(last, *named, left=tuned, right=base)
    assert found.height == last.filter(tuned).height
    with pytest.raises(DataError, match="name every coordinate"):
        scoring.pairs(last, *named, left=base, right=tuned)
