"""Tokens at which a tuned score saturates in pre-training, and the learning-rate state of the checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from amuro.results.analyses.base import Evidence
from amuro.results.score_matrix import ScoreRow
from amuro.results.stats.clustered import Floats
from amuro.results.stats.curves import REFUSALS, Fitted, curvature_weights, fit, shape
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.trend import change_weights
from amuro.results.trajectory import Trajectory

STATES = {
    "constant": "at a constant learning rate",
    "decay": "with its learning rate in decay, whose effect cannot be separated from that of more tokens",
    "annealed": "at annealed checkpoints",
    "warmup": "with its learning rate still warming up",
    "unknown": "with an unknown state of its learning rate",
}
"""State of the learning-rate schedule → its words in `In this pre-training run, …`."""
DRAWS = 300
"""Number of noise draws that calibrate the intervals of a fitted curve."""


@dataclass(frozen=True)
class Schedule:
    """Learning-rate state of the checkpoints of a trajectory."""

    words: str
    mixed: str
    """Why the checkpoints cannot lie on one curve; empty where they can."""


@dataclass(frozen=True)
class Saturation:
    """Saturation of a score: the sentence about it, or why no curve was fitted."""

    sentence: str = ""
    refused: str = ""
    fitted: Fitted | None = None


def trained_rows(trajectory: Trajectory) -> list[ScoreRow]:
    """Returns the compared score rows of all trained checkpoints."""
    steps = set(trajectory.steps[trajectory.trained].tolist())
    return [score_row for score_row in trajectory.score_rows if score_row["step"] in steps]


def schedule(evidence: Evidence, score_rows: Iterable[ScoreRow]) -> Schedule:
    """Returns the learning-rate state that all checkpoints share, ignoring warm-up, or why they share none.

    Scores jump at the end of a decay without further tokens, so checkpoints of different states are not put on one
    curve. An unknown state equals no known one.
    """
    states = {evidence.schedules.get(score_row["checkpoint"], "unknown") for score_row in score_rows}
    after = sorted(states - {"warmup", "initial"}) or ["warmup"]
    if len(after) == 1:
        return Schedule(STATES[after[0]], "")
    named = ", ".join(after)
    why = f"Checkpoints of different states of the learning rate ({named}) cannot lie on one curve."
    return Schedule(f"at learning rates of several states ({named})", why)


def saturation(trajectory: Trajectory, delta: float, rng: np.random.Generator) -> Saturation:
    """Estimates the tokens at which all but `delta` of the last checkpoint's tuned score is reached.

    Returns the refusal where no saturating curve may be fitted (`stats.curves.shape` and `fit`).
    """
    at = trajectory.trained
    tokens, scores = trajectory.tokens[at], trajectory.tuned[at].mean(axis=1)
    change, bend = (_contrast(trajectory, weights(tokens)) for weights in (change_weights, curvature_weights))
    refusal = shape(len(at), change, bend)
    fitted = refusal or fit(tokens, scores, _errors(trajectory), noise_draws(trajectory, rng), delta)
    if isinstance(fitted, str):
        return Saturation(refused=f"No saturation point is given: {REFUSALS[fitted]}.")
    low, high = fitted.reached_interval
    sentence = (
        f"All but {delta:.2f} of the final tuned score is reached at {_amount(fitted.reached)} {trajectory.unit} "
        f"(95 % interval {_amount(low)} to {_amount(high)})."
    )
    return Saturation(sentence, "", fitted)


def _contrast(trajectory: Trajectory, weights: Floats) -> Estimate:
    """Estimates a weighted sum of the tuned scores of the trained checkpoints."""
    padded = trajectory.over_training(weights)
    return trajectory.contrast(padded, padded * 0)


def _amount(tokens: float) -> str:
    """Returns a number of tokens with three significant digits: `7.8 M`, `410`."""
    for size, letter in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{letter}"
    return f"{tokens:.3g}"


def _errors(trajectory: Trajectory) -> Floats:
    """Returns standard errors (T,) of the tuned scores of the trained checkpoints, at least √.5 / n each.

    The lower limit covers rows that are right on every example, whose sample variance is 0 though their true one
    need not be.
    """
    variances = np.diag(trajectory.means.covariance)[trajectory.trained]
    if trajectory.noise:
        variances = variances + trajectory.noise.beyond / trajectory.seeds[trajectory.trained]
    return np.asarray(np.sqrt(np.maximum(variances, 0.5 / len(trajectory.examples) ** 2)))


def noise_draws(trajectory: Trajectory, rng: np.random.Generator) -> Floats:
    """Draws noise (DRAWS, T) of the tuned scores around 0.

    Noise of examples is correlated over checkpoints; seed noise is independent. The example sampling that seed noise
    contains is counted once, with the seeds (`RunNoise.parts`). The seed variance has few degrees of freedom, so each
    draw scales it by its own χ² draw, which gives the tails of Student's t.
    """
    at = trajectory.trained
    covariance = trajectory.means.covariance[np.ix_(at, at)]
    run_sd = np.zeros(len(at))
    if trajectory.noise:
        covariance = covariance - np.diag(trajectory.noise.sampling / trajectory.seeds[at])
        run_sd = np.sqrt(trajectory.noise.variance / trajectory.seeds[at])
    size, direction = np.linalg.eigh(covariance)
    shared = rng.normal(size=(DRAWS, len(at))) * np.sqrt(np.maximum(size, 0)) @ direction.T
    df = trajectory.noise.df if trajectory.noise else 1
    draws: Floats = shared + rng.normal(size=(DRAWS, len(at))) * run_sd * np.sqrt(df / rng.chisquare(df, (DRAWS, 1)))
    return draws
