"""Flags: named failure signatures computed from the scores. They are hints for inspection, not findings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
from scipy.stats import false_discovery_control

from amuro.core.coordinates import PROMPT, SETTING, TUNING
from amuro.core.types import Task, exact
from amuro.results.scoring import clustered_errors
from amuro.results.stats.paired import mcnemar, t_test
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.stopped import METRIC as STOPPED_SHARE

NO_GAIN = "no gain from tuning"
FORGETTING = "significant forgetting"
FORMATS = "inconsistent across formats"
CONSTANT = "constant predictor"
STOPPING = "did not learn to stop"
EDGE = "rate at the grid's edge"
DIVERGED = "training diverged"
CUT = "rows cut"
FEWER = "fewer shots than asked"

ERRORS = 2.0
"""Number of standard errors from which a difference is flagged."""
DISCOVERIES = 0.05
"""False discovery rate of the list of significant cells (Benjamini–Hochberg)."""
NOTABLE = 0.05
"""Smallest difference that is flagged (score points, or bits per byte)."""
STOPPED = 0.9
"""Share of answers that end by themselves below which a tuned model is flagged."""
CUT_FROM = 0.01
"""Share of truncated prompts from which a cell is flagged."""
ASKED = (*PROMPT, *SETTING, "metric")
"""Coordinates in which a tuned cell and its base agree, besides checkpoint and evaluation set."""
MODEL = ("series", "checkpoint", *TUNING)
"""Coordinates of a model."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One failure signature of a cell, model or evaluation set."""

    name: str
    where: str
    """Address of the cell, model or set; of several cells, the first."""
    detail: str


def flags(scores: pl.DataFrame, items: pl.DataFrame, tasks: Mapping[str, Task]) -> list[Flag]:
    """Returns all flags of a study, sorted by name and address; each task is judged by its own metric."""
    judged = _primary(scores, tasks)
    against = _against_base(_beside_base(judged, _primary(items, tasks)))
    raised = [*against, *_formats(judged), *_constant(judged), *_stopping(scores), *_edges(judged), *_cut(scores)]
    return sorted(raised, key=lambda flag: (flag.name, flag.where))


def _primary(frame: pl.DataFrame, tasks: Mapping[str, Task]) -> pl.DataFrame:
    """Returns the rows under their task's own metric, with values oriented so that higher is better."""
    named = {name: task.metric for name, task in tasks.items()}
    types = {name: frame.schema[name] for name in ("task", "metric")}
    wanted = pl.DataFrame({"task": list(named), "metric": list(named.values())}, types)
    value = pl.col("value")
    for metric in map(load_metric, sorted(set(named.values()))):
        value = pl.when(pl.col("metric") == metric.name).then(metric.oriented(pl.col("value"))).otherwise(value)
    return frame.join(wanted, on=["task", "metric"], how="semi", maintain_order="left").with_columns(value)


def _shown(row: Mapping[str, Any], name: str) -> str:
    """Returns a score of a row on its metric's own scale, as text."""
    return f"{load_metric(row['metric']).oriented(row[name]):.2f}"


def _beside_base(scores: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Returns tuned rows with the base's score (`before`), `gain` and its clustered error, on the shared examples."""
    keys = ["series", "checkpoint", "task", "split", *ASKED]
    base, tuned = _of_base(scores), _of_tuned(scores)
    item_base, item_tuned = _of_base(items), _of_tuned(items)
    beside = item_tuned.join(item_base.select(*keys, "example_id", before="value"), on=[*keys, "example_id"])
    errors = clustered_errors(beside.with_columns(pl.col("value") - pl.col("before")))
    # The gain is taken on the shared examples, as its error is.
    return (
        tuned.drop("se")
        .join(base.select(*keys, before="value"), on=keys)
        .join(errors, on=["cell", "metric"])
        .join(_moved(beside), on=["cell", "metric"])
        .with_columns(pl.col("change").alias("gain"), pl.col("se").fill_null(0.0))
    )


def _moved(beside: pl.DataFrame) -> pl.DataFrame:
    """Returns per cell: mean change, examples lost and won, whether all scores are 0/1, whether clusters are single."""
    value, before = pl.col("value"), pl.col("before")
    moved = beside.group_by("cell", "metric").agg(
        (value - before).mean().alias("change"),
        (value < before).sum().alias("lost"),
        (value > before).sum().alias("won"),
        (value.is_in([0.0, 1.0]) & before.is_in([0.0, 1.0])).all().alias("binary"),
        (pl.col("cluster").n_unique() == pl.len()).alias("single"),
    )
    return moved.with_columns(pl.col("cell", "metric").cast(pl.String))


def _of_base(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("tuned_on") == "none")


def _of_tuned(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("tuned_on") != "none")


def _against_base(beside: pl.DataFrame) -> Iterator[Flag]:
    """Yields flags for missing gains in domain and for significant losses on other sets."""
    for row in beside.iter_rows(named=True):
        at_home = row["role"] == "in_domain" and row["format"] == row["tune_format"] and row["shots"] == 0
        if at_home and row["step"] != 0 and row["gain"] <= max(ERRORS * row["se"], NOTABLE):
            yield Flag(NO_GAIN, row["cell"], _change(row))
    away = beside.filter(pl.col("role").is_in(["cross_task", "facts", "corpus"]))
    for row in away.filter(_discovered(away) & (pl.col("gain") < -NOTABLE)).iter_rows(named=True):
        yield Flag(FORGETTING, row["cell"], _change(row))


def _change(row: Mapping[str, Any]) -> str:
    return (
        f"{row['metric']} on {row['task']}/{row['split']}: {_shown(row, 'before')} before, {_shown(row, 'value')} after"
    )


def _discovered(rows: pl.DataFrame) -> pl.Series:
    """Returns which cells differ from their base, by McNemar's exact test for unclustered 0/1 scores, else a t test."""
    exact = (rows["single"] & rows["binary"]).to_numpy()
    p = t_test(rows["gain"].to_numpy(), rows["se"].to_numpy(), rows["clusters"].to_numpy())
    p[exact] = mcnemar(rows["lost"].to_numpy()[exact], rows["won"].to_numpy()[exact])
    return pl.Series("discovered", false_discovery_control(p) <= DISCOVERIES)


def _formats(scores: pl.DataFrame) -> Iterator[Flag]:
    """Yields tuned models whose best and worst formats on a set differ by more than error and `2 * NOTABLE`."""
    rows = _of_tuned(scores).filter((pl.col("role") == "in_domain") & (pl.col("shots") == 0))
    for _, group in rows.group_by(*MODEL, "task", "split", "metric", maintain_order=True):
        best, worst = (group.sort("value", descending=down).row(0, named=True) for down in (True, False))
        error = math.hypot(best["se"] or 0.0, worst["se"] or 0.0)
        if best["value"] - worst["value"] > max(ERRORS * error, 2 * NOTABLE):
            named = [f"{_shown(row, 'value')} in {row['format']}" for row in (best, worst)]
            yield Flag(FORMATS, worst["cell"], ", ".join(named))


def _constant(scores: pl.DataFrame) -> Iterator[Flag]:
    """Yields cells with nearly one answer to all questions."""
    stuck = scores.filter(pl.col("evidence") == "degenerate")
    for row in stuck.iter_rows(named=True):
        yield Flag(CONSTANT, row["cell"], f"one answer to {row['top_share']:.0%} of {row['n']} questions")


def _stopping(scores: pl.DataFrame) -> Iterator[Flag]:
    """Yields in-domain cells of which too few answers end by themselves."""
    unstopped = (pl.col("metric") == STOPPED_SHARE.name) & (pl.col("role") == "in_domain") & (pl.col("value") < STOPPED)
    for row in scores.filter(unstopped).iter_rows(named=True):
        yield Flag(STOPPING, row["cell"], f"{row['value']:.0%} of answers ended by themselves")


def _edges(scores: pl.DataFrame) -> Iterator[Flag]:
    """Yields tuned models whose best learning rate on dev is the smallest or the largest that was tried."""
    tried = _of_tuned(scores).filter((pl.col("split") == "dev") & pl.col("learning_rate").is_not_null())
    for _, group in tried.group_by(*MODEL, "task", *ASKED, maintain_order=True):
        rates = sorted(set(group["learning_rate"]))
        best = group.sort("value").row(-1, named=True)
        if len(rates) > 2 and best["learning_rate"] in (rates[0], rates[-1]):
            named = ", ".join(map(exact, rates))
            yield Flag(EDGE, best["cell"], f"best of {named}: {exact(best['learning_rate'])}")


def _cut(scores: pl.DataFrame) -> Iterator[Flag]:
    """Yields cells whose prompts did not fit the context and lost their beginning or some shots."""
    for row in scores.unique("cell", maintain_order=True).iter_rows(named=True):
        if (row["truncated"] or 0) >= CUT_FROM:
            yield Flag(CUT, row["cell"], f"{row['truncated']:.0%} of {row['n']} prompts lost their beginning")
        if row["shots_shown"] is not None and row["shots_shown"] < row["shots"]:
            yield Flag(FEWER, row["cell"], f"{row['shots_shown']:.1f} of {row['shots']} shots fit into a prompt")
