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
from amuro.results.trajectory import (
    MIN_CHECKPOINTS,
    Bools,
    Trajectory,
    along,
    by_set,
    differences,
    fullest,
    longest,
    trajectories,
)
from amuro.results.verdicts import ALPHA, Claim, decide_verdicts

CLOSE = 0.9
"""Bases from this share of the last one's tokens on are near-replicates of it, once their own trend is taken off."""
FEWEST_CLOSE = 3
"""One more than a straight line needs."""


class Levels(NamedTuple):
    """Mean scores of checkpoints, and the noise of one run."""

    means: Floats
    """(T,)"""
    runs: Floats
    """(T,) runs that each is the mean of."""
    variance: float
    """Of one run."""
    df: float

    def signal(self) -> SignalToNoise:
        return signal_to_noise(self.means, self.variance, self.runs, self.df)

    def of(self, places: Ints) -> Levels:
        """Some of the levels, beside the same noise."""
        return self._replace(means=self.means[places], runs=self.runs[places])

    def conditions(self) -> list[SignalToNoise]:
        """What must show a signal as well: the levels without any one of them, so that one stray makes none, and those
        of several runs alone, since only there the noise was seen.
        """
        every, several = np.arange(len(self.means)), np.flatnonzero(self.runs > 1)
        fewer = [np.delete(every, place) for place in every]
        return [self.of(places).signal() for places in (*fewer, several) if len(places) > 1]


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a recipe, its tuned models against the noise of seeds; and one a task, its bases against close
    checkpoints.
    """
    claims = []
    for alike in by_set(longest(trajectories(evidence, ["in_domain"]))):
        claims += [_of_tuned(evidence, one) for one in alike]
        claims.append(_of_bases(evidence, fullest(alike)))
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _of_tuned(evidence: Evidence, found: Trajectory) -> Claim:
    status, reason = trend_status(evidence, found)
    if status == "measured":
        status, reason = tuned_status(found)
    at = found.trained
    levels = (
        Levels(found.tuned[at].mean(axis=1), found.seeds[at].astype(float), found.noise.variance, float(found.noise.df))
        if found.noise and status == "measured"
        else None
    )
    return _claim(evidence, found, levels, (status, reason), "tuned", "tuning seeds")


def _of_bases(evidence: Evidence, found: Trajectory) -> Claim:
    tokens, means, score_rows = bases(found)
    status, reason = _close_state(found, tokens)
    if status == "measured" and (mixed := differences(score_rows) or schedule(evidence, score_rows).mixed):
        status, reason = "mixed", mixed
    levels = close_levels(tokens, means) if status == "measured" else None
    return _claim(evidence, found, levels, (status, reason), "base", "close checkpoints at the end, detrended")


def bases(found: Trajectory) -> tuple[Floats, Floats, list[ScoreRow]]:
    """(tokens or steps, mean scores, score rows) of every trained base that was scored like those of the trajectory."""
    asked = found.source.where(metric=found.metric, series=found.tuning.series, tuned_on="none", format=found.format)
    asked = fewest_shots(asked)
    tokens = np.array(along(asked.score_rows)[0], dtype=float)
    order = [at for at in np.argsort(tokens).tolist() if tokens[at] > 0]
    return tokens[order], asked.values[order].mean(axis=1), [asked.score_rows[at] for at in order]


def close_levels(tokens: Floats, means: Floats) -> Levels:
    """The close checkpoints at the end as one level, with the noise around their own line; each other one by itself."""
    close = _close(tokens)
    variance, df = detrended(tokens[close], means[close])
    levels, runs = np.append(means[~close], means[close].mean()), np.ones(int((~close).sum()) + 1)
    runs[-1] = close.sum()
    return Levels(levels, runs, variance, df)


def _close(tokens: Floats) -> Bools:
    return np.asarray(tokens >= CLOSE * tokens[-1])


def _close_state(found: Trajectory, tokens: Floats) -> EvidenceStatus:
    close = int(_close(tokens).sum()) if len(tokens) else 0
    if close < FEWEST_CLOSE:
        return "insufficient", (
            f"No close checkpoints: {counted(close, 'trained checkpoint')} in the last tenth of the {found.unit}, and "
            f"the noise of a base takes {FEWEST_CLOSE}. What lies between checkpoints further apart is trend as well."
        )
    if len(tokens) - close + 1 < MIN_CHECKPOINTS:
        return "insufficient", f"{counted(len(tokens) - close, 'checkpoint')} besides the close ones at the end."
    return evidence_status(found)


def _claim(
    evidence: Evidence, found: Trajectory, levels: Levels | None, status: EvidenceStatus, kind: str, noise: str
) -> Claim:
    state_of, reason = status
    if levels and levels.variance <= 0:
        state_of, reason = "degenerate", "Runs that should differ by noise score exactly alike."
    signal = levels.signal() if levels and state_of == "measured" else None
    conditions = levels.conditions() if levels and signal else []
    holds = all(one.p_two_sided() <= ALPHA for one in conditions)
    doubt = (
        ""
        if holds or kind == "base"
        else "Without some checkpoint, or on the replicated ones, it does not surely show."
    )
    limit = "Bases are taken to stray at all checkpoints as at the end." if kind == "base" and signal else ""
    finding = draft_finding(
        ANALYSIS, evidence, found, _sentence(found, levels, signal, kind, noise), state_of, detail=kind,
        note=caveats(evidence, found, reason, doubt, limit, tuned=False),
        delta=evidence.delta.get(ANALYSIS.name, ANALYSIS.delta),  # a ratio: not on the scale of the metric
        n=len(levels.means) if levels else len(found.trained),
    )  # fmt: skip
    p = max((one.p_two_sided() for one in (signal, *conditions) if one), default=1.0)
    return Claim(finding, signal, p, holds)


def _sentence(found: Trajectory, levels: Levels | None, signal: SignalToNoise | None, kind: str, noise: str) -> str:
    who = f"tuned on {found.training_words}" if kind == "tuned" else "as they are"
    if levels is None or signal is None:
        return f"Whether the checkpoints, {who}, differ on {found.name} by more than noise cannot be said."
    low, high = signal.interval()
    one = float(np.sqrt(levels.variance))
    return (
        f"The checkpoints, {who}, lie {signal.value:.1f} times as far apart on {found.name} as the noise of one run "
        f"(standard deviation {one:.3f}, from {noise}; 95 % interval {low:.1f} to {high:.1f}; plain range over noise "
        f"{np.ptp(levels.means) / one:.1f})."
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
