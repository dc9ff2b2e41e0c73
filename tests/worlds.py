"""Worlds of known truth: item-response processes that answer like models, written apart from the analyses.

An example i in cluster c is answered rightly with probability g + (1 − g) · logistic(θ + u_c + b_i), where g is the
guessing rate, θ the ability of the model, u the cluster's and b the example's easiness. Tuning runs scatter in θ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq

from amuro.core.types import Example, Task
from amuro.results.analyses.base import Evidence

Floats = NDArray[np.float64]
FLOOR = -9.0
"""An ability at which everything is guessed."""
STEPS = (0, 100, 200, 400, 800, 1600)
SEEDS = (1, 1, 3, 1, 1, 3)
"""Tuning seeds at each of STEPS: one, and three at two checkpoints."""
EXAMPLE_NAMES = pl.Series([f"e{i}" for i in range(5000)], dtype=pl.Categorical)
CLUSTER_NAMES = pl.Series([f"c{i}" for i in range(5000)], dtype=pl.Categorical)
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
    def draw(cls, rng: np.random.Generator, examples: int = 450, clusters: int = 56, uneven: bool = False) -> Exam:
        shares = rng.dirichlet(np.full(clusters, 1.0 if uneven else 50.0))
        of = np.sort(np.append(np.arange(clusters), rng.choice(clusters, size=examples - clusters, p=shares)))
        return cls(of, rng.normal(0, CLUSTER_SD, clusters)[of] + rng.normal(0, ITEM_SD, examples))

    def answers(self, ability: float, guess: float, rng: np.random.Generator) -> Floats:
        right = guess + (1 - guess) * sigmoid(ability + self.easiness)
        return (rng.random(len(right)) < right).astype(float)


def expected(ability: float, guess: float = 0.0, run_sd: float = 0.0) -> float:
    """Mean score over the whole population of clusters, examples and runs (Gauss–Hermite)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    spread = np.sqrt(CLUSTER_SD**2 + ITEM_SD**2 + run_sd**2)
    return float(guess + (1 - guess) * (weights @ sigmoid(ability + spread * nodes)) / weights.sum())


def ability_of(score: float, guess: float) -> float:
    """The ability at which the mean score over the population is `score`."""
    return float(brentq(lambda theta: expected(theta, guess) - score, -12, 12))


def task(name: str, chance: float | None = 0.5, metric: str = "accuracy", kind: str = "classification") -> Task:
    """A task of which the analyses need only the facts."""
    return Task(
        name=name,
        source="world:none",
        family="none",
        kind=kind,  # type: ignore[arg-type]
        metric=metric,
        example=lambda row: Example("", "", {}, ""),
        fields=(),
        answer_prefix="",
        instruction="",
        cluster="value",
        splits={},
        labels=("yes", "no"),
        chance=chance,
    )


@dataclass
class SimulatedStudy:
    """Collects cells and turns them into the two frames that analyses read."""

    tasks: dict[str, Task] = field(default_factory=dict)
    _cells: list[dict[str, Any]] = field(default_factory=list)
    _values: list[Floats] = field(default_factory=list)
    _clusters: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, about: Task, exam: Exam, values: Floats, *, step: int = 1600, tuned_on: str = "none",
            role: str = "base", tune_seed: int = -1, split: str = "test", wording: str = "default",
            tune_format: str = "default", recipe: str = "", metric: str = "", evidence: str = "measured",
            **other: Any) -> None:  # fmt: skip
        """One cell under one metric."""
        tuned = tuned_on != "none"
        named = tuned_on if tune_format == "default" or not tuned else f"{tuned_on}_{tune_format}"
        model = f"world@{step}" + (f"+{recipe or tuned_on}-{tune_format}/seed{tune_seed}" if tuned else "")
        self.tasks[about.name] = about
        self._values.append(values)
        self._clusters.append(exam.clusters)
        self._cells.append({
            "series": "world", "checkpoint": f"world@{step}", "step": step, "tokens": step * 1024, "tuned_on": tuned_on,
            "recipe": recipe or named,
            "method": "full" if tuned else "none", "tune_format": tune_format if tuned else "none",
            "tune_seed": tune_seed, "learning_rate": 1e-3 if tuned else None, "task": about.name, "split": split,
            "role": role, "family": about.family, "kind": about.kind, "format": wording, "shots": 0, "shot_seed": 0,
            "decoding": "likelihood", "protocol": "own", "precision": "float32", "device": "cpu", "limit": len(values),
            "cell": f"{model}|{about.name}/{split}|{wording}|0shot.0|likelihood|own", "metric": metric or about.metric,
            "evidence": evidence, "chance": about.chance, **other,
        })  # fmt: skip

    def evidence(self, **settings: Any) -> Evidence:
        cells = pl.DataFrame(self._cells, infer_schema_length=None)
        sizes = [len(values) for values in self._values]
        within = np.concatenate([np.arange(size) for size in sizes])
        texts = cells.drop("evidence", "chance").with_columns(pl.col(pl.String).cast(pl.Categorical))
        items = texts[np.repeat(np.arange(len(sizes)), sizes)].with_columns(
            EXAMPLE_NAMES[within].alias("example_id"),
            CLUSTER_NAMES[np.concatenate(self._clusters)].alias("cluster"),
            pl.lit("yes").alias("gold"),
            pl.lit("yes").alias("predicted"),
            pl.Series("value", np.concatenate(self._values)),
        )
        scores = cells.with_columns(
            pl.Series("value", [float(np.mean(values)) for values in self._values]),
            pl.lit(0.02).alias("se"),
            pl.Series("n", sizes),
            pl.Series("clusters", [len(np.unique(clusters)) for clusters in self._clusters]),
            pl.lit(0.5).alias("majority"),
            pl.lit(0.6).alias("top_share"),
            pl.lit(0.0).alias("truncated"),
            pl.lit(0.0).alias("shots_shown"),
        )
        return Evidence(items, scores, self.tasks, "worlds", **settings)


def tune(
    book: SimulatedStudy,
    about: Task,
    exam: Exam,
    rng: np.random.Generator,
    *,
    base: float,
    tuned: float,
    step: int = 1600,
    seeds: int = 1,
    run_sd: float = 0.2,
    guess: float | None = None,
    **coordinates: Any,
) -> None:
    """A base and its tunings on one evaluation set, at one checkpoint."""
    luck = (about.chance or 0.0) if guess is None else guess
    asked = {key: value for key, value in coordinates.items() if key in ("split", "wording", "evidence")}
    book.add(about, exam, exam.answers(base, luck, rng), step=step, **asked)
    for seed in range(seeds):
        reached = tuned + rng.normal(0, run_sd)
        values = exam.answers(reached, luck, rng)
        book.add(about, exam, values, step=step, tune_seed=seed, **{"tuned_on": about.name, **coordinates})


def climb(
    book: SimulatedStudy,
    about: Task,
    rng: np.random.Generator,
    base: Sequence[float],
    tuned: Sequence[float],
    *,
    steps: Sequence[int] = STEPS,
    seeds: Sequence[int] = SEEDS,
    scatter: Sequence[float] = (0.2,) * 6,
    uneven: bool = False,
    dev: bool = True,
    wordings: Sequence[str] = (),
    **coordinates: Any,
) -> None:
    """One task tuned at each step: abilities of the base and of the tuned model, `scatter` of its runs around them.

    In `wordings` besides the default the base is asked as well, on the dev rows too.
    """
    exam, dev_exam = Exam.draw(rng, uneven=uneven), Exam.draw(rng, 200)
    for step, before, after, count, run_sd in zip(steps, base, tuned, seeds, scatter, strict=True):
        asked = {"role": "in_domain", **coordinates}
        tune(book, about, exam, rng, base=before, tuned=after, step=step, seeds=count, run_sd=run_sd, **asked)
        for wording in ("default", *wordings) if dev else ():
            guess = about.chance or 0.0
            book.add(about, dev_exam, dev_exam.answers(before, guess, rng), step=step, split="dev", role="dev",
                     wording=wording)  # fmt: skip
            if wording != "default":
                book.add(about, exam, exam.answers(before, guess, rng), step=step, wording=wording)
