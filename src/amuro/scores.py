"""Predictions → tidy scores. No score is stored as truth: all of it is computed anew from kept predictions.

`items` has one row a prediction and metric, `scores` one row a cell and metric; both carry every coordinate
(columns: docs/tour.md). Analyses, report and exports read these two frames and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from amuro import catalog
from amuro.errors import DataError
from amuro.metric import Context, Metric, chosen, label_prior
from amuro.store import Manifest, Store
from amuro.types import Task

CONSTANT = 0.99
"""Share of one answer from which a model counts as a constant predictor."""

COORDINATES = (
    "series", "checkpoint", "step", "tokens", "tuned_on", "recipe", "method", "tune_format", "tune_seed",
    "learning_rate", "task", "split", "role", "family", "kind", "format", "shots", "shot_seed", "decoding", "protocol",
    "precision", "device", "limit", "cell",
)  # fmt: skip
_TYPES = {"step": pl.Int64, "tokens": pl.Int64, "tune_seed": pl.Int64, "learning_rate": pl.Float64, "shots": pl.Int64,
          "shot_seed": pl.Int64, "limit": pl.Int64}  # fmt: skip


def tables(
    store: Store, cells: Mapping[str, Manifest], roles: Mapping[str, str], tasks: Mapping[str, Task]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(items, scores) of the given cells. A cell whose file no longer verifies is left out, and counts as not run."""
    frames = {address: store.frame(manifest, "predictions.parquet") for address, manifest in cells.items()}
    sound = {address: frame for address, frame in frames.items() if frame is not None}
    priors = _priors({a: (cells[a]["coordinates"], frame) for a, frame in sound.items()}, tasks)
    items, totals, heads = [], [], []
    for address, frame in sound.items():
        found = cells[address]["coordinates"]
        task = tasks[found["task"]]
        context = Context(task, priors.get(_asked_like(found), ()))
        facts = {**found, "role": roles[address], "family": task.family, "kind": task.kind, "cell": address}
        heads.append({name: facts[name] for name in COORDINATES})
        for judged, total in _judged(address, frame, context):
            items += [judged] if judged is not None else []
            totals.append(total)
    if not items:
        raise DataError("no finished cell to score", cure="fill some with `amuro run`")
    judged_rows = pl.concat(items)
    return _with_coordinates(judged_rows, heads), _with_coordinates(_scores(totals, judged_rows), heads)


def _with_coordinates(frame: pl.DataFrame, heads: list[dict[str, Any]]) -> pl.DataFrame:
    """Every coordinate of each row's cell, joined once for all rows."""
    types = {name: _TYPES.get(name, pl.String) for name in COORDINATES}
    return frame.join(pl.DataFrame(heads, schema=types), on="cell", how="left", maintain_order="left")


def no_items() -> pl.DataFrame:
    """The items of a study of which nothing has run."""
    columns = (*COORDINATES, "example_id", "cluster", "gold", "prompt_hash", "predicted", "metric")
    return pl.DataFrame(schema={**{c: _TYPES.get(c, pl.String) for c in columns}, "k_effective": pl.Int64,
                                "value": pl.Float64})  # fmt: skip


def no_scores() -> pl.DataFrame:
    """The scores of a study of which nothing has run."""
    numbers = dict.fromkeys(("value", "se", "chance", "majority", "top_share"), pl.Float64)
    texts = {c: _TYPES.get(c, pl.String) for c in (*COORDINATES, "metric", "evidence", "predicted_histogram")}
    return pl.DataFrame(schema={**texts, **numbers, "n": pl.Int64, "clusters": pl.Int64})


def cell_value(task: Task, predictions: pl.DataFrame) -> float:
    """A cell's value on its task's primary metric."""
    metric: Metric = catalog.metric(task.metric)
    return metric.score(predictions, Context(task))


def metrics_of(task: Task, context: Context, predictions: pl.DataFrame) -> list[Metric]:
    """Every metric of the shelf that can judge these predictions; the calibrated one only where there is a prior."""
    found: list[Metric] = [catalog.metric(name) for name in catalog.names("metrics")]
    calibrated = bool(context.prior)
    able = [m for m in found if task.kind in m.kinds and (calibrated or m.name != "calibrated_accuracy")]
    return [m for m in able if not m.needs or _filled(predictions, m.needs)]


def _filled(predictions: pl.DataFrame, column: str) -> bool:
    return column in predictions.columns and bool((predictions[column].list.len() > 0).all())


def pairs(frame: pl.DataFrame, *differing: str, left: pl.Expr, right: pl.Expr) -> pl.DataFrame:
    """Rows of `frame` that satisfy `left` beside those that satisfy `right`, equal in every coordinate not named.

    The right row's columns end in `_right`. Raises `DataError` where a left row has more than one partner: then
    what differs was not fully named.
    """
    outcome = {"value", "se", "n", "clusters", "predicted", "cell", "role", "chance", "majority", "evidence",
               "predicted_histogram", "top_share"}  # fmt: skip
    keys = [c for c in frame.columns if c not in {*differing, *outcome}]
    joined = frame.filter(left).join(frame.filter(right), on=keys, how="inner", nulls_equal=True, suffix="_right")
    if joined.height > frame.filter(left).height:
        raise DataError(
            f"rows differ in more than {', '.join(differing)}", cure="name every coordinate in which the pairs differ"
        )
    return joined


def _asked_like(found: Mapping[str, Any]) -> tuple[Any, ...]:
    return found["model"], found["task"], found["format"], found["shots"], found["shot_seed"]


def _priors(
    frames: Mapping[str, tuple[Mapping[str, Any], pl.DataFrame]], tasks: Mapping[str, Task]
) -> dict[tuple[Any, ...], tuple[float, ...]]:
    return {
        _asked_like(found): label_prior(frame)
        for found, frame in frames.values()
        if found["split"] == "dev" and tasks[found["task"]].kind == "label"
    }


def _judged(cell: str, frame: pl.DataFrame, context: Context) -> Iterator[tuple[pl.DataFrame | None, dict[str, Any]]]:
    """(rows, total) of one cell for each metric that fits its task; rows are None where only the whole has a value."""
    labelled = context.task.kind == "label"
    golds = _shares(frame["gold"]) if labelled else {}
    same = {"n": frame.height, "clusters": frame["cluster"].n_unique(), "majority": max(golds.values(), default=None)}
    plain = _predicted(frame, context)
    plain_shares = _shares(plain) if labelled else {}
    for metric in metrics_of(context.task, context, frame):
        said = metric.predicts(frame, context) if metric.predicts else plain
        shares = _shares(said) if labelled and metric.predicts else plain_shares
        rows = metric.rows(frame, context).cast(pl.Float64) if metric.rows else None
        guessed = metric.name == context.task.metric or "accuracy" in metric.name
        top = max(shares.values(), default=None)
        constant = labelled and (len(golds) == 1 or (top or 0) >= CONSTANT)
        total = {
            "cell": cell,
            "metric": metric.name,
            "value": _value(metric, frame, context, rows),
            **same,
            "chance": context.task.chance if guessed else None,
            "evidence": "degenerate" if constant else "measured",
            "predicted_histogram": json.dumps(shares),
            "top_share": top,
        }
        yield (None if rows is None else _item_rows(cell, frame, said, metric.name, rows)), total


def _value(metric: Metric, frame: pl.DataFrame, context: Context, rows: pl.Series | None) -> float:
    """`Metric.score`, with the values of the rows that are at hand already."""
    if rows is None or metric.aggregate:
        return metric.score(frame, context)
    return float(np.mean(rows.to_numpy()))


def _predicted(frame: pl.DataFrame, context: Context) -> pl.Series:
    if context.task.kind == "generate":
        return frame["output"]
    if context.task.kind == "document":
        return pl.repeat("", frame.height, dtype=pl.String, eager=True)
    return chosen(frame)


def _item_rows(cell: str, frame: pl.DataFrame, said: pl.Series, metric: str, values: pl.Series) -> pl.DataFrame:
    kept = [frame[name] for name in ("example_id", "cluster", "gold", "k_effective", "prompt_hash")]
    named = [pl.Series(n, [text]).new_from_index(0, frame.height) for n, text in (("cell", cell), ("metric", metric))]
    return pl.DataFrame([*kept, said.alias("predicted"), values.alias("value"), *named])


def _shares(texts: pl.Series) -> dict[str, float]:
    """Text → its share of the rows, the most frequent first."""
    counted = texts.alias("text").value_counts(sort=True, normalize=True, name="share")
    return dict(zip(counted["text"].to_list(), counted["share"].to_list(), strict=True))


def _scores(totals: list[dict[str, Any]], items: pl.DataFrame) -> pl.DataFrame:
    types = dict.fromkeys(("value", "chance", "majority", "top_share"), pl.Float64)
    frame = pl.DataFrame(totals, schema_overrides=types, infer_schema_length=None)
    return frame.join(clustered_errors(items), on=["cell", "metric"], how="left")


def clustered_errors(items: pl.DataFrame) -> pl.DataFrame:
    """Standard error of each cell's mean with whole clusters as the unit (Miller 2024, arXiv:2411.00640, eq. 4):
    √(G/(G−1) · Σ_g (Σ_{i∈g} (x_i − x̄))²) / n for G clusters and n rows; null with one cluster.
    """
    centred = items.with_columns((pl.col("value") - pl.col("value").mean().over("cell", "metric")).alias("off"))
    sums = centred.group_by("cell", "metric", "cluster").agg(pl.col("off").sum(), pl.len().alias("rows"))
    g = pl.len().cast(pl.Float64)
    spread = (pl.when(g > 1).then(g / (g - 1)) * pl.col("off").pow(2).sum()).sqrt()
    return sums.group_by("cell", "metric").agg((spread / pl.col("rows").sum()).alias("se"))
