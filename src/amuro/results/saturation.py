"""Where a tuned score stops rising in pre-training, and under which learning rates its checkpoints were made."""

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
    "decay": "with its learning rate in decay, whose share in what follows cannot be told from that of tokens",
    "annealed": "at annealed checkpoints",
    "warmup": "with its learning rate still warming up",
    "unknown": "the state of whose learning rate is not known",
}
DRAWS = 300


@dataclass(frozen=True)
class Schedule:
    """Under which learning rates the checkpoints of a trajectory were made."""

    words: str
    mixed: str
    """Why they make no single curve; empty where they do."""


@dataclass(frozen=True)
class Saturation:
    """What can be said of a plateau: a sentence, or why there is none."""

    sentence: str = ""
    refused: str = ""
    fitted: Fitted | None = None


def trained_rows(found: Trajectory) -> list[ScoreRow]:
    """The compared score rows of all trained checkpoints."""
    steps = set(found.steps[found.trained].tolist())
    return [score_row for score_row in found.score_rows if score_row["step"] in steps]


def schedule(evidence: Evidence, score_rows: Iterable[ScoreRow]) -> Schedule:
    """The state of the schedule over checkpoints, where it is one; warm-up goes with what follows it.

    A checkpoint at the end of a decay is another kind of model than one in its midst: scores jump there without a token
    more. So no two other states stand in one curve, and a state that nobody knows is none of the known.
    """
    states = {evidence.schedules.get(score_row["checkpoint"], "unknown") for score_row in score_rows}
    after = sorted(states - {"warmup", "initial"}) or ["warmup"]
    if len(after) == 1:
        return Schedule(STATES[after[0]], "")
    named = ", ".join(after)
    why = f"Checkpoints of different states of the learning rate ({named}) make no one curve."
    return Schedule(f"at learning rates of several states ({named})", why)


def saturation(found: Trajectory, delta: float, rng: np.random.Generator) -> Saturation:
    """Where all but `delta` of the last checkpoint's tuned score is reached, if a saturating curve may be fitted."""
    at = found.trained
    tokens, scores = found.tokens[at], found.tuned[at].mean(axis=1)
    change, bend = (_contrast(found, weights(tokens)) for weights in (change_weights, curvature_weights))
    refusal = shape(len(at), change, bend)
    fitted = refusal or fit(tokens, scores, _errors(found), noise_draws(found, rng), delta)
    if isinstance(fitted, str):
        return Saturation(refused=f"No plateau is told: {REFUSALS[fitted]}.")
    low, high = fitted.reached_interval
    sentence = (
        f"All but {delta:.2f} of the final tuned score is reached at {_amount(fitted.reached)} {found.unit} "
        f"(95 % interval {_amount(low)} to {_amount(high)})."
    )
    return Saturation(sentence, "", fitted)


def _contrast(found: Trajectory, weights: Floats) -> Estimate:
    full = found.over_training(weights)
    return found.contrast(full, full * 0)


def _amount(tokens: float) -> str:
    """`7.8 M`, `410`: three digits are more than an interval can bear."""
    for size, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{letter}"
    return f"{tokens:.3g}"


def _errors(found: Trajectory) -> Floats:
    """Standard errors (T,) of the tuned scores of the trained checkpoints; at least that of half an example in n.

    A row that is always right varies in no sample, yet not for sure.
    """
    variances = np.diag(found.means.covariance)[found.trained]
    if found.noise:
        variances = variances + found.noise.beyond / found.seeds[found.trained]
    return np.asarray(np.sqrt(np.maximum(variances, 0.5 / len(found.examples) ** 2)))


def noise_draws(found: Trajectory, rng: np.random.Generator) -> Floats:
    """(DRAWS, T) draws of the noise of the tuned scores around 0: of examples in common, of runs for each by itself.

    What runs and examples have in common is counted once, with the runs (`RunNoise.parts`). How large the noise of runs
    is, is known with few degrees of freedom: each draw has a size of its own, from their χ², as Student's t would.
    """
    at = found.trained
    covariance = found.means.covariance[np.ix_(at, at)]
    own = np.zeros(len(at))
    if found.noise:
        covariance = covariance - np.diag(found.noise.sampling / found.seeds[at])
        own = np.sqrt(found.noise.variance / found.seeds[at])
    size, direction = np.linalg.eigh(covariance)
    shared = rng.normal(size=(DRAWS, len(at))) * np.sqrt(np.maximum(size, 0)) @ direction.T
    df = found.noise.df if found.noise else 1
    draws: Floats = shared + rng.normal(size=(DRAWS, len(at))) * own * np.sqrt(df / rng.chisquare(df, (DRAWS, 1)))
    return draws
