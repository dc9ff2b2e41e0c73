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
from amuro.results.trajectory import Trajectory, longest, trajectories
from amuro.results.verdicts import ALPHA, Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Two findings a tuned task: the gain, and the growth of the gap over pre-training, that would be told from 0."""
    every = trajectories(evidence, ["in_domain"])
    followed = longest(every)
    claims = [_of_gain(evidence, found, len(every)) for found in every]
    claims += [_of_trend(evidence, found, len(followed)) for found in followed]
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _of_gain(evidence: Evidence, found: Trajectory, family: int) -> Claim:
    last = found.at(-1)
    seeds = counted(int(found.seeds[-1]), "tuning seed")
    resting = f"{counted(len(found.examples), 'example')} in {found.source.groups} clusters and {seeds}"
    what = f"a gain{found.by} on {found.name}", resting
    return _claim(evidence, found, GAIN, last, tuned_status(found), family, what)


def _of_trend(evidence: Evidence, found: Trajectory, family: int) -> Claim:
    status = trend_status(evidence, found)
    status = tuned_status(found) if status[0] == "measured" else status
    if len(found.trained) < 2:
        return _claim(evidence, found, LATENT_GAIN, None, status, family, ("", ""))
    weights = found.over_training(change_weights(found.tokens[found.trained]))
    replicated = counted(len(found.replicated), "replicated one")
    resting = f"{counted(len(found.trained), 'trained checkpoint')}, {replicated} among them"
    what = f"a growth of the gap between tuned{found.by} and base on {found.name}", resting
    return _claim(evidence, found, LATENT_GAIN, weights, status, family, what)


def _claim(
    evidence: Evidence, found: Trajectory, target: Analysis, weights: Floats | None, status: EvidenceStatus,
    family: int, what: tuple[str, str],
) -> Claim:  # fmt: skip
    state, reason = status
    estimate = None if weights is None else found.contrast(weights, -weights)
    if estimate is not None and estimate.variance <= 0 and state == "measured":
        state, reason = "degenerate", "Nothing varies, between examples or between runs."
    aim = smallest_effect(target, evidence, found)
    margin = None
    if weights is not None and estimate is not None and estimate.variance > 0:
        of_items = variance_df(weights @ (found.tuned - found.base), found.clusters)
        known = (of_items, *(df for _, df in estimate.parts[1:]))
        margin = Margin(aim, estimate.parts, ALPHA / family, known=known)
    after = f" of tuning{found.by}" if found.by else ""
    unseen = f"What can be seen{after} on {found.name} cannot be said."
    sentence = _sentence(*what, margin, family) if margin else unseen
    note = caveats(evidence, found, reason, _to_be_supported(margin) if margin else "")
    finding = draft_finding(
        ANALYSIS, evidence, found, sentence, state, detail=target.name, note=note, delta=0.0, points=(),
        n=found.source.groups if target is GAIN else len(found.trained),
        unit=target.unit,
    )  # fmt: skip
    return Claim(finding, margin if state == "measured" else None)


def _sentence(what: str, resting: str, margin: Margin, family: int) -> str:
    low, high = margin.detectable_interval()
    corrected = f", corrected for {family} tunings" if family > 1 else ""
    return (
        f"On {resting}, {what} of {margin.detectable:.2f} (95 % interval {low:.2f} to {high:.2f}) would be told from 0 "
        f"in {100 * POWER:.0f} % of such studies{corrected}; the smallest effect of interest is {margin.delta:.2f}."
    )


def _to_be_supported(margin: Margin) -> str:
    """*Supported* asks besides that the estimate reaches δ, which an effect of just δ does half of the time."""
    return f"To be supported in {100 * POWER:.0f} % it must be {margin.supported_from:.2f}: its estimate must reach δ."


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
