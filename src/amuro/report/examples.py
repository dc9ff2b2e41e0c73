"""Single examples: answers of tuned models compared with those of their base. All are counted, a few of each kind of
change are shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import polars as pl

from amuro.core.coordinates import EVALUATION, RECIPE, SETTING
from amuro.report.formatting import higher_is_better, is_share

PER_TASK = 40
RIGHT = 0.5
"""A value from here on counts as right."""
TRANSITIONS = {
    "lost": "right → wrong",
    "won": "wrong → right",
    "kept": "stays right",
    "missed": "stays wrong",
    "unknown": "not run",
}
CHANGES = ("lost", "won")
KINDS = (*CHANGES, "kept", "missed")
_TURNS = {"lost": 3, "won": 3, "kept": 1, "missed": 1, "unknown": 1}
"""Of eight examples, so many are chosen for this kind of change."""
_SAME = ("series", "checkpoint", *EVALUATION, "shots", "shot_seed", *SETTING)
"""What an answer of a tuned model shares with that of its base, besides the format."""
_MODEL = (*RECIPE, "tune_seed", "learning_rate")
_PLACE = ("task", "split", *RECIPE, "checkpoint", "format")


def pairs(items: pl.DataFrame, metrics: Mapping[str, str]) -> pl.DataFrame:
    """Returns every answer of a tuned model beside its base's answer to the same prompt, with the kind of change.

    `metrics`: task → primary metric; tasks whose metric is not binary have no pairs. `only` marks changes that occur
    in a single format; `first` marks pairs of the default prompting: zero-shot, first tuning seed of each recipe.
    """
    judged = {task: metric for task, metric in metrics.items() if is_share(metric)}
    types = {name: items.schema[name] for name in ("task", "metric")}
    wanted = pl.DataFrame({"task": list(judged), "metric": list(judged.values())}, types)
    rows = items.filter(pl.col("split") != "dev").join(wanted, on=["task", "metric"], maintain_order="left")
    tuned = rows.select("cell", "example_id", predicted_tuned="predicted", value_tuned="value")
    base = rows.select(
        "example_id", "cluster", "gold", "prompt_hash", base_cell="cell", predicted_base="predicted", value_base="value"
    )
    matched = tuned.join(_matched_cells(rows), on="cell", maintain_order="left")
    compared = matched.join(base, on=["base_cell", "example_id"], maintain_order="left").with_columns(
        kind=_kind(judged)
    )
    alone = (pl.len().over("asking", "example_id", "kind") == 1) & (pl.col("formats") > 1)
    changed = pl.col("kind").is_in(CHANGES)
    return compared.with_columns(only=changed & alone).drop("cell", "base_cell", "asking", "formats")


def _matched_cells(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns one row per tuned cell: the base cell with the same prompts, and the facts of all its answers."""
    cells = rows.select("cell", *_SAME, "format", *_MODEL).unique("cell", keep="first", maintain_order=True)
    cells = cells.with_columns(pl.col(pl.Categorical).exclude("cell").cast(pl.String))
    alike = [*_SAME, "format"]
    base = cells.filter(pl.col("tuned_on") == "none").select("cell", *alike).rename({"cell": "base_cell"})
    tuned = cells.filter(pl.col("tuned_on") != "none").sort(
        pl.col("tune_format") != "default", "tune_seed", "recipe", maintain_order=True
    )
    matched = tuned.join(base, on=alike, nulls_equal=True, maintain_order="left").with_columns(
        asking=pl.struct(*_SAME, *_MODEL).rank("dense")  # one model asked one thing, in one format or in several
    )
    return matched.select(
        "cell", "base_cell", *_PLACE, "shots",
        "asking",
        formats=pl.col("format").n_unique().over("asking"),
        first=(pl.col("shots") == 0) & (pl.col("asking") == pl.col("asking").first().over(*_SAME, *RECIPE)),
    )  # fmt: skip


def _kind(metrics: Mapping[str, str]) -> pl.Expr:
    """Returns the kind of change of an answer, as an expression."""
    lower = pl.col("task").is_in([task for task, metric in metrics.items() if not higher_is_better(metric)])
    was, now = (_right(pl.col(value), lower) for value in ("value_base", "value_tuned"))
    kinds = pl.when(was & ~now).then(pl.lit("lost")).when(~was & now).then(pl.lit("won"))
    kinds = kinds.when(was & now).then(pl.lit("kept")).when(~was & ~now).then(pl.lit("missed"))
    return kinds.otherwise(pl.lit("unknown"))


def _right(value: pl.Expr, lower_is_better: pl.Expr) -> pl.Expr:
    """Whether a value counts as correct, as an expression."""
    return pl.when(lower_is_better).then(value <= 1 - RIGHT).otherwise(value >= RIGHT)


def count_changes(found: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows of `ReportData.changes`: pairs of each kind per place, and how many only in that format."""
    counts = [(pl.col("kind") == kind).sum().alias(kind) for kind in KINDS]
    alone = [((pl.col("kind") == kind) & pl.col("only")).sum().alias(f"{kind}_only") for kind in CHANGES]
    return found.group_by(_PLACE).agg(*counts, *alone).sort(_PLACE)


def choose_examples(found: pl.DataFrame, prompt: Callable[[str], str], per_task: int = PER_TASK) -> pl.DataFrame:
    """Returns the rows of `ReportData.examples`: answers of base and tuned models, zero-shot, in each format.

    `prompt`: returns the text of a prompt hash. `per_task`: most examples of a task.
    """
    plain = found.filter("first").with_columns(pl.col(pl.Categorical).cast(pl.String))
    example = ["task", "split", "example_id"]
    kept = _chosen(plain, per_task).join(plain, on=example, maintain_order="left_right")
    texts = {key: prompt(key) for key in kept["prompt_hash"].unique(maintain_order=True)}
    return kept.drop("first", "kind", "only").with_columns(
        prompt=pl.Series([texts[key] for key in kept["prompt_hash"]], dtype=pl.String)
    )


def _chosen(plain: pl.DataFrame, per_task: int) -> pl.DataFrame:
    """Returns task, split and example_id of the chosen examples, in an order that depends only on the ids."""
    order = {name: hashlib.sha256(name.encode()).hexdigest() for name in plain["example_id"].unique()}
    group = ["task", *RECIPE, "checkpoint", "format", "kind", "only"]
    hashed = pl.col("example_id").replace_strict(order, default="", return_dtype=pl.String)
    example = ["task", "split", "example_id"]
    return (
        plain.select(*example, *group[1:], order=hashed)
        .with_columns(turn=pl.col("order").rank("dense").over(group), often=pl.len().over(group))
        .sort("turn", "often", "order", *example)
        .unique([*example, "kind"], keep="first", maintain_order=True)
        .with_columns(
            turn=pl.int_range(pl.len()).over("task", "kind")
            / pl.col("kind").replace_strict(_TURNS, return_dtype=pl.Int64)
        )
        .sort("task", "turn", "order", *example[1:])
        .unique(example, keep="first", maintain_order=True)
        .group_by("task", maintain_order=True)
        .head(per_task)
        .select(example)
    )
