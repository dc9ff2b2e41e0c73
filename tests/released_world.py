"""Simulated score tables whose truth is known: tuned models with noise of runs of their own, asked in three formats.

Written apart from the claims: a logit of ability, a shift a format, a shift a run and a shift a run and format, then
binomial sampling of rows. The last two checkpoints are 20 steps apart, as in the released table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import special

from amuro.results.importers.base import EXTRA, Imported, SetFacts
from amuro.results.scoring import no_scores

STEPS = (1_000, 18_000, 342_000, 424_000, 505_000, 592_000, 738_000, 738_020)
TOKENS_A_STEP = 4_194_304
FORMATS = {"default": 0.0, "instruct": 1.0, "input_output": -1.0}
"""Format → how much of the format effect falls on it."""
ROWS = 4_000


@dataclass(frozen=True)
class World:
    """Truth on the logit scale of (score − chance) / (1 − chance), at the first and at the last place."""

    base: tuple[float, float] = (-1.0, -1.0)
    tuned: tuple[float, float] = (-1.0, -1.0)
    wording: tuple[float, float] = (0.0, 0.0)
    """Size of the format effect after tuning."""
    runs: tuple[float, ...] = (0.1, 0.2, 0.3, 0.2)
    """Standard deviation between runs, one a tuned model."""
    role: str = "in_domain"
    """What its tuned models are asked: their own set, another domain, …"""


def crossed_table(world: World, taught: str, asked: str, rng: np.random.Generator) -> Imported:
    """Models tuned on tasks of one kind and asked sets of another: two of `world.runs` models, one set each."""
    whole = released_table(world, rng=rng)
    tuned = pl.col("tuned_on") != "none"
    away = whole.scores.with_columns(
        kind=pl.lit(asked),
        role=pl.when(tuned).then(pl.lit("cross_task")).otherwise(pl.col("role")),
        tuned_on=pl.when(tuned).then("home of " + pl.col("task")).otherwise(pl.col("tuned_on")),
    )
    home = whole.scores.with_columns(
        kind=pl.lit(taught), task="home of " + pl.col("task"), source_set="home of " + pl.col("source_set"),
        cell="home|" + pl.col("cell"), tuned_on=pl.when(tuned).then("home of " + pl.col("task")).otherwise("tuned_on"),
    )  # fmt: skip
    sets = {name: dataclasses.replace(of, kind=asked) for name, of in whole.sets.items()}
    sets |= {
        f"home of {name}": dataclasses.replace(of, task=f"home of {name}", kind=taught) for name, of in sets.items()
    }
    return Imported(pl.concat([away, home]), sets, ())


PRIORS = {"a": 0.25, "b": 0.25, "c": 0.5}


def released_table(*worlds: World, rng: np.random.Generator) -> Imported:
    """One draw of a released table; every world has four sets of its own, each with a tuned model of its own."""
    sets = {
        f"set{w}{k}": SetFacts(f"set{w}{k}", f"family{w}{k}", "classification", "accuracy", "test", ROWS, 0.25, PRIORS)
        for w, world in enumerate(worlds)
        for k in range(len(world.runs))
    }
    rows = [row for w, world in enumerate(worlds) for k in range(len(world.runs)) for row in _line(world, w, k, rng)]
    schema: dict[str, Any] = {**no_scores().schema, **EXTRA}
    return Imported(pl.DataFrame(rows, schema=schema), sets, ())


def _line(world: World, w: int, k: int, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """All scores of one set: base and tuned at each step in each format."""
    task = f"set{w}{k}"
    when = np.log(STEPS) - np.log(STEPS[0])
    for step, share in zip(STEPS, when / when.max(), strict=True):
        own = {model: rng.normal(0, world.runs[k] * (0.3 if model == "none" else 1)) for model in ("none", task)}
        for form, part in FORMATS.items():
            for model in ("none", task):
                first, last = world.base if model == "none" else world.tuned
                size = 0.0 if model == "none" else np.interp(share, [0, 1], world.wording)
                logit = first + share * (last - first) + part * size + own[model] + rng.normal(0, world.runs[k] / 2)
                role = "base" if model == "none" else world.role
                yield {**_score(logit, rng), **_place(task, model, step, form), "role": role}


def _score(logit: float, rng: np.random.Generator) -> dict[str, object]:
    p = 0.25 + 0.75 * float(special.expit(logit))
    value = float(rng.binomial(ROWS, p)) / ROWS
    error = float(np.sqrt(value * (1 - value) / ROWS))
    return {"value": value, "se": error, "chance": 0.25, "majority": 0.5, "n": ROWS, "metric": "accuracy",
            "evidence": "measured"}  # fmt: skip


def _place(task: str, model: str, step: int, form: str) -> dict[str, object]:
    tuned = model != "none"
    return {
        "series": "s", "checkpoint": f"s@{step}", "step": step, "tokens": step * TOKENS_A_STEP, "tuned_on": model,
        "recipe": "r" if tuned else "none", "tune_format": "default" if tuned else "none", "task": task,
        "split": "test", "family": f"family of {task}", "kind": "classification", "format": form, "shots": 0,
        "protocol": "paper", "cell": f"{step}|{model}|{task}|{form}", "table": "sft", "conversion": "hf",
        "source_id": f"{model}@{step}", "source_set": task,
    }  # fmt: skip
