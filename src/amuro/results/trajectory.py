"""One way of tuning followed over the checkpoints of one series, beside the base models asked the same way."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from amuro.core.coordinates import SETTING
from amuro.results.analyses.base import Evidence
from amuro.results.score_matrix import ScoreMatrix, ScoreRow, fewest_shots, score_matrix
from amuro.results.stats.clustered import Floats, Ints, Means, clustered_means
from amuro.results.stats.estimate import Estimate, combine
from amuro.results.stats.runs import RunNoise, run_noise, shrunk_together
from amuro.study.recipe_names import training_words, tuned_by_several
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Metric

Bools = NDArray[np.bool_]
MIN_CHECKPOINTS = 4
"""Trained checkpoints that a trend needs."""
ASKED = ("shots", "shot_seed", *SETTING)
"""How a cell was asked, besides its format: compared cells must agree in all of these."""
HOW = ("protocol", "precision", "device", "provenance")
"""What must agree even where other shots, formats or row limits are chosen on purpose."""


class Tuning(NamedTuple):
    """What names one way of tuning."""

    series: str
    tuned_on: str
    recipe: str
    method: str
    tune_format: str


@dataclass(frozen=True)
class Trajectory:
    """One way of tuning over the checkpoints of one series, on one evaluation set, beside the base models."""

    tuning: Tuning
    task: str
    split: str
    metric: str
    format: str
    whole: ScoreMatrix
    """Every score row of the evaluation set, of these models and others."""
    examples: Ints
    """(n,) the examples, as places in `whole`, that every compared score row has."""
    dropped: int
    """Examples left out because some compared score row lacks them."""
    steps: Ints
    """(T,) ascending; only checkpoints with both a base and a tuned cell."""
    tokens: Floats
    """(T,) training tokens, or steps: see `unit`."""
    unit: str
    """What is counted: `tokens`, or `steps` where tokens of some checkpoint are unknown."""
    base: Floats
    """(T, n), the higher the better: `score` gives back what the metric says."""
    by_seed: tuple[Floats, ...]
    """T arrays (tuning seeds, n), the higher the better."""
    score_rows: tuple[ScoreRow, ...]
    """What was compared: the rows of `scores` that stand behind `base` and `runs`."""
    mixed: str
    """What differs between cells that should agree; empty where nothing does."""
    shrunk: RunNoise | None = None
    """Noise of runs shrunk towards that of the trajectories beside this one (`together`)."""
    several: bool = False
    """Whether the study has several recipes for what was tuned: then sentences name the recipe."""

    @property
    def name(self) -> str:
        return f"{self.task}/{self.split}"

    @property
    def called(self) -> str:
        """The task, and the split where that is another than `test`."""
        return self.task if self.split == "test" else self.name

    @property
    def training_words(self) -> str:
        """What was learned, in a sentence: `tuned on …`."""
        return training_words(*self.tuning[1:], several=self.several)

    @property
    def by(self) -> str:
        """` by RECIPE` behind `tuned`, where the study has several recipes for it; else nothing."""
        return f" by {self.tuning.recipe}" if self.several else ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Addresses of the cells that were compared."""
        return tuple(score_row["cell"] for score_row in self.score_rows)

    @property
    def constant(self) -> bool:
        """True where a tuned model of the latest checkpoint gives one answer to nearly everything."""
        latest = (r for r in self.score_rows if r["tuned_on"] != "none" and r["step"] == self.steps[-1])
        return any(score_row["evidence"] == "degenerate" for score_row in latest)

    @cached_property
    def source(self) -> ScoreMatrix:
        """The score rows, of these models and others, that have all compared examples; and only those examples."""
        return self.whole.on(self.examples)

    @property
    def clusters(self) -> Ints:
        """(n,) codes from 0."""
        return self.source.clusters

    @cached_property
    def tuned(self) -> Floats:
        """(T, n): mean over tuning seeds."""
        return np.array([runs.mean(axis=0) for runs in self.by_seed])

    @property
    def seeds(self) -> Ints:
        """(T,) number of tuning seeds."""
        return np.array([len(runs) for runs in self.by_seed])

    @property
    def trained(self) -> Ints:
        """Indices of the checkpoints that have been trained at all: those with a logarithm of tokens or steps."""
        return np.flatnonzero(self.tokens > 0)

    @property
    def facts(self) -> Metric:
        """What the metric says of itself."""
        return load_metric(self.metric)

    def score(self, values: Floats) -> float:
        """Mean of some of the values as the metric has it, for sentences."""
        return self.facts.oriented(float(values.mean()))

    def from_to(self, before: Floats, after: Floats) -> str:
        """`from 0.40 to 0.12`: two mean scores in a sentence."""
        return f"from {self.score(before):.2f} to {self.score(after):.2f}"

    @property
    def chance(self) -> float | None:
        """What guesses score on the rows that were asked, as the metric has it; None where that is not stated."""
        return next((score_row["chance"] for score_row in self.score_rows if score_row.get("chance") is not None), None)

    @property
    def floor(self) -> float:
        """What takes no ability, on the scale of the values: the score of guesses, or the worst where text is written.

        NaN where what guesses score is not known; 0 where there is no common range, and so no floor.
        """
        guesses = any(score_row["kind"] in ("classification", "multiple_choice") for score_row in self.score_rows)
        if not self.facts.share or not guesses:
            return 0.0
        return math.nan if self.chance is None else self.facts.oriented(self.chance)

    @property
    def replicated(self) -> list[int]:
        """Indices of trained checkpoints with several tuning seeds (of all, if none is known to be trained)."""
        places = self.trained if len(self.trained) else np.arange(len(self.steps))
        return [int(t) for t in places if len(self.by_seed[t]) > 1]

    @cached_property
    def own_noise(self) -> RunNoise | None:
        """Variance between tuning seeds, pooled over the replicated checkpoints."""
        return run_noise([self.by_seed[t] for t in self.replicated], self.clusters)

    @property
    def noise(self) -> RunNoise | None:
        """Variance between tuning seeds, with what the trajectories beside this one say of it."""
        return self.shrunk or self.own_noise

    @cached_property
    def means(self) -> Means:
        """Means (2T,) of the tuned and then of the base models."""
        return clustered_means(np.concatenate([self.tuned, self.base]), self.clusters)

    def place(self, step: int, tokens: float) -> Mapping[str, Any]:
        """Where a checkpoint stands in a figure; tokens are None where steps are counted."""
        return {"tokens": tokens if self.unit == "tokens" else None, "step": step}

    def at(self, index: int) -> Floats:
        """Weights (T,) that read one checkpoint; a negative index counts from the last."""
        weights: Floats = np.eye(len(self.steps))[index]
        return weights

    def over_training(self, weights: Floats) -> Floats:
        """Weights of the trained checkpoints as weights of all (zero at step 0)."""
        full = np.zeros(len(self.steps))
        full[self.trained] = weights
        return full

    def contrast(self, tuned: ArrayLike, base: ArrayLike) -> Estimate:
        """Σ_t tuned_t · (tuned mean)_t + base_t · (base mean)_t, with the noise of clusters and of tuning runs."""
        of_tuned = np.asarray(tuned, dtype=float)
        weights = np.concatenate([of_tuned, np.asarray(base, dtype=float)])
        items = self.means.noise(weights)
        parts = self.noise.parts(items, of_tuned, self.seeds) if self.noise else [items]
        return combine(float(weights @ self.means.value), parts)

    def under(self, metric: str) -> Trajectory | None:
        """The same models and examples under another metric; None where it was not measured."""
        return trajectory(self.whole, self.tuning, metric, self.several)

    def only(self, kept: Bools) -> Trajectory:
        """The same comparison on fewer examples: those where `kept` (n,) is true."""
        runs = tuple(run[:, kept] for run in self.by_seed)
        lost = int(len(kept) - kept.sum())
        return replace(
            self, examples=self.examples[kept], dropped=self.dropped + lost, base=self.base[:, kept], by_seed=runs
        )


def _preferred_format(tuned: ScoreMatrix, base: ScoreMatrix, tune_format: str) -> str | None:
    """The format that was tuned, if it was asked; else the first that both were asked in."""
    shared = sorted(tuned.all("format") & base.all("format"))
    return tune_format if tune_format in shared else next(iter(shared), None)


def differences(score_rows: Sequence[ScoreRow], names: Sequence[str] = (*ASKED, "provenance")) -> str:
    """What compared cells differ in though they should agree, as a sentence; empty where nothing does."""
    differing = [name for name in names if len({score_row.get(name) for score_row in score_rows}) > 1]
    return f"Compared cells differ in {', '.join(differing)}." if differing else ""


def _two_rates(score_rows: Sequence[ScoreRow]) -> str:
    runs = [(score_row["tuned_on"], score_row["step"], score_row["tune_seed"]) for score_row in score_rows]
    return "Compared cells differ in learning_rate." if len(set(runs)) < len(runs) else ""


def along(score_rows: Sequence[ScoreRow]) -> tuple[list[int], str]:
    """How far pre-training had come at each score row, and what is counted: steps, unless all tokens are known.

    Steps and tokens grow alike within one run, but no axis can hold both.
    """
    in_tokens = all(score_row["tokens"] is not None for score_row in score_rows)
    return [
        score_row["tokens" if in_tokens else "step"] for score_row in score_rows
    ], "tokens" if in_tokens else "steps"


def trajectory(whole: ScoreMatrix, tuning: Tuning, metric: str, several: bool = False) -> Trajectory | None:
    """Pair the cells of one way of tuning with the base cells, at equal format and fewest shots, on shared examples."""
    of_metric = whole.where(metric=metric, series=tuning.series)
    tuned, base = of_metric.where(**tuning._asdict()), of_metric.where(tuned_on="none")
    wording = _preferred_format(tuned, base, tuning.tune_format)
    if wording is None:
        return None
    tuned, base = (fewest_shots(side.where(format=wording)) for side in (tuned, base))
    steps = sorted(base.all("step") & tuned.all("step"))
    pairs = [(base.where(step=step), tuned.where(step=step)) for step in steps]
    used = np.isfinite(np.concatenate([side.values for pair in pairs for side in pair])) if pairs else np.zeros((1, 0))
    examples = np.flatnonzero(used.all(axis=0))
    if not len(examples):
        return None
    score_rows = tuple(score_row for pair in pairs for side in reversed(pair) for score_row in side.score_rows)
    way, unit = along(score_rows)
    tokens = {score_row["step"]: value for score_row, value in zip(score_rows, way, strict=True)}
    return Trajectory(
        tuning=tuning,
        task=whole.task,
        split=whole.split,
        metric=metric,
        format=wording,
        whole=whole,
        examples=examples,
        dropped=int(used.any(axis=0).sum()) - len(examples),
        steps=np.array(steps),
        tokens=np.array([tokens[step] for step in steps], dtype=float),
        unit=unit,
        base=np.array([base.values[-1, examples] for base, _ in pairs]),
        by_seed=tuple(tuned.values[:, examples] for _, tuned in pairs),
        score_rows=score_rows,
        mixed=differences(score_rows) or _two_rates(score_rows),
        several=several,
    )


def with_shared_noise(found: Iterable[Trajectory]) -> list[Trajectory]:
    """The trajectories with the noise of their runs shrunk towards that of the others under the same metric."""
    every = list(found)
    shrunk: dict[int, RunNoise | None] = {}
    for metric in {one.metric for one in every}:
        alike = [place for place, one in enumerate(every) if one.metric == metric]
        shrunk |= zip(alike, shrunk_together([every[place].own_noise for place in alike]), strict=True)
    return [replace(one, shrunk=shrunk[place]) for place, one in enumerate(every)]


def on_shared_examples(every: Sequence[Trajectory]) -> list[Trajectory]:
    """Trajectories on one set, each on the examples that all of them have; perhaps none."""
    shared = list(set.intersection(*(set(one.examples.tolist()) for one in every)))
    return [one.only(np.isin(one.examples, shared)) for one in every]


def trajectories(evidence: Evidence, roles: Sequence[str]) -> list[Trajectory]:
    """Every way of tuning × evaluation set that stands to it in one of `roles`, under the task's own metric."""
    asked = pl.col("role").is_in(roles) & (pl.col("tuned_on") != "none")
    found = evidence.scores.lazy().filter(asked).select("task", "split", *Tuning._fields).collect().iter_rows()
    by_set: dict[tuple[str, str], set[Tuning]] = defaultdict(set)
    for task, split, *tuning in found:
        by_set[task, split].add(Tuning(*tuning))
    several = tuned_by_several(evidence.scores)
    pairs = [
        trajectory(source, tuning, evidence.tasks[task].metric, tuning.tuned_on in several)
        for (task, split), tunings in sorted(by_set.items())
        if (source := score_matrix(evidence, task, split)) is not None
        for tuning in sorted(tunings)
    ]
    return with_shared_noise(pair for pair in pairs if pair is not None)


def longest(found: Iterable[Trajectory]) -> list[Trajectory]:
    """The trajectories over many checkpoints; of a task that has none, those over the most. For trends."""
    every = list(found)
    most: dict[tuple[str, str, str], int] = defaultdict(int)
    for one in every:
        place = one.tuning.series, one.task, one.split
        most[place] = max(most[place], min(len(one.trained), MIN_CHECKPOINTS))
    return [one for one in every if len(one.trained) >= most[one.tuning.series, one.task, one.split]]


def by_set(every: Iterable[Trajectory]) -> list[list[Trajectory]]:
    """The trajectories of each series and evaluation set: all that was tuned beside the same bases."""

    def where(found: Trajectory) -> tuple[str, ...]:
        return found.task, found.split, found.tuning.series

    return [list(group) for _, group in groupby(sorted(every, key=where), key=where)]


def fullest(alike: Sequence[Trajectory]) -> Trajectory:
    """Of the trajectories beside the same bases the one that follows them furthest, of several as full the plainest:
    claims about bases are made on it, once for all recipes.
    """

    def known(found: Trajectory) -> tuple[int, ...]:
        return -len(found.trained), -len(found.replicated), -len(found.examples)

    return min(alike, key=lambda found: (known(found), _unusual(found.tuning)))


def stand_ins(every: Sequence[Trajectory]) -> tuple[list[Trajectory], str]:
    """(the trajectories of one recipe for each series and task, a sentence on which recipe stands for which task).

    For claims that count tasks: two recipes for one task are no two tasks, and no mean is taken of them. The recipe
    that was asked most stands for the others; of several the plainest.
    """
    asked: dict[tuple[str, str], dict[Tuning, int]] = defaultdict(lambda: defaultdict(int))
    for one in every:
        asked[one.tuning[:2]][one.tuning] += 1
    chosen = {place: min(of, key=lambda tuning: (-of[tuning], *_unusual(tuning))) for place, of in asked.items()}
    told = [f"{chosen[place].recipe} for {place[1]}" for place, of in asked.items() if len(of) > 1]
    kept = [one for one in every if chosen[one.tuning[:2]] == one.tuning]
    return kept, f"Of several recipes one stands for each task: {', '.join(told)}." if told else ""


def _unusual(tuning: Tuning) -> tuple[bool, bool, str]:
    return tuning.method != "full", tuning.tune_format != "default", tuning.recipe
