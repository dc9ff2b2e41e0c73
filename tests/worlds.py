"""Worlds of known truth: item-response processes that answer like models, written apart from the analyses.

An example i in cluster c is answered rightly with probability g + (1 − g) · logistic(θ + u_c + b_i), where g is the
guessing rate, θ the ability of the model, u the cluster's and b the example's easiness. Tuning runs scatter in θ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from amuro.analysis import Evidence
from amuro.types import Example, Task

Floats = NDArray[np.float64]
FLOOR = -9.0
"""An ability at which everything is guessed."""
STEPS = (0, 100, 200, 400, 800, 1600)
SEEDS = (1, 1, 3, 1, 1, 3)
"""Tuning seeds at each of STEPS: one, and three at two checkpoints."""
CLUSTER_SD = 1.2
ITEM_SD = 1.0
"""On the logit scale: an intra-cluster correlation of 1.44 / (1.44 + 1 + 3.29) = .25."""


def sigmoid(x: Any) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.asarray(x, dtype=float))))


@dataclass(frozen=True)
class Exam:
    """The examples of one evaluation set."""

    clusters: NDArray[np.int64]
    easiness: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, examples: int = 450, clusters: int = 56) -> Exam:
        of = np.sort(rng.integers(clusters, size=examples))
        return cls(of, rng.normal(0, CLUSTER_SD, clusters)[of] + rng.normal(0, ITEM_SD, examples))

    def answers(self, ability: float, guess: float, rng: np.random.Generator) -> Floats:
        right = guess + (1 - guess) * sigmoid(ability + self.easiness)
        return (rng.random(len(right)) < right).astype(float)


def expected(ability: float, guess: float = 0.0) -> float:
    """Mean score over the whole population of clusters and examples (Gauss–Hermite)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    spread = np.hypot(CLUSTER_SD, ITEM_SD)
    return float(guess + (1 - guess) * (weights @ sigmoid(ability + spread * nodes)) / weights.sum())


def task(name: str, chance: float | None = 0.5, metric: str = "accuracy", kind: str = "label") -> Task:
    """A task of which the analyses need only the facts."""
    return Task(
        name=name,
        source="world:none",
        family="none",
        kind=kind,  # type: ignore[arg-type]
        metric=metric,
        example=lambda row: Example("", "", {}, ""),
        fields=(),
        cue="",
        instruction="",
        cluster="value",
        splits={},
        labels=("yes", "no"),
        chance=chance,
    )


@dataclass
class Book:
    """Collects cells and turns them into the two frames that analyses read."""

    tasks: dict[str, Task] = field(default_factory=dict)
    _items: list[pl.DataFrame] = field(default_factory=list)
    _scores: list[dict[str, Any]] = field(default_factory=list)

    def add(self, about: Task, exam: Exam, values: Floats, *, step: int = 1600, tuned_on: str = "none", role: str = "base",
            tune_seed: int = -1, split: str = "test", format: str = "default", tune_format: str = "default",
            metric: str = "", top_share: float = 0.6, **other: Any) -> None:  # fmt: skip
        """One cell under one metric."""
        metric = metric or about.metric
        tuned = tuned_on != "none"
        model = f"world@{step}" + (f"+{tuned_on}-{tune_format}/seed{tune_seed}" if tuned else "")
        cell = {
            "series": "world", "checkpoint": f"world@{step}", "step": step, "tokens": step * 1024, "tuned_on": tuned_on,
            "recipe": f"{tuned_on}" if tune_format == "default" or not tuned else f"{tuned_on}_{tune_format}",
            "method": "full" if tuned else "none", "tune_format": tune_format if tuned else "none",
            "tune_seed": tune_seed, "learning_rate": 1e-3 if tuned else None, "task": about.name, "split": split,
            "role": role, "family": about.family, "kind": about.kind, "format": format, "shots": 0, "shot_seed": 0,
            "decoding": "likelihood", "protocol": "own", "precision": "float32", "device": "cpu", "limit": len(values),
            "cell": f"{model}|{about.name}/{split}|{format}|0shot.0|likelihood|own", "metric": metric, **other,
        }  # fmt: skip
        self.tasks[about.name] = about
        self._items.append(pl.DataFrame({"cell": cell["cell"], "metric": metric, "example": np.arange(len(values)),
                                         "cluster": exam.clusters, "value": values}))  # fmt: skip
        self._scores.append({**cell, "value": float(np.mean(values)), "se": 0.0, "n": len(values), "clusters": 0,
                             "chance": about.chance, "majority": 0.5, "evidence": "measured",
                             "predicted_histogram": "{}", "top_share": top_share})  # fmt: skip

    def evidence(self, **settings: Any) -> Evidence:
        scores = pl.DataFrame(self._scores, infer_schema_length=None)
        coordinates = scores.drop("value", "se", "n", "clusters", "chance", "majority", "evidence",
                                  "predicted_histogram", "top_share")  # fmt: skip
        items = pl.concat(self._items).with_columns(
            ("e" + pl.col("example").cast(pl.String)).alias("example_id"),
            ("c" + pl.col("cluster").cast(pl.String)).alias("cluster"),
            pl.lit("yes").alias("gold"),
            pl.lit("yes").alias("predicted"),
        )
        return Evidence(items.join(coordinates, on=["cell", "metric"]), scores, self.tasks, "worlds", **settings)


def climb(book: Book, about: Task, rng: np.random.Generator, base: Sequence[float], tuned: Sequence[float], *,
          steps: Sequence[int] = STEPS, seeds: Sequence[int] = SEEDS, run_sd: float = 0.2, examples: int = 450,
          dev: bool = True, base_shares: Mapping[int, float] | None = None) -> None:  # fmt: skip
    """One task tuned at each step: abilities of the base and of the tuned model, and how runs scatter around it."""
    guess = about.chance or 0.0
    exam, dev_exam = Exam.draw(rng, examples), Exam.draw(rng, 200)
    shares = base_shares or {}
    for step, base_ability, ability, count in zip(steps, base, tuned, seeds, strict=True):
        book.add(about, exam, exam.answers(base_ability, guess, rng), step=step, top_share=shares.get(step, 0.6))
        if dev:
            book.add(about, dev_exam, dev_exam.answers(base_ability, guess, rng), step=step, split="dev", role="dev")
        for seed in range(count):
            reached = ability + rng.normal(0, run_sd)
            book.add(about, exam, exam.answers(reached, guess, rng), step=step, tuned_on=about.name, role="in_domain",
                     tune_seed=seed)  # fmt: skip
