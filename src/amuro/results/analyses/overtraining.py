"""Does more pre-training make the tuned model worse?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import (
    EvidenceStatus,
    blank,
    caveats,
    counted,
    draft_finding,
    effect_text,
    smallest_effect,
    trend_status,
    tuned_status,
)
from amuro.results.saturation import Saturation, saturation, schedule, trained_rows
from amuro.results.stats.clustered import Floats
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.trend import change_weights, without_each
from amuro.results.trajectory import Trajectory, trajectories
from amuro.results.verdicts import Claim, decide_verdicts

LEAST = 10
"""Trained checkpoints: half of them, less one, must still make a trend."""
ROLES = ("in_domain", "out_of_domain", "facts", "cross_task", "corpus")


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a tuned task and evaluation set; sets that are followed too briefly share one a series."""
    every = trajectories(evidence, ROLES)
    claims = [_claim(evidence, found, rng) for found in every if len(found.trained) >= LEAST]
    claims += _short(evidence, every)
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, "No tuned model was asked anything.", "not run")]


def _short(evidence: Evidence, every: list[Trajectory]) -> Iterator[Claim]:
    """What has too few checkpoints, said once a series."""
    long = {(f.tuning.series, f.task, f.split) for f in every if len(f.trained) >= LEAST}
    brief: dict[str, list[Trajectory]] = defaultdict(list)
    for found in every:
        if (found.tuning.series, found.task, found.split) not in long:
            brief[found.tuning.series].append(found)
    for series, those in brief.items():
        most, sets = max(len(f.trained) for f in those), len({f.name for f in those})
        sentence = (
            f"{counted(most, 'trained checkpoint')} of {series} at most, on {counted(sets, 'evaluation set')}: whether "
            f"more pre-training makes a tuned model worse needs {LEAST}."
        )
        name = f"{ANALYSIS.name}.{series}".lower()
        yield Claim(blank(ANALYSIS, evidence, sentence, "insufficient", id=name, series=series, n=most), None)


def later(found: Trajectory) -> Floats:
    """Weights (T,) of the change over the later half of the trained checkpoints, which is fixed before any score."""
    return _weights(found, change_weights(found.tokens[_half(found)]))


def _half(found: Trajectory) -> np.ndarray:
    return np.asarray(found.trained[len(found.trained) // 2 :])


def _weights(found: Trajectory, of_half: Floats) -> Floats:
    full = np.zeros(len(found.steps))
    full[_half(found)] = of_half
    return full


def _claim(evidence: Evidence, found: Trajectory, rng: np.random.Generator) -> Claim:
    weights, none = later(found), np.zeros(len(found.steps))
    fall, base = found.contrast(-weights, none), found.contrast(none, -weights)
    without = [_weights(found, w) for w in without_each(found.tokens[_half(found)])]
    worst = max(found.contrast(-w, none).p_two_sided() for w in without)
    holds = all(found.contrast(-w, none).interval()[0] > 0 for w in without)
    status, reason = _status(evidence, found)
    delta = smallest_effect(ANALYSIS, evidence, found)
    level = saturation(found, delta, rng) if status == "measured" else None
    doubt = "" if holds or fall.interval()[0] <= 0 else "Without one of these checkpoints it does not surely fall."
    note = caveats(evidence, found, reason, doubt, level.refused if level else "")
    sentence = " ".join([_sentence(evidence, found, fall, base, delta), *_told(level)])
    finding = draft_finding(ANALYSIS, evidence, found, sentence, status, note=note, n=len(_half(found)))
    return Claim(finding, fall, max(fall.p_two_sided(), worst), holds)


def _status(evidence: Evidence, found: Trajectory) -> EvidenceStatus:
    status, reason = trend_status(evidence, found)
    return tuned_status(found) if status == "measured" else (status, reason)


def _sentence(evidence: Evidence, found: Trajectory, fall: Estimate, base: Estimate, delta: float) -> str:
    first, last, way = _half(found)[0], -1, schedule(evidence, trained_rows(found))
    return (
        f"In this pre-training run, {way.words}, the later half of the trained checkpoints takes {found.metric} on "
        f"{found.name}, once tuned on {found.training_words}, {found.from_to(found.tuned[first], found.tuned[last])} "
        f"(lost over these log {found.unit}: {effect_text(fall)}); "
        f"{_of_base(base, delta)}."
    )


def _of_base(fall: Estimate, delta: float) -> str:
    low, high = fall.interval()
    if low > 0:
        return f"the base falls as well ({effect_text(fall)})"
    told = "does not fall by so much as would count" if high < delta else "may fall or not"
    return f"the base {told} ({effect_text(fall)})"


def _told(level: Saturation | None) -> list[str]:
    return [level.sentence] if level and level.sentence else []


ANALYSIS = Analysis(
    name="overtraining",
    question="Does more pre-training make the tuned model worse?",
    family="overtraining",
    delta=0.05,
    unit="checkpoints",
    formula="− slope over log tokens × span of the tuned score over the later half of the trained checkpoints > 0, "
    "also without any one of them; one state of the learning-rate schedule",
    source="Springer et al., arXiv 2503.19206 (catastrophic overtraining); learning-rate decay: arXiv 2604.13627",
    run=run,
)
