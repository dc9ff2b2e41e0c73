"""Which effects could this study have seen?"""

from __future__ import annotations

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.analyses.gain import ANALYSIS as GAIN
from amuro.results.analyses.latent_gain import ANALYSIS as LATENT_GAIN
from amuro.results.finding_text import (
    NO_HOME,
    EvidenceStatus,
    blank,
    caveats,
    counted,
    draft_finding,
    smallest_effect,
    trend_status,
    tuned_status,
)
from amuro.results.stats.clustered import Floats
from amuro.results.stats.power import POWER, Margin, variance_df
from amuro.results.stats.trend import change_weights
from amuro.results.trajectory import Trajectory
from amuro.results.trajectory_groups import longest, trajectories
from amuro.results.verdicts import ALPHA, Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns two findings per tuned task: minimum detectable effects of the gain, and of the growth of latent gain."""
    home = trajectories(evidence, ["in_domain"])
    followed = longest(home)
    claims = [_of_gain(evidence, trajectory, len(home)) for trajectory in home]
    claims += [_of_trend(evidence, trajectory, len(followed)) for trajectory in followed]
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _of_gain(evidence: Evidence, trajectory: Trajectory, family: int) -> Claim:
    """Returns the claim on the gain at the latest checkpoint; `family` gains are corrected together."""
    last = trajectory.at(-1)
    seeds = counted(int(trajectory.seeds[-1]), "tuning seed")
    resting = f"{counted(len(trajectory.examples), 'example')} in {trajectory.source.groups} clusters and {seeds}"
    what = f"a gain{trajectory.by} on {trajectory.name}", resting
    return _claim(evidence, trajectory, GAIN, last, tuned_status(trajectory), family, what)


def _of_trend(evidence: Evidence, trajectory: Trajectory, family: int) -> Claim:
    """Returns the claim on the growth of the gap between tuned and base over pre-training."""
    status = trend_status(evidence, trajectory)
    status = tuned_status(trajectory) if status[0] == "measured" else status
    if len(trajectory.trained) < 2:
        return _claim(evidence, trajectory, LATENT_GAIN, None, status, family, ("", ""))
    weights = trajectory.over_training(change_weights(trajectory.tokens[trajectory.trained]))
    replicated = counted(len(trajectory.replicated), "replicated one")
    resting = f"{counted(len(trajectory.trained), 'trained checkpoint')}, {replicated} among them"
    what = f"a growth of the gap between tuned{trajectory.by} and base on {trajectory.name}", resting
    return _claim(evidence, trajectory, LATENT_GAIN, weights, status, family, what)


def _claim(
    evidence: Evidence, trajectory: Trajectory, target: Analysis, weights: Floats | None, status: EvidenceStatus,
    family: int, what: tuple[str, str],
) -> Claim:  # fmt: skip
    state, reason = status
    estimate = None if weights is None else trajectory.contrast(weights, -weights)
    if estimate is not None and estimate.variance <= 0 and state == "measured":
        state, reason = "degenerate", "The variance is 0, between examples and between seeds."
    aim = smallest_effect(target, evidence, trajectory)
    margin = None
    if weights is not None and estimate is not None and estimate.variance > 0:
        of_items = variance_df(weights @ (trajectory.tuned - trajectory.base), trajectory.clusters)
        known = (of_items, *(df for _, df in estimate.parts[1:]))
        margin = Margin(aim, estimate.parts, ALPHA / family, known=known)
    after = f" of tuning{trajectory.by}" if trajectory.by else ""
    unknown = f"The minimum detectable effect{after} on {trajectory.name} cannot be estimated."
    sentence = _sentence(*what, margin, family) if margin else unknown
    note = caveats(evidence, trajectory, reason, _to_be_supported(margin) if margin else "")
    finding = draft_finding(
        ANALYSIS, evidence, trajectory, sentence, state, detail=target.name, note=note, delta=0.0, points=(),
        n=trajectory.source.groups if target is GAIN else len(trajectory.trained),
        unit=target.unit,
    )  # fmt: skip
    return Claim(finding, margin if state == "measured" else None)


def _sentence(what: str, resting: str, margin: Margin, family: int) -> str:
    """Returns the statement; `what` names the effect and `resting` the data behind it."""
    low, high = margin.detectable_interval()
    corrected = f"; corrected for {family} tunings" if family > 1 else ""
    return (
        f"On {resting}, the minimum detectable effect at {100 * POWER:.0f} % power is {what} of "
        f"{margin.detectable:.2f} (95 % interval {low:.2f} to {high:.2f}{corrected}); the smallest effect of interest "
        f"is {margin.delta:.2f}."
    )


def _to_be_supported(margin: Margin) -> str:
    """Returns the note on *supported*: its estimate must reach δ, which an effect of δ does half the time."""
    power = f"{100 * POWER:.0f} %"
    return f"To be supported with {power} power it must be {margin.supported_from:.2f}: its estimate must reach δ."


ANALYSIS = Analysis(
    name="detectable",
    question="Which effects could this study have seen?",
    family="detectable",
    delta=GAIN.delta,
    unit="clusters",
    formula="δ of the analysis − (t_(1−α/2m) + t_.8) · SE ≥ 0 for gain and for the growth of latent gain, m tasks; "
    "interval by Zou & Donner from the χ² limits of each variance",
    source="Miller, arXiv 2411.00640 (power analysis); Zou & Donner 2008 (`stats/power.py`)",
    run=run,
)
