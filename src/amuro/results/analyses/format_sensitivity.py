"""Does the wording of a question matter, before and after tuning, and does more pre-training ease it?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import (
    EvidenceStatus,
    Points,
    blank,
    caveats,
    counted,
    draft_finding,
    effect_text,
    evidence_status,
    score_point,
    trend_status,
)
from amuro.results.score_matrix import ScoreRow, fewest_shots
from amuro.results.stats.bootstrap import cluster_draws
from amuro.results.stats.clustered import Floats, Ints, Means, clustered_mean, clustered_means, degrees
from amuro.results.stats.estimate import Estimate, combine, satterthwaite
from amuro.results.stats.runs import RunNoise, run_noise
from amuro.results.stats.spread import Spread, between, logit_covariance, logit_stretch, logits, spread
from amuro.results.stats.trend import change_weights
from amuro.results.trajectory import MIN_CHECKPOINTS, Trajectory, by_set, differences, fullest, longest, trajectories
from amuro.results.verdicts import Claim, decide_verdicts
from amuro.series.base import checkpoint_words

CEILING = 0.97
"""Score from which a format has too few errors left for its log odds to be compared over checkpoints."""
FIXED = "These formats are fixed: nothing follows for others."


@dataclass(frozen=True)
class Asked:
    """One model, or the mean of several tunings, asked in every format."""

    step: int
    tokens: float
    runs: Floats
    """(tuning seeds, F, n); one seed for a base."""
    clusters: Ints
    chance: float
    score_rows: tuple[ScoreRow, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """Addresses of the cells that were asked."""
        return tuple(score_row["cell"] for score_row in self.score_rows)

    @cached_property
    def means(self) -> Means:
        """Score in each format (F,), averaged over tuning seeds."""
        return clustered_means(self.runs.mean(axis=0), self.clusters)

    @property
    def logits(self) -> Floats:
        """(F,) log odds above chance."""
        return logits(self.means.value, self.chance, self.runs.shape[2])

    def score(self, wording: int) -> Estimate:
        """Score in one format."""
        return self.means.contrast(np.eye(self.runs.shape[1])[wording])

    @property
    def comparable(self) -> bool:
        """Every format clears chance and is off the ceiling, so that log odds mean the same at each checkpoint."""
        if self.means.groups < 2:
            return False
        lows = [self.score(wording).interval()[0] for wording in range(self.runs.shape[1])]
        return min(lows) > self.chance and float(self.means.value.max()) <= CEILING


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Of each task its sensitivity before tuning; and of each recipe that after it, and its easing over checkpoints."""
    found = [one for one in longest(trajectories(evidence, ["in_domain"])) if one.facts.share]
    claims = [claim for alike in by_set(found) for claim in _claims(evidence, alike, rng)]
    return decide_verdicts(claims) or [
        blank(ANALYSIS, evidence, "No tuned model was asked in more than one format.", "not run")
    ]


def _claims(evidence: Evidence, alike: Sequence[Trajectory], rng: np.random.Generator) -> list[Claim]:
    """The claim about the bases, once for all recipes: on those that were asked in the most formats."""
    known = [one for one in map(_worded, alike) if one is not None]
    if not known:
        return []
    most = max(len(one.formats) for one in known)
    widest = fullest([one.found for one in known if len(one.formats) == most])
    base = next(one for one in known if one.found is widest)
    claims = [_at_latest(evidence, base, base.bases[-1], None, "before")]
    for one in known:
        noise = _run_noise(one.tuned)
        claims += [_at_latest(evidence, one, one.tuned[-1], noise, "after"), _format_trend(evidence, one, noise, rng)]
    return claims


@dataclass(frozen=True)
class Worded:
    """A trajectory whose bases and tuned models were asked in several formats."""

    found: Trajectory
    formats: list[str]
    bases: list[Asked]
    tuned: list[Asked]

    @cached_property
    def points(self) -> Points:
        """The score in each format at each checkpoint, before and after tuning."""
        return tuple(
            score_point(self.found, f"{wording}, {who}", one.score(place), **self.found.place(one.step, one.tokens))
            for who, models in (("base", self.bases), (f"tuned on {self.found.training_words}", self.tuned))
            for one in models
            for place, wording in enumerate(self.formats)
        )


def _worded(found: Trajectory) -> Worded | None:
    formats = _formats(found)
    bases, tuned = (_asked(found, formats, found.floor, line) for line in (_BASE, found.tuning._asdict()))
    return Worded(found, formats, bases, tuned) if len(formats) > 1 and tuned and bases else None


_BASE = {"tuned_on": "none"}


def _formats(found: Trajectory) -> list[str]:
    """Formats in which both the latest base and the latest tuned model were asked."""
    latest = found.source.where(series=found.tuning.series, metric=found.metric, step=int(found.steps[-1]))
    return sorted(latest.where(**found.tuning._asdict()).all("format") & latest.where(**_BASE).all("format"))


def _asked(found: Trajectory, formats: list[str], chance: float, line: Mapping[str, str]) -> list[Asked]:
    """The models of a line that were asked in all formats, step by step."""
    source = fewest_shots(found.source.where(**{"metric": found.metric, "series": found.tuning.series, **line}))
    asked = []
    for step, tokens in zip(found.steps.tolist(), found.tokens.tolist(), strict=True):
        of_step = source.where(step=step)
        seeds = [of_step.where(tune_seed=seed) for seed in sorted(of_step.all("tune_seed"))]
        whole = [seed for seed in seeds if seed.all("format") >= set(formats)]
        if whole:
            stacked = [[seed.where(format=wording).values[0] for wording in formats] for seed in whole]
            score_rows = tuple(
                score_row for seed in whole for score_row in seed.score_rows if score_row["format"] in formats
            )
            asked.append(Asked(step, tokens, np.array(stacked), found.clusters, chance, score_rows))
    return asked


def _run_noise(tuned: list[Asked]) -> RunNoise | None:
    """Noise of runs of a format's logit beside the other formats, pooled over replicated checkpoints.

    Scores are taken to logits at the mean of their seeds (delta method); what is common to all formats of a run is
    taken out, so that a run which is better in every format is no noise here.
    """
    groups, df = [], 0
    for asked in tuned:
        seeds, F, n = asked.runs.shape
        if asked.tokens <= 0 or seeds < 2:
            continue
        stretched = asked.runs * logit_stretch(asked.means.value, asked.chance, n)[None, :, None]
        groups += list((stretched - stretched.mean(axis=1, keepdims=True)).transpose(1, 0, 2))
        df += (seeds - 1) * (F - 1)
    noise = run_noise(groups, tuned[0].clusters)
    # Centring over formats leaves F − 1 of F free.
    return RunNoise(noise.variance * noise.df / df, noise.sampling * noise.df / df, df) if noise else None


def measure(asked: Asked, noise: RunNoise | None) -> Spread:
    """Between-format variance of one model's logits beyond paired sampling noise and the noise of tuning runs."""
    seeds, F, n = asked.runs.shape
    covariance = logit_covariance(asked.means, asked.chance, n)
    sampling = float(np.trace((np.eye(F) - 1 / F) @ covariance)) / (F - 1)
    items = sampling, degrees(asked.means.groups)
    parts = noise.parts(items, [1.0], [seeds]) if noise else [items]
    beyond = sum(variance for variance, _ in parts) - sampling
    return spread(asked.logits, covariance + beyond * np.eye(F), satterthwaite(parts))


def _at_latest(evidence: Evidence, worded: Worded, asked: Asked, noise: RunNoise | None, when: str) -> Claim:
    found, formats = worded.found, worded.formats
    scores, (room, why) = asked.means.value, _room(asked)
    status, reason = evidence_status(found)
    if mixed := differences(asked.score_rows):
        status, reason = "mixed", mixed
    if status == "measured":
        status, reason = room, why
    variance = measure(asked, noise) if room == "measured" else None
    told = f": between-format variance {effect_text(variance)} (squared log odds)" if variance else ""
    easiest, hardest = formats[int(scores.argmax())], formats[int(scores.argmin())]
    best, worst = found.score(scores.max(keepdims=True)), found.score(scores.min(keepdims=True))
    sentence = (
        f"{when.capitalize()} tuning on {_training_words(found, when)}, {checkpoint_words(asked.step)} scores "
        f"{worst:.2f} ({hardest}) to {best:.2f} ({easiest}) on {found.name} in {len(formats)} "
        f"formats{told}{_alike(asked)}."
    )
    note = caveats(evidence, found, reason, FIXED, tuned=when == "after")
    finding = draft_finding(ANALYSIS, evidence, found, sentence, status, note=note, points=worded.points, detail=when,
                    delta=_delta(evidence), cells=asked.cells)  # fmt: skip
    return Claim(finding, variance)


def _training_words(found: Trajectory, when: str) -> str:
    return found.training_words if when == "after" else found.tuning.tuned_on


def _alike(asked: Asked) -> str:
    """The share of examples that come out the same in every format, beside that of formats without any tie."""
    if not np.isin(asked.runs, (0.0, 1.0)).all():
        return ""
    alike = clustered_mean((np.ptp(asked.runs, axis=1) == 0).mean(axis=0), asked.clusters)
    right = asked.means.value
    low, high = alike.interval()
    return (
        f"; {alike.value:.0%} of examples come out alike in all (95 % interval {low:.0%} to {high:.0%}), "
        f"{right.prod() + (1 - right).prod():.0%} if each format went its own way"
    )


def _room(asked: Asked) -> EvidenceStatus:
    """The best format must clear chance, and some format must leave errors; both over several clusters."""
    if math.isnan(asked.chance):
        return "insufficient", "What guesses score is not known."
    if asked.means.groups < 2:
        return "insufficient", "One cluster of examples has no spread."
    if asked.score(int(asked.means.value.argmax())).interval()[0] <= asked.chance:
        return "insufficient", "The best format does not clear chance."
    if asked.means.value.min() > CEILING:
        return "insufficient", "All formats are at the ceiling."
    return "measured", ""


def _format_trend(evidence: Evidence, worded: Worded, noise: RunNoise | None, rng: np.random.Generator) -> Claim:
    found, tuned = worded.found, worded.tuned
    used = [asked for asked in tuned if asked.tokens > 0 and asked.comparable]
    status, reason = trend_status(evidence, found)
    if mixed := differences([score_row for asked in used for score_row in asked.score_rows]):
        status, reason = "mixed", mixed
    if len(used) < MIN_CHECKPOINTS:
        status, estimate = ("mixed" if status == "mixed" else "insufficient"), None
        sentence = (
            f"At {counted(len(used), 'trained checkpoint')} all formats of {found.name} lie between chance and ceiling "
            f"after tuning{found.by}: whether pre-training eases the sensitivity to formats needs {MIN_CHECKPOINTS}."
        )
    else:
        estimate = format_trend(used, noise, rng)
        sentence = (
            f"In this pre-training run the fall of the between-format variance of {found.called} after "
            f"tuning{found.by}, from the first to the last checkpoint (log {found.unit}), is {effect_text(estimate)} "
            "(squared log odds)."
        )
    note, cells = caveats(evidence, found, reason, FIXED), tuple(cell for asked in tuned for cell in asked.cells)
    finding = draft_finding(ANALYSIS, evidence, found, sentence, status, detail="trend", note=note,
                            points=worded.points, n=len(used), unit="checkpoints", delta=_delta(evidence),
                            cells=cells)  # fmt: skip
    return Claim(finding, estimate)


def format_trend(used: list[Asked], noise: RunNoise | None, rng: np.random.Generator) -> Estimate:
    """Fall of the between-format variance over the span of log tokens; clusters and run noise are drawn anew."""
    weights = -change_weights([asked.tokens for asked in used])
    value = float(weights @ [measure(asked, noise).excess for asked in used])
    _, F, n = used[0].runs.shape
    rows = np.concatenate([asked.runs.mean(axis=0) for asked in used])
    means = cluster_draws(rows, used[0].clusters, rng).reshape(-1, len(used), F)
    drawn = between(logits(means, used[0].chance, n)) @ weights
    parts = [(float(drawn.var()), degrees(used[0].means.groups))]
    if noise is not None:
        beyond = noise.beyond
        scatter = np.sqrt(beyond / np.array([len(asked.runs) for asked in used]))[:, None]
        shaken = np.array([asked.logits for asked in used]) + scatter * rng.normal(size=(len(drawn), len(used), F))
        parts.append((float((between(shaken) @ weights).var()), float(noise.df)))
    return combine(value, parts)


def _delta(evidence: Evidence) -> float:
    return evidence.delta.get(ANALYSIS.name, ANALYSIS.delta)


ANALYSIS = Analysis(
    name="format_sensitivity",
    question="Does the wording of a question matter, and does more pre-training ease it?",
    family="format sensitivity",
    delta=0.1,
    unit="clusters",
    formula="variance between formats of log odds above chance − tr(CΣ)/(F−1), Σ = paired sampling and run noise; "
    "easing = −slope over log tokens × span of that variance, where all formats clear chance and the ceiling",
    source="Sun & Dredze 2024, finding 2; spread after arXiv 2310.11324; Box 1954 (quadratic forms)",
    run=run,
)
