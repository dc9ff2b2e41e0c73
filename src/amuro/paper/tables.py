"""The paper's numbers recomputed as frames: its own formulas, with the quantities that they leave out.

Formulas are those of the paper's public notebook, on single checkpoints (near-replicates count as two points). Sets
with constant gold are left out of all means.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from amuro.paper.changes import asked, comparable, main_way, pairs, with_places
from amuro.paper.text import mean, plain
from amuro.results.importers.base import TableNote

DRAWS = 1000
BOOTSTRAP_SEED = 0
LEVEL = 0.9
"""Level of the paper's bootstrap intervals."""
SLOPE_STEP = 750_000
"""Step that the paper's table assigns to the final weights."""
STEPS = 100_000
"""Steps per unit of the column `slope`."""
GENERATES = "generation"


def wide(rows: pl.DataFrame, column: str = "value") -> pl.DataFrame:
    """Returns a row per model, set, format and number of shots, a column per checkpoint; missing scores are null."""
    steps = rows.select("step", "checkpoint").unique().sort("step")["checkpoint"].to_list()
    table = rows.pivot(
        on="checkpoint", index=["tuned_on", "task", "format", "shots"], values=column, aggregate_function="first"
    )
    heads = {name: name.partition("@")[2] or name for name in steps}
    return table.select("tuned_on", "task", "format", "shots", *steps).rename(heads)


def score_table(scores: pl.DataFrame, tuned: bool) -> pl.DataFrame:
    """Returns all scores of base or of tuned models at the main number of shots."""
    rows = main_way(comparable(scores)).filter((pl.col("tuned_on") != "none") == tuned)
    return wide(rows.sort("tuned_on", "task", "format"))


def change_table(scores: pl.DataFrame, role: str) -> pl.DataFrame:
    """Returns the changes by tuning (tuned − base) on all sets of a role, in the tuning format."""
    return wide(plain(asked(scores)).filter(pl.col("role") == role).sort("tuned_on", "task"), "change")


def crossed(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns `ratio` = (tuned − base) / base on the sets of other tuned models; null where the base is 0."""
    rows = plain(asked(scores))
    home = rows.filter(pl.col("role") == "in_domain")["task"].unique()
    rows = rows.filter((pl.col("role") == "cross_task") & pl.col("task").is_in(home.to_list()))
    taught = asked(scores).filter(pl.col("role") == "in_domain").select("tuned_on", taught="kind").unique()
    ratio = pl.when(pl.col("base") > 0).then(pl.col("change") / pl.col("base"))
    return rows.join(taught, on="tuned_on", maintain_order="left").with_columns(ratio.alias("ratio"))


def ratio_table(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns `crossed` with a column per checkpoint."""
    return wide(crossed(scores).sort("tuned_on", "task"), "ratio")


def directions(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns cross-task losses by direction: the paper's mean of ratios, and the stable ratio of sums.

    Columns: direction, n, mean_ratio, sd, median, low, high (90 %), mean_change, ratio_of_sums.
    """
    rows = crossed(scores)
    out = []
    for name, taught, other in (
        ("class → generation", "classification", GENERATES),
        ("generation → class", GENERATES, "classification"),
    ):
        ratios = rows.filter((pl.col("taught") == taught) & (pl.col("kind") == other))
        if ratios.height:
            low, high = bootstrap(ratios["ratio"])
            out.append({"direction": name, "n": ratios.height, "mean_ratio": ratios["ratio"].mean(),
                          "sd": ratios["ratio"].std(), "median": ratios["ratio"].median(), "low": low, "high": high,
                          "mean_change": ratios["change"].mean(),
                          "ratio_of_sums": mean(ratios["change"]) / mean(ratios["base"])})  # fmt: skip
    return pl.DataFrame(out)


def families(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns the out-of-domain change by family, all checkpoints pooled as in the paper's figure 5.

    Columns: family, sets, n, mean_change, low, high (90 %), mean_ratio, state. A family whose sets all have constant
    gold has no mean; `state` says so.
    """
    rows = plain(asked(scores)).filter(pl.col("role") == "out_of_domain")
    out = []
    for family in rows["family"].unique().sort():
        mine = rows.filter(pl.col("family") == family)
        kept = mine.filter(~pl.col("constant_gold"))
        low, high = bootstrap(kept["change"]) if kept.height else (None, None)
        out.append({"family": family, "sets": ", ".join(sorted(mine["task"].unique())), "n": kept.height,
                      "mean_change": kept["change"].mean(), "low": low, "high": high,
                      "mean_ratio": (kept["change"] / kept["base"]).mean() if kept.height else None,
                      "state": _state(mine)})  # fmt: skip
    return pl.DataFrame(out, infer_schema_length=None)


def _state(rows: pl.DataFrame) -> str:
    if rows["constant_gold"].all():
        return "degenerate: constant gold, not averaged"
    return "prompts overflow" if rows["overflow"].is_not_null().all() else ""


def average_changes(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns the paper's table of average change by checkpoint, for in-domain and for instructed sets.

    Columns: group, checkpoint, sets, mean_change, low, high (90 % over sets), mean_ratio, slope (per 100,000 steps; the
    final weights count as step 750,000, and the first slope is from 0), slope_tokens (per 100 B tokens).
    """
    rows = asked(scores).filter((pl.col("format") == "default") & ~pl.col("constant_gold"))
    out = []
    for role in ("in_domain", "instructed"):
        before = (0.0, 0, 0)
        for (step,), group in rows.filter(pl.col("role") == role).sort("step").group_by("step", maintain_order=True):
            name, tokens = group["checkpoint"][0].partition("@")[2], group["tokens"][0]
            counted = SLOPE_STEP if name == "main" else step
            average = mean(group["change"])
            low, high = bootstrap(group["change"])
            out.append({"group": role, "checkpoint": name, "sets": group.height, "mean_change": average, "low": low,
                          "high": high, "mean_ratio": (group["change"] / group["base"]).mean(),
                          "slope": (average - before[0]) / (counted - before[1]) * STEPS,
                          "slope_tokens": (average - before[0]) / (tokens - before[2]) * 1e11})  # fmt: skip
            before = (average, counted, tokens)
    return pl.DataFrame(out)


def shots_table(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns the scores of models and sets with several numbers of shots: one column per number."""
    rows = scores.filter(
        (pl.col("conversion") == "hf") & (pl.col("format") == "default") & pl.col("shots").is_not_null()
    )
    varied = rows.filter(pl.col("shots").n_unique().over("tuned_on", "learning_rate", "checkpoint", "task") > 1)
    table = varied.sort("shots").pivot(
        on="shots", index=["tuned_on", "task", "checkpoint", "step", "learning_rate"], values="value",
        aggregate_function="first",
    )  # fmt: skip
    names = {c: f"{c} shots" for c in table.columns if c.isdigit()}
    return table.sort("tuned_on", "task", "step").drop("step").rename(names)


def replicates(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns the differences between the changes of near-replicate checkpoints, with their printed errors.

    Columns: tuned_on, task, format, shots, role, difference, error (√ of the sum of all four squared errors), times.
    """
    rows = asked(scores)
    error = (pl.col("se").pow(2) + pl.col("se_base").pow(2)).sum().sqrt()
    keys = ["tuned_on", "task", "format", "shots", "place"]
    errors = rows.group_by(keys, maintain_order=True).agg(
        error.alias("error"), pl.col("role").first(), pl.col("constant_gold").first()
    )
    out = pairs(rows).join(errors, on=keys, maintain_order="left").with_columns(
        (pl.col("difference").abs() / pl.col("error")).alias("times")
    )  # fmt: skip
    return out.drop("both", "runs", "place").sort("role", "tuned_on", "task", "format")


def beyond_errors(scores: pl.DataFrame) -> TableNote:
    """Returns the note on how often two near-replicates differ by more than their printed errors allow."""
    rows = replicates(scores).filter(~pl.col("constant_gold"))
    if rows.is_empty():
        return TableNote("noise of runs", "no near-replicate", "no two checkpoints are close enough to show it")
    many, worst = rows.filter(pl.col("times") > 2).height, rows.sort("times").row(-1, named=True)
    return TableNote("noise of runs", "near-replicate checkpoints", f"{many} of {rows.height} changes differ by more "
                  f"than two printed standard errors, up to {worst['times']:.0f} of them (tuned on "
                  f"{worst['tuned_on']}, {worst['task']}): the errors hold the sampling of rows alone")  # fmt: skip


def replicate_spread(scores: pl.DataFrame) -> pl.DataFrame:
    """Returns the root mean square difference of near-replicates by kind of score: score, pairs, rms, largest."""
    out = []
    rows = plain(asked(scores)).filter(~pl.col("constant_gold"))
    for role in ("in_domain", "out_of_domain"):
        mine = rows.filter(pl.col("role") == role)
        for name, column in (("tuned", "value"), ("gain", "change")):
            out.append(_spread(f"{name}, {role.replace('_', ' ')}", pairs(mine, column)["difference"]))
    base = with_places(main_way(comparable(scores)).filter((pl.col("tuned_on") == "none") & ~pl.col("constant_gold")))
    out.append(_spread("base", pairs(base, "value")["difference"]))
    return pl.DataFrame(out)


def _spread(name: str, differences: pl.Series) -> dict[str, object]:
    d = differences.to_numpy()
    rms, largest = (float(np.sqrt((d**2).mean())), float(np.abs(d).max())) if len(d) else (None, None)
    return {"score": name, "pairs": len(d), "rms": rms, "largest": largest}


def bootstrap(values: pl.Series, level: float = LEVEL) -> tuple[float, float]:
    """Returns the percentile interval of the mean, with a fixed seed; the order of the values does not matter."""
    known = np.sort(values.drop_nulls().to_numpy())
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    means = known[rng.integers(len(known), size=(DRAWS, len(known)))].mean(axis=1)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def tables(scores: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Returns all tables by the name of their file."""
    makers: dict[str, Callable[[], pl.DataFrame]] = {
        "base_scores": lambda: score_table(scores, tuned=False),
        "tuned_scores": lambda: score_table(scores, tuned=True),
        "in_domain_change": lambda: change_table(scores, "in_domain"),
        "out_of_domain_change": lambda: change_table(scores, "out_of_domain"),
        "out_of_domain_families": lambda: families(scores),
        "cross_task_ratios": lambda: ratio_table(scores),
        "cross_task_directions": lambda: directions(scores),
        "average_change": lambda: average_changes(scores),
        "shots": lambda: shots_table(scores),
        "replicates": lambda: replicates(scores),
        "replicate_spread": lambda: replicate_spread(scores),
    }
    return {name: make() for name, make in makers.items()}
