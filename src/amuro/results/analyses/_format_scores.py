"""Scores of one trajectory in several prompt formats, for the analysis `format_sensitivity`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from amuro.results.finding_text import Points, score_point
from amuro.results.score_matrix import ScoreRow, fewest_shots
from amuro.results.stats.clustered import Floats, Ints, Means, clustered_means
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.spread import logits
from amuro.results.trajectory import Trajectory

CEILING = 0.97
"""Score above which a format has too few errors for its log odds to be compared over checkpoints."""
_BASE = {"tuned_on": "none"}


@dataclass(frozen=True)
class FormatScores:
    """Scores of one model, or of several tuning seeds at one checkpoint, in F formats."""

    step: int
    tokens: float
    """Pre-training tokens, or steps: see `Trajectory.unit`."""
    by_seed: Floats
    """(tuning seeds, F, n) oriented scores; one seed for a base."""
    clusters: Ints
    """(n,) cluster codes of the examples."""
    chance: float
    """Score of guessing; NaN where it is unknown."""
    score_rows: tuple[ScoreRow, ...]
    """Rows of `Evidence.scores` from which the scores were taken."""

    @property
    def cells(self) -> tuple[str, ...]:
        """Returns the addresses of the cells."""
        return tuple(score_row["cell"] for score_row in self.score_rows)

    @cached_property
    def means(self) -> Means:
        """Returns the mean score in each format (F,), averaged over tuning seeds, with clustered covariance."""
        return clustered_means(self.by_seed.mean(axis=0), self.clusters)

    @property
    def logits(self) -> Floats:
        """Returns the log odds above chance (F,)."""
        return logits(self.means.value, self.chance, self.by_seed.shape[2])

    def score(self, index: int) -> Estimate:
        """Estimates the score in one format."""
        return self.means.contrast(np.eye(self.by_seed.shape[1])[index])

    @property
    def comparable(self) -> bool:
        """Whether every format clears chance and is below the ceiling, so that log odds compare over checkpoints."""
        if self.means.groups < 2:
            return False
        lows = [self.score(index).interval()[0] for index in range(self.by_seed.shape[1])]
        return min(lows) > self.chance and float(self.means.value.max()) <= CEILING


@dataclass(frozen=True)
class FormatTrajectory:
    """A trajectory whose bases and tuned models have scores in several formats."""

    trajectory: Trajectory
    formats: list[str]
    bases: list[FormatScores]
    """Bases with scores in all formats, by step."""
    tuned: list[FormatScores]
    """Tuned models with scores in all formats, by step."""

    @cached_property
    def points(self) -> Points:
        """Returns the scores in each format at each checkpoint, before and after tuning, as figure points."""
        trajectory = self.trajectory
        return tuple(
            score_point(
                trajectory,
                f"{format_name}, {who}",
                model.score(index),
                **trajectory.place(model.step, model.tokens),
            )
            for who, models in (("base", self.bases), (f"tuned on {trajectory.training_words}", self.tuned))
            for model in models
            for index, format_name in enumerate(self.formats)
        )


def in_formats(trajectory: Trajectory) -> FormatTrajectory | None:
    """Returns the scores of a trajectory in all formats that it shares with its bases; None with fewer than two."""
    formats = _formats(trajectory)
    bases, tuned = (_scores(trajectory, formats, side) for side in (_BASE, trajectory.tuning._asdict()))
    return FormatTrajectory(trajectory, formats, bases, tuned) if len(formats) > 1 and tuned and bases else None


def _formats(trajectory: Trajectory) -> list[str]:
    """Returns the formats in which both the latest base and the latest tuned model have scores."""
    latest = trajectory.source.where(
        series=trajectory.tuning.series, metric=trajectory.metric, step=int(trajectory.steps[-1])
    )
    return sorted(latest.where(**trajectory.tuning._asdict()).all("format") & latest.where(**_BASE).all("format"))


def _scores(trajectory: Trajectory, formats: list[str], side: Mapping[str, str]) -> list[FormatScores]:
    """Returns the models of one side (bases or tuned) that have scores in all formats, step by step."""
    source = fewest_shots(
        trajectory.source.where(**{"metric": trajectory.metric, "series": trajectory.tuning.series, **side})
    )
    models = []
    for step, tokens in zip(trajectory.steps.tolist(), trajectory.tokens.tolist(), strict=True):
        of_step = source.where(step=step)
        seeds = [of_step.where(tune_seed=seed) for seed in sorted(of_step.all("tune_seed"))]
        complete = [seed for seed in seeds if seed.all("format") >= set(formats)]
        if complete:
            stacked = [[seed.where(format=name).values[0] for name in formats] for seed in complete]
            score_rows = tuple(
                score_row for seed in complete for score_row in seed.score_rows if score_row["format"] in formats
            )
            models.append(
                FormatScores(step, tokens, np.array(stacked), trajectory.clusters, trajectory.floor, score_rows)
            )
    return models
