"""Trajectory: one tuning over the checkpoints of one series, paired with the base models under the same prompts.

Helpers for collections of trajectories are in `trajectory_groups`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amuro.core.coordinates import SETTING
from amuro.results.score_matrix import ScoreMatrix, ScoreRow, fewest_shots
from amuro.results.stats.clustered import Floats, Ints, Means, clustered_means
from amuro.results.stats.estimate import Estimate, combine
from amuro.results.stats.runs import RunNoise, run_noise
from amuro.study.recipe_names import training_words
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Metric

Bools = NDArray[np.bool_]
MIN_CHECKPOINTS = 4
"""Fewest trained checkpoints from which a trend is estimated."""
ASKED = ("shots", "shot_seed", *SETTING)
"""Prompt and setting coordinates besides the format: compared cells must agree in all of them."""
HOW = ("protocol", "precision", "device", "provenance")
"""Coordinates that must agree even where shots, formats or row limits differ on purpose."""


class Tuning(NamedTuple):
    """Coordinates that identify a tuning, apart from its checkpoint and its seed."""

    series: str
    tuned_on: str
    recipe: str
    method: str
    tune_format: str


@dataclass(frozen=True)
class Trajectory:
    """Scores of one tuning and of the base models over the checkpoints of one series, on one evaluation set.

    T is the number of checkpoints, n the number of examples that all compared cells share.
    """

    tuning: Tuning
    task: str
    split: str
    metric: str
    format: str
    matrix: ScoreMatrix
    """Every score row of the evaluation set, those of other models included."""
    examples: Ints
    """(n,) columns of `matrix` with the examples that every compared score row has."""
    dropped: int
    """Number of examples left out because some compared score row lacks them."""
    steps: Ints
    """(T,) pre-training steps, ascending; only checkpoints with both a base and a tuned cell."""
    tokens: Floats
    """(T,) pre-training tokens, or steps: see `unit`."""
    unit: str
    """Unit of `tokens`: `tokens`, or `steps` where the tokens of some checkpoint are unknown."""
    base: Floats
    """(T, n) base scores oriented so that higher is better; `score` converts a mean back to the metric's scale."""
    by_seed: tuple[Floats, ...]
    """T arrays (tuning seeds, n) of tuned scores, oriented so that higher is better."""
    score_rows: tuple[ScoreRow, ...]
    """Rows of `Evidence.scores` from which `base` and `by_seed` were taken."""
    mixed: str
    """Sentence that names the coordinates in which compared cells differ though they must agree; empty if none do."""
    shrunk: RunNoise | None = None
    """Seed variance after shrinkage towards the other trajectories of this metric (`with_shared_noise`); None: use
    `own_noise`.
    """
    several: bool = False
    """Whether the study tunes this task by several recipes, so that sentences must name the recipe."""

    @property
    def name(self) -> str:
        """Returns `TASK/SPLIT`."""
        return f"{self.task}/{self.split}"

    @property
    def called(self) -> str:
        """Returns the task for sentences, with its split where that is not `test`."""
        return self.task if self.split == "test" else self.name

    @property
    def training_words(self) -> str:
        """Returns the words for what was trained on, to follow `tuned on` in a sentence."""
        return training_words(*self.tuning[1:], several=self.several)

    @property
    def by(self) -> str:
        """Returns ` by RECIPE`, to follow `tuned` in a sentence, where the study has several recipes; else nothing."""
        return f" by {self.tuning.recipe}" if self.several else ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Returns the addresses of the compared cells."""
        return tuple(score_row["cell"] for score_row in self.score_rows)

    @property
    def constant(self) -> bool:
        """Whether a tuned model of the latest checkpoint gives one answer to nearly all examples."""
        latest = (r for r in self.score_rows if r["tuned_on"] != "none" and r["step"] == self.steps[-1])
        return any(score_row["evidence"] == "degenerate" for score_row in latest)

    @cached_property
    def source(self) -> ScoreMatrix:
        """Returns `matrix` on the compared examples, with only the score rows that have all of them."""
        return self.matrix.on(self.examples)

    @property
    def clusters(self) -> Ints:
        """Returns the cluster codes (n,) of the examples, from 0."""
        return self.source.clusters

    @cached_property
    def tuned(self) -> Floats:
        """Returns tuned scores (T, n), averaged over tuning seeds."""
        return np.array([seeds.mean(axis=0) for seeds in self.by_seed])

    @property
    def seeds(self) -> Ints:
        """Returns the number of tuning seeds (T,)."""
        return np.array([len(seeds) for seeds in self.by_seed])

    @property
    def trained(self) -> Ints:
        """Returns the indices of checkpoints with tokens (or steps) above 0, whose logarithm exists."""
        return np.flatnonzero(self.tokens > 0)

    @property
    def facts(self) -> Metric:
        """Returns the metric, with its declared facts (orientation, range, unit …)."""
        return load_metric(self.metric)

    def score(self, values: Floats) -> float:
        """Returns the mean of oriented values on the metric's own scale, for sentences."""
        return self.facts.oriented(float(values.mean()))

    def from_to(self, before: Floats, after: Floats) -> str:
        """Returns two mean scores as words: `from 0.40 to 0.12`."""
        return f"from {self.score(before):.2f} to {self.score(after):.2f}"

    @property
    def chance(self) -> float | None:
        """Returns the score of guessing on the evaluated rows, on the metric's scale; None where it is unknown."""
        return next((score_row["chance"] for score_row in self.score_rows if score_row.get("chance") is not None), None)

    @property
    def floor(self) -> float:
        """Returns the oriented score that needs no ability: guessing for choices, 0 for generated text.

        It is NaN where the score of guessing is unknown, and 0 for metrics without a fixed range.
        """
        guesses = any(score_row["kind"] in ("classification", "multiple_choice") for score_row in self.score_rows)
        if not self.facts.share or not guesses:
            return 0.0
        return math.nan if self.chance is None else self.facts.oriented(self.chance)

    @property
    def replicated(self) -> list[int]:
        """Returns the indices of trained checkpoints with several tuning seeds (of all, if none has tokens)."""
        candidates = self.trained if len(self.trained) else np.arange(len(self.steps))
        return [int(t) for t in candidates if len(self.by_seed[t]) > 1]

    @cached_property
    def own_noise(self) -> RunNoise | None:
        """Returns the variance between tuning seeds, pooled over replicated checkpoints; None without any."""
        return run_noise([self.by_seed[t] for t in self.replicated], self.clusters)

    @property
    def noise(self) -> RunNoise | None:
        """Returns the variance between tuning seeds: the shrunk one if there is one, else `own_noise`."""
        return self.shrunk or self.own_noise

    @cached_property
    def means(self) -> Means:
        """Returns mean scores (2T,) and their clustered covariance: first the tuned models, then the bases."""
        return clustered_means(np.concatenate([self.tuned, self.base]), self.clusters)

    def place(self, step: int, tokens: float) -> Mapping[str, Any]:
        """Returns the position of a checkpoint on a figure's axis; tokens are None where the unit is steps."""
        return {"tokens": tokens if self.unit == "tokens" else None, "step": step}

    def at(self, index: int) -> Floats:
        """Returns weights (T,) that are 1 at one checkpoint and 0 elsewhere; a negative index counts from the last."""
        weights: Floats = np.eye(len(self.steps))[index]
        return weights

    def over_training(self, weights: Floats) -> Floats:
        """Returns weights over the trained checkpoints as weights (T,) over all, zero at step 0."""
        padded = np.zeros(len(self.steps))
        padded[self.trained] = weights
        return padded

    def contrast(self, tuned: ArrayLike, base: ArrayLike) -> Estimate:
        """Estimates Σ_t tuned_t · (tuned mean)_t + base_t · (base mean)_t from weights `tuned` and `base` (T,).

        Its variance has two sources: sampling of example clusters, and tuning seeds where they were replicated.
        """
        of_tuned = np.asarray(tuned, dtype=float)
        weights = np.concatenate([of_tuned, np.asarray(base, dtype=float)])
        items = self.means.noise(weights)
        parts = self.noise.parts(items, of_tuned, self.seeds) if self.noise else [items]
        return combine(float(weights @ self.means.value), parts)

    def under(self, metric: str) -> Trajectory | None:
        """Returns the trajectory of the same models under another metric; None where it was not measured."""
        return build_trajectory(self.matrix, self.tuning, metric, self.several)

    def only(self, kept: Bools) -> Trajectory:
        """Returns the same comparison on fewer examples: those where `kept` (n,) is true."""
        by_seed = tuple(scores[:, kept] for scores in self.by_seed)
        dropped = self.dropped + int(len(kept) - kept.sum())
        return replace(self, examples=self.examples[kept], dropped=dropped, base=self.base[:, kept], by_seed=by_seed)


def _preferred_format(tuned: ScoreMatrix, base: ScoreMatrix, tune_format: str) -> str | None:
    """Returns the tuning format if both sides have scores in it, else their first shared format; None without any."""
    shared = sorted(tuned.all("format") & base.all("format"))
    return tune_format if tune_format in shared else next(iter(shared), None)


def differing_coordinates(score_rows: Sequence[ScoreRow], names: Sequence[str] = (*ASKED, "provenance")) -> str:
    """Returns a sentence that names the coordinates in which the score rows differ; empty where they agree in all."""
    differing = [name for name in names if len({score_row.get(name) for score_row in score_rows}) > 1]
    return f"Compared cells differ in {', '.join(differing)}." if differing else ""


def _two_rates(score_rows: Sequence[ScoreRow]) -> str:
    """Returns a sentence if one tuning run occurs twice, i.e. under two learning rates; else an empty text."""
    runs = [(score_row["tuned_on"], score_row["step"], score_row["tune_seed"]) for score_row in score_rows]
    return "Compared cells differ in learning_rate." if len(set(runs)) < len(runs) else ""


def along(score_rows: Sequence[ScoreRow]) -> tuple[list[int], str]:
    """Returns pre-training progress at each score row, and its unit: `tokens` if all are known, else `steps`.

    One axis cannot mix the two units, so a single unknown number of tokens switches all rows to steps.
    """
    in_tokens = all(score_row["tokens"] is not None for score_row in score_rows)
    return [
        score_row["tokens" if in_tokens else "step"] for score_row in score_rows
    ], "tokens" if in_tokens else "steps"


def build_trajectory(matrix: ScoreMatrix, tuning: Tuning, metric: str, several: bool = False) -> Trajectory | None:
    """Pairs the cells of one tuning with the base cells, at equal format and fewest shots, on shared examples.

    Returns None where they share no format, no checkpoint or no example.
    """
    of_metric = matrix.where(metric=metric, series=tuning.series)
    tuned, base = of_metric.where(**tuning._asdict()), of_metric.where(tuned_on="none")
    format_name = _preferred_format(tuned, base, tuning.tune_format)
    if format_name is None:
        return None
    tuned, base = (fewest_shots(side.where(format=format_name)) for side in (tuned, base))
    steps = sorted(base.all("step") & tuned.all("step"))
    pairs = [(base.where(step=step), tuned.where(step=step)) for step in steps]
    scored = (
        np.isfinite(np.concatenate([side.values for pair in pairs for side in pair])) if pairs else np.zeros((1, 0))
    )
    examples = np.flatnonzero(scored.all(axis=0))
    if not len(examples):
        return None
    score_rows = tuple(score_row for pair in pairs for side in reversed(pair) for score_row in side.score_rows)
    progress, unit = along(score_rows)
    tokens = {score_row["step"]: value for score_row, value in zip(score_rows, progress, strict=True)}
    return Trajectory(
        tuning=tuning,
        task=matrix.task,
        split=matrix.split,
        metric=metric,
        format=format_name,
        matrix=matrix,
        examples=examples,
        dropped=int(scored.any(axis=0).sum()) - len(examples),
        steps=np.array(steps),
        tokens=np.array([tokens[step] for step in steps], dtype=float),
        unit=unit,
        base=np.array([base.values[-1, examples] for base, _ in pairs]),
        by_seed=tuple(tuned.values[:, examples] for _, tuned in pairs),
        score_rows=score_rows,
        mixed=differing_coordinates(score_rows) or _two_rates(score_rows),
        several=several,
    )
