"""Scoring: predictions → two tidy frames. Scores are never stored; they are computed from the kept predictions.

`items` has one row per prediction and metric, `scores` one row per cell and metric; both carry every coordinate
(columns: docs/tour.md). Analyses, report and exports read these two frames and nothing else.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from amuro.core import coordinates, registry
from amuro.core.errors import DataError
from amuro.core.types import Checkpoint, Task
from amuro.study.store import Manifest, Store
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Context, Metric, chosen, guess_rates, label_prior

CONSTANT = 0.99
"""Share of the most frequent answer from which a model counts as a constant predictor."""

COORDINATES = (*coordinates.MODEL, *coordinates.EVALUATION, *coordinates.FACTS, *coordinates.PROMPT,
               *coordinates.SETTING, "cell")  # fmt: skip
_READ = ("truncated", "shots_shown")
"""Per cell: share of prompts truncated to the context, and mean number of shots in a prompt."""
TOUCHES_NUMBERS = ("torch", "transformers", "tokenizers", "machine")
"""Versions in the column `provenance` of the scores: compared cells that differ in them are *mixed*."""
_TYPES = {"step": pl.Int64, "tokens": pl.Int64, "tune_seed": pl.Int64, "learning_rate": pl.Float64, "shots": pl.Int64,
          "shot_seed": pl.Int64, "limit": pl.Int64}  # fmt: skip
_ITEM_TYPES = {
    name: _TYPES.get(name, pl.Categorical())
    for name in (*COORDINATES, "metric", "example_id", "cluster", "gold", "prompt_hash")
}
"""Column types of `items`; texts are categorical, since they repeat over millions of rows."""


def tables(
    store: Store,
    cells: Mapping[str, Manifest],
    roles: Mapping[str, str],
    tasks: Mapping[str, Task],
    checkpoints: Iterable[Checkpoint],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns (items, scores) of the given cells (address → manifest); raises `DataError` where none has predictions.

    A cell whose file no longer verifies is left out, as if not run. Tokens are those of `checkpoints` as planned now,
    whenever a cell was run. All cells of a task are scored at once, since a study has thousands of small ones.
    """
    piles, priors, heads, made_with = defaultdict(list), {}, [], {}
    tokens = {checkpoint.address: checkpoint.tokens for checkpoint in checkpoints}
    for address, manifest in cells.items():
        frame = store.frame(manifest, "predictions.parquet")
        if frame is None:
            continue
        coordinates_of = manifest["coordinates"]
        task = tasks[coordinates_of["task"]]
        piles[task.name].append(frame.with_columns(pl.lit(address).alias("cell")))
        if coordinates_of["split"] == "dev" and task.kind == "classification":
            priors[_prompt_key(coordinates_of)] = label_prior(frame)
        facts = {**coordinates_of, "tokens": tokens[coordinates_of["checkpoint"]], "role": roles[address],
                 "family": task.family, "kind": task.kind, "cell": address}  # fmt: skip
        heads.append({name: facts[name] for name in COORDINATES})
        made_with[address] = _made_with(manifest)
    if not heads:
        raise DataError("no finished cell to score", cure="fill some with `amuro run`")
    by_cell = {h["cell"]: prior for h in heads if (prior := priors.get(_prompt_key(cells[h["cell"]]["coordinates"])))}
    items, totals = [], []
    for name in list(piles):
        pile = pl.concat(piles.pop(name), how="diagonal_relaxed")
        for judged, total in _judged(tasks[name], pile, by_cell):
            items += [judged] if judged is not None else []
            totals.append(total)
    judged_rows = pl.concat(items)
    scored = pl.concat(totals).join(
        clustered_errors(judged_rows), on=["cell", "metric"], how="left", maintain_order="left"
    )
    order = pl.DataFrame({"cell": list(made_with), "provenance": list(made_with.values())}).with_row_index("place")
    scored = scored.join(order, on="cell", maintain_order="left").sort("place", maintain_order=True).drop("place")
    return _with_coordinates(judged_rows, heads, _ITEM_TYPES), _with_coordinates(scored, heads, _TYPES)


def _made_with(manifest: Manifest) -> str:
    """Returns the versions that can change a number: `torch 2.13.0, transformers 5.24.0, …`."""
    known = manifest["provenance"]
    return ", ".join(f"{name} {known[name]}" for name in TOUCHES_NUMBERS if name in known)


def _with_coordinates(frame: pl.DataFrame, heads: list[dict[str, Any]], types: Mapping[str, Any]) -> pl.DataFrame:
    """Returns the frame with all coordinates of each row's cell."""
    rows = pl.DataFrame(heads, schema={name: _TYPES.get(name, pl.String) for name in COORDINATES})
    coordinates = rows.with_columns(pl.col(name).cast(kind) for name, kind in types.items() if name in COORDINATES)
    return frame.join(coordinates, on="cell", how="left", maintain_order="left")


def no_items() -> pl.DataFrame:
    """Returns the empty `items` frame of a study without results."""
    return pl.DataFrame(schema={**_ITEM_TYPES, "predicted": pl.String, "k_effective": pl.Int64, "value": pl.Float64})


def no_scores() -> pl.DataFrame:
    """Returns the empty `scores` frame of a study without results."""
    numbers = dict.fromkeys(("value", "se", "chance", "majority", "top_share", *_READ), pl.Float64)
    words = ("metric", "evidence", "predicted_histogram", "provenance")
    texts = {c: _TYPES.get(c, pl.String) for c in (*COORDINATES, *words)}
    return pl.DataFrame(schema={**texts, **numbers, "n": pl.Int64, "clusters": pl.Int64})


def cell_value(task: Task, predictions: pl.DataFrame) -> float:
    """Returns a dev cell's score under its task's own metric, on the metric's scale."""
    metric = load_metric(task.metric)
    return metric.score(predictions, Context(task, label_prior(predictions) if metric.needs_prior else ()))


def metrics_of(task: Task) -> list[Metric]:
    """Returns the task's own metric and every listed metric that fits its kind."""
    metrics = [load_metric(name) for name in dict.fromkeys((*registry.names("metrics"), task.metric))]
    return [metric for metric in metrics if task.kind in metric.kinds]


def pairs(frame: pl.DataFrame, *differing: str, left: pl.Expr, right: pl.Expr) -> pl.DataFrame:
    """Joins the rows that satisfy `left` with those that satisfy `right`, on all coordinates but `differing`.

    Columns of the right row end in `_right`. Raises `DataError` where a left row has several partners, i.e. where
    `differing` does not name every coordinate in which they differ.
    """
    outcome = {"value", "se", "n", "clusters", "predicted", "cell", "role", "chance", "majority", "evidence",
               "predicted_histogram", "top_share", "provenance", *_READ}  # fmt: skip
    keys = [c for c in frame.columns if c not in {*differing, *outcome}]
    joined = frame.filter(left).join(frame.filter(right), on=keys, how="inner", nulls_equal=True, suffix="_right")
    if joined.height > frame.filter(left).height:
        raise DataError(
            f"rows differ in more than {', '.join(differing)}", cure="name every coordinate in which the pairs differ"
        )
    return joined


def _prompt_key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns the coordinates that a dev cell shares with the cells to which its label prior applies."""
    return cell["model"], cell["task"], cell["format"], cell["shots"], cell["shot_seed"]


Judged = tuple[pl.DataFrame | None, pl.DataFrame]
"""(item rows, cell totals) of one metric; rows are None for a metric without per-example values."""


def _judged(task: Task, pile: pl.DataFrame, priors: Mapping[str, tuple[float, ...]]) -> Iterator[Judged]:
    """Yields the item rows and cell totals of all cells of one task, metric by metric."""
    for metric in metrics_of(task):
        groups = _by_prior(pile, priors) if metric.needs_prior else [(_filled(pile, metric.needs), ())]
        if groups and groups[0][0].height:
            yield _under(metric, task, groups)


def _by_prior(
    pile: pl.DataFrame, priors: Mapping[str, tuple[float, ...]]
) -> list[tuple[pl.DataFrame, tuple[float, ...]]]:
    """Returns (rows, prior) of the cells that have a label prior, grouped by equal priors."""
    distinct = {prior: place for place, prior in enumerate(dict.fromkeys(priors.values()))}
    places = pl.DataFrame(
        {"cell": list(priors), "prior": [distinct[prior] for prior in priors.values()]},
        schema={"cell": pl.String, "prior": pl.Int64},
    )
    joined = pile.join(places, on="cell", maintain_order="left")
    apart = joined.partition_by("prior", maintain_order=True, as_dict=True)
    known = list(distinct)
    return [(rows, known[int(place)]) for (place,), rows in apart.items()]


def _filled(pile: pl.DataFrame, column: str) -> pl.DataFrame:
    """Returns the rows of cells in which every row has a filled list `column`; all rows where `column` is empty."""
    if not column:
        return pile
    if column not in pile.columns:
        return pile.clear()
    return pile.filter((pl.col(column).list.len().fill_null(0) > 0).all().over("cell"))


def _under(metric: Metric, task: Task, groups: Sequence[tuple[pl.DataFrame, tuple[float, ...]]]) -> Judged:
    """Scores (rows, prior) groups under one metric."""
    pile, contexts = pl.concat([rows for rows, _ in groups]), [Context(task, prior) for _, prior in groups]
    scored = [(rows, context) for (rows, _), context in zip(groups, contexts, strict=True)]
    answers = pl.concat([metric.predicted(*pair) for pair in scored]) if metric.predicts else _predicted(pile, task)
    values = pl.concat([metric.values(*pair) for pair in scored]) if metric.rows else None
    rows = None if values is None else _item_rows(pile, answers, metric.name, values)
    labelled = task.kind == "classification"
    totals = _sizes(pile).join(_totals(metric, Context(task), pile, values), on="cell", maintain_order="left")
    totals = totals.join(_chances(metric, task, pile), on="cell", maintain_order="left")
    if labelled:
        totals = totals.join(_histograms(pile, answers), on="cell", maintain_order="left")
    return rows, totals.select(
        "cell",
        pl.lit(metric.name).alias("metric"),
        *("value", "n", "clusters"),
        (pl.col("majority") if labelled else pl.lit(None, pl.Float64)).alias("majority"),
        "chance",
        (pl.col("evidence") if labelled else pl.lit("measured")).alias("evidence"),
        (pl.col("histogram") if labelled else pl.lit("{}")).alias("predicted_histogram"),
        (pl.col("top_share") if labelled else pl.lit(None, pl.Float64)).alias("top_share"),
        *_READ,
    )


def _histograms(pile: pl.DataFrame, answers: pl.Series) -> pl.DataFrame:
    """Returns per cell of a classification task: histogram, top_share, majority (of the golds), evidence."""
    golds = _shares(pile, pile["gold"]).select("cell", "distinct", majority="top_share")
    constant = (pl.col("distinct") == 1) | (pl.col("top_share") >= CONSTANT)
    return (
        _shares(pile, answers)
        .drop("distinct")
        .join(golds, on="cell", maintain_order="left")
        .with_columns(evidence=pl.when(constant).then(pl.lit("degenerate")).otherwise(pl.lit("measured")))
    )


def _chances(metric: Metric, task: Task, pile: pl.DataFrame) -> pl.DataFrame:
    """Returns the chance score of each cell from its own rows; null where guessing is undefined or unknown."""
    rates = pile.select("cell", chance=guess_rates(pile, task)).group_by("cell", maintain_order=True).agg(
        pl.col("chance").mean()
    )  # fmt: skip
    known = [None if rate is None or metric.chance is None else metric.chance(rate) for rate in rates["chance"]]
    return rates.with_columns(chance=pl.Series(known, dtype=pl.Float64))


def _sizes(pile: pl.DataFrame) -> pl.DataFrame:
    """Returns per cell, in the order of the pile: rows, clusters, share of truncated prompts, mean shots shown."""
    return pile.group_by("cell", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n"),
        pl.col("cluster").n_unique().cast(pl.Int64).alias("clusters"),
        pl.col("truncated").mean(),
        pl.col("k_effective").mean().alias("shots_shown"),
    )


def _totals(metric: Metric, context: Context, pile: pl.DataFrame, values: pl.Series | None) -> pl.DataFrame:
    """Returns the value of each cell: the mean of its rows, unless the metric aggregates by its own rule."""
    if values is not None and metric.aggregate is None:
        rows = pl.DataFrame({"cell": pile["cell"], "value": values})
        return rows.group_by("cell", maintain_order=True).agg(pl.col("value").mean())
    apart = pile.partition_by("cell", maintain_order=True)
    return pl.DataFrame({"cell": [c["cell"][0] for c in apart], "value": [metric.score(c, context) for c in apart]})


def _predicted(pile: pl.DataFrame, task: Task) -> pl.Series:
    """Returns the answer of each row as text; empty for language modeling."""
    if task.kind == "generation":
        return pile["output"]
    return pl.repeat("", pile.height, dtype=pl.String, eager=True) if task.kind == "language_modeling" else chosen(pile)


def _item_rows(pile: pl.DataFrame, answers: pl.Series, metric: str, values: pl.Series) -> pl.DataFrame:
    """Returns the rows of `items` for one metric, without coordinates."""
    rows = pile.select("cell", pl.lit(metric).alias("metric"), "example_id", "cluster", "gold", "k_effective",
                       "prompt_hash", answers.alias("predicted"), values.alias("value"))  # fmt: skip
    return rows.with_columns(pl.col(name).cast(kind) for name, kind in _ITEM_TYPES.items() if name in rows.columns)


def _shares(pile: pl.DataFrame, texts: pl.Series) -> pl.DataFrame:
    """Returns per cell: number of distinct texts, share of the most frequent one, and all shares as JSON."""
    counted = pl.DataFrame({"cell": pile["cell"], "text": texts}).group_by("cell", "text").len("rows")
    shares = counted.with_columns(share=pl.col("rows") / pl.col("rows").sum().over("cell"))
    ranked = (
        shares.sort("cell", "rows", "text", descending=[False, True, False])
        .group_by("cell", maintain_order=True)
        .agg("text", "share")
    )
    return ranked.select(
        "cell",
        distinct=pl.col("text").list.len(),
        top_share=pl.col("share").list.first(),
        histogram=pl.Series(
            [json.dumps(dict(zip(*row, strict=True))) for row in ranked.select("text", "share").rows()]
        ),
    )


def clustered_errors(items: pl.DataFrame) -> pl.DataFrame:
    """Returns the clustered standard error of each cell's mean (Miller 2024, arXiv:2411.00640, eq. 4):
    √(G/(G−1) · Σ_g (Σ_{i∈g} (x_i − x̄))²) / n for G clusters and n rows; null with one cluster.
    """
    centred = items.with_columns((pl.col("value") - pl.col("value").mean().over("cell", "metric")).alias("off"))
    # Kept in row order: summing in another order would change the last digit.
    sums = centred.group_by("cell", "metric", "cluster", maintain_order=True).agg(
        pl.col("off").sum(), pl.len().alias("rows")
    )
    g = pl.len().cast(pl.Float64)
    spread = (pl.when(g > 1).then(g / (g - 1)) * pl.col("off").pow(2).sum()).sqrt()
    errors = sums.group_by("cell", "metric", maintain_order=True).agg((spread / pl.col("rows").sum()).alias("se"))
    return errors.with_columns(pl.col("cell", "metric").cast(pl.String))
