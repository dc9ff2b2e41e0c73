"""Do checkpoints differ by more than the noise of one run?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import (
    NO_HOME,
    EvidenceStatus,
    blank,
    caveats,
    counted,
    draft_finding,
    evidence_status,
    trend_status,
    tuned_status,
)
from amuro.results.saturation import schedule
from amuro.results.score_matrix import ScoreRow, fewest_shots
from amuro.results.stats.clustered import Floats, Ints
from amuro.results.stats.signal import SignalToNoise, detrended, signal_to_noise
from amuro.results.trajectory import MIN_CHECKPOINTS, Bools, Trajectory, along, differing_coordinates
from amuro.results.trajectory_groups import by_set, fullest, longest, trajectories
from amuro.results.verdicts import ALPHA, Claim, decide_verdicts

CLOSE = 0.9
"""Share of the last base's tokens from which bases count as near-replicates of it, after their trend is removed."""
FEWEST_CLOSE = 3
"""Fewest near-replicates: one more than a straight line has parameters."""


class Levels(NamedTuple):
    """Mean scores of T checkpoints, and the variance of one run."""

    means: Floats
    """(T,) mean scores."""
    runs: Floats
    """(T,) number of runs that each mean is taken over."""
    variance: float
    """Variance of one run."""
    df: float
    """Its degrees of freedom."""

    def signal(self) -> SignalToNoise:
        """Returns the signal-to-noise ratio of all levels."""
        return signal_to_noise(self.means, self.variance, self.runs, self.df)

    def of(self, places: Ints) -> Levels:
        """Returns some of the levels (indices), with the same noise."""
        return self._replace(means=self.means[places], runs=self.runs[places])

    def conditions(self) -> list[SignalToNoise]:
        """Returns the signals that must be significant as well.

        These are the levels without each one in turn, so that one outlier is no signal, and the replicated levels
        alone, where the noise was estimated.
        """
        every, replicated = np.arange(len(self.means)), np.flatnonzero(self.runs > 1)
        fewer = [np.delete(every, place) for place in every]
        return [self.of(places).signal() for places in (*fewer, replicated) if len(places) > 1]


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per recipe (tuned models, against seed noise) and one per task (bases, against the noise of
    close checkpoints).
    """
    claims = []
    for alike in by_set(longest(trajectories(evidence, ["in_domain"]))):
        claims += [_of_tuned(evidence, trajectory) for trajectory in alike]
        claims.append(_of_bases(evidence, fullest(alike)))
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _of_tuned(evidence: Evidence, trajectory: Trajectory) -> Claim:
    """Returns the claim on the tuned models of one recipe."""
    status, reason = trend_status(evidence, trajectory)
    if status == "measured":
        status, reason = tuned_status(trajectory)
    at = trajectory.trained
    levels = (
        Levels(
            trajectory.tuned[at].mean(axis=1),
            trajectory.seeds[at].astype(float),
            trajectory.noise.variance,
            float(trajectory.noise.df),
        )
        if trajectory.noise and status == "measured"
        else None
    )
    return _claim(evidence, trajectory, levels, (status, reason), "tuned", "tuning seeds")


def _of_bases(evidence: Evidence, trajectory: Trajectory) -> Claim:
    """Returns the claim on the bases of one series and task."""
    tokens, means, score_rows = bases(trajectory)
    status, reason = _close_state(trajectory, tokens)
    if status == "measured" and (mixed := differing_coordinates(score_rows) or schedule(evidence, score_rows).mixed):
        status, reason = "mixed", mixed
    levels = close_levels(tokens, means) if status == "measured" else None
    return _claim(evidence, trajectory, levels, (status, reason), "base", "close checkpoints at the end, detrended")


def bases(trajectory: Trajectory) -> tuple[Floats, Floats, list[ScoreRow]]:
    """Returns (tokens or steps, mean scores, score rows) of all trained bases scored like those of the trajectory.

    These include bases without a tuned model.
    """
    asked = trajectory.source.where(
        metric=trajectory.metric, series=trajectory.tuning.series, tuned_on="none", format=trajectory.format
    )
    asked = fewest_shots(asked)
    tokens = np.array(along(asked.score_rows)[0], dtype=float)
    order = [at for at in np.argsort(tokens).tolist() if tokens[at] > 0]
    return tokens[order], asked.values[order].mean(axis=1), [asked.score_rows[at] for at in order]


def close_levels(tokens: Floats, means: Floats) -> Levels:
    """Returns levels with the close checkpoints at the end as one level; noise is around their linear trend."""
    close = _close(tokens)
    variance, df = detrended(tokens[close], means[close])
    levels, runs = np.append(means[~close], means[close].mean()), np.ones(int((~close).sum()) + 1)
    runs[-1] = close.sum()
    return Levels(levels, runs, variance, df)


def _close(tokens: Floats) -> Bools:
    """Returns which checkpoints are near-replicates of the last one."""
    return np.asarray(tokens >= CLOSE * tokens[-1])


def _close_state(trajectory: Trajectory, tokens: Floats) -> EvidenceStatus:
    close = int(_close(tokens).sum()) if len(tokens) else 0
    if close < FEWEST_CLOSE:
        return "insufficient", (
            f"No close checkpoints: {counted(close, 'trained checkpoint')} in the last tenth of the {trajectory.unit}, "
            f"and the noise of a base needs {FEWEST_CLOSE}. Between checkpoints further apart there is trend as well."
        )
    if len(tokens) - close + 1 < MIN_CHECKPOINTS:
        return "insufficient", f"{counted(len(tokens) - close, 'checkpoint')} besides the close ones at the end."
    return evidence_status(trajectory)


def _claim(
    evidence: Evidence, trajectory: Trajectory, levels: Levels | None, status: EvidenceStatus, kind: str, noise: str
) -> Claim:
    state_of, reason = status
    if levels and levels.variance <= 0:
        state_of, reason = "degenerate", "Runs that should differ by noise score exactly alike."
    signal = levels.signal() if levels and state_of == "measured" else None
    conditions = levels.conditions() if levels and signal else []
    holds = all(condition.p_two_sided() <= ALPHA for condition in conditions)
    open_condition = (
        ""
        if holds or kind == "base"
        else "It is not significant without some checkpoint, or on the replicated ones alone."
    )
    assumed = "The noise of bases is assumed to be that of the end at all checkpoints."
    limit = assumed if kind == "base" and signal else ""
    finding = draft_finding(
        ANALYSIS, evidence, trajectory, _sentence(trajectory, levels, signal, kind, noise), state_of, detail=kind,
        note=caveats(evidence, trajectory, reason, open_condition, limit, tuned=False),
        delta=evidence.delta.get(ANALYSIS.name, ANALYSIS.delta),  # a ratio: not on the scale of the metric
        n=len(levels.means) if levels else len(trajectory.trained),
    )  # fmt: skip
    p = max((test.p_two_sided() for test in (signal, *conditions) if test), default=1.0)
    return Claim(finding, signal, p, holds)


def _sentence(
    trajectory: Trajectory, levels: Levels | None, signal: SignalToNoise | None, kind: str, noise: str
) -> str:
    who = f"tuned on {trajectory.training_words}" if kind == "tuned" else "untuned"
    if levels is None or signal is None:
        return f"Whether the checkpoints, {who}, differ on {trajectory.name} by more than noise is not known."
    low, high = signal.interval()
    run_sd = float(np.sqrt(levels.variance))
    return (
        f"The checkpoints, {who}, lie {signal.value:.1f} times as far apart on {trajectory.name} as the noise of one "
        f"run (standard deviation {run_sd:.3f}, from {noise}; 95 % interval {low:.1f} to {high:.1f}; plain range over "
        f"noise {np.ptp(levels.means) / run_sd:.1f})."
    )


ANALYSIS = Analysis(
    name="noise",
    question="Do checkpoints differ by more than the noise of one run?",
    family="noise",
    delta=1.0,
    unit="checkpoints",
    formula="√(variance between checkpoints beyond noise / variance of one run), by inversion of the non-central F, "
    "also without any one checkpoint and among replicated ones; noise from tuning seeds (tuned) or from close last "
    "checkpoints, detrended (bases)",
    source="Heineman et al., arXiv 2508.13144, with the standard deviation beyond noise in place of the range",
    run=run,
)
