"""Does the wording of a question matter, before and after tuning, and does more pre-training ease it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amuro.analysis import Analysis, Evidence
from amuro.findings import Points, Standing, blank, draft, limits, point, reading
from amuro.panels import MIN_CHECKPOINTS, Ladder, fewest_shots, ladders, state, trend_state
from amuro.stats.bootstrap import cluster_draws
from amuro.stats.clustered import Floats, Ints, clustered_mean
from amuro.stats.estimate import Estimate, combine
from amuro.stats.runs import RunNoise, run_noise
from amuro.stats.spread import Spread, between, logit_covariance, logit_stretch, logits, spread
from amuro.stats.trend import change_weights
from amuro.types import Finding
from amuro.verdicts import Claim, settle

CEILING = 0.97
"""Score from which a format has too few errors left for its log odds to be compared over checkpoints."""


@dataclass(frozen=True)
class Asked:
    """One model, or the mean of several tunings, asked in every format."""

    step: int
    tokens: float
    runs: Floats
    """(tuning seeds, F, n); one seed for a base."""

    @property
    def values(self) -> Floats:
        """(F, n): mean over tuning seeds."""
        return np.asarray(self.runs.mean(axis=0))


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Three findings a tuned task: sensitivity before tuning, after it, and its easing over checkpoints."""
    found = [one for one in ladders(evidence, ["in_domain"]) if one.metric in ("accuracy", "exact_match")]
    claims = [claim for one in found for claim in _claims(evidence, one, rng)]
    return settle(claims) or [blank(ANALYSIS, evidence, "No tuned model was asked in more than one format.", "not run")]


def _claims(evidence: Evidence, found: Ladder, rng: np.random.Generator) -> list[Claim]:
    formats = _formats(found)
    if len(formats) < 2:
        return []
    bases, tuned = _asked(found, formats, tuned=False), _asked(found, formats, tuned=True)
    if not tuned or not bases:
        return []
    chance = evidence.tasks[found.task].chance or 0.0
    points = _points(found, formats, bases, tuned, chance)
    noise = _run_noise(tuned, chance, found.clusters)
    return [
        _at_latest(evidence, found, formats, bases[-1], chance, None, points, "before"),
        _at_latest(evidence, found, formats, tuned[-1], chance, noise, points, "after"),
        _easing(evidence, found, tuned, chance, noise, points, rng),
    ]


def _formats(found: Ladder) -> list[str]:
    """Formats in which both the latest base and the latest tuned model were asked."""
    latest = found.source.where(series=found.tuning.series, metric=found.metric, step=int(found.steps[-1]))
    tuned = latest.where(tuned_on=found.tuning.tuned_on, recipe=found.tuning.recipe)
    return sorted(tuned.all("format") & latest.where(tuned_on="none").all("format"))


def _asked(found: Ladder, formats: list[str], *, tuned: bool) -> list[Asked]:
    """The models of a ladder that were asked in all formats, step by step."""
    line = found.tuning._asdict() if tuned else {"tuned_on": "none", "series": found.tuning.series}
    source = fewest_shots(found.source.where(metric=found.metric, **line))
    asked = []
    for step, tokens in zip(found.steps.tolist(), found.tokens.tolist(), strict=True):
        of_step = source.where(step=step)
        seeds = [of_step.where(tune_seed=seed) for seed in sorted(of_step.all("tune_seed"))]
        whole = [seed for seed in seeds if seed.all("format") >= set(formats)]
        if whole:
            stacked = [[seed.where(format=wording).values[0] for wording in formats] for seed in whole]
            asked.append(Asked(step, tokens, np.array(stacked)))
    return asked


def _run_noise(tuned: list[Asked], chance: float, clusters: Ints) -> RunNoise | None:
    """Noise of runs of a format's logit beside the other formats, pooled over replicated checkpoints.

    Scores are taken to logits at the mean of their seeds (delta method); what is common to all formats of a run is
    taken out, so that a run which is better in every format is no noise here.
    """
    groups, df = [], 0
    for asked in tuned:
        seeds, F, n = asked.runs.shape
        if asked.tokens <= 0 or seeds < 2:
            continue
        stretched = asked.runs * logit_stretch(asked.values.mean(axis=1), chance, n)[None, :, None]
        beside = stretched - stretched.mean(axis=1, keepdims=True)
        groups += list(beside.transpose(1, 0, 2))
        df += (seeds - 1) * (F - 1)
    noise = run_noise(groups, clusters)
    # Centring over formats leaves F − 1 of F free.
    return RunNoise(noise.variance * noise.df / df, noise.sampling * noise.df / df, df) if noise else None


def measure(asked: Asked, clusters: Ints, chance: float, noise: RunNoise | None) -> Spread:
    """Between-format variance of one model's logits beyond paired sampling noise and the noise of tuning runs."""
    F, n = asked.values.shape
    covariance = logit_covariance(asked.values, clusters, chance)
    sampling = float(np.trace((np.eye(F) - 1 / F) @ covariance)) / (F - 1)
    items = sampling, float(len(np.unique(clusters)) - 1)
    together = combine(0.0, noise.parts(items, [1.0], [len(asked.runs)]) if noise else [items])
    covariance = covariance + (together.se**2 - sampling) * np.eye(F)
    return spread(logits(asked.values.mean(axis=1), chance, n), covariance, together.df)


def _at_latest(evidence: Evidence, found: Ladder, formats: list[str], asked: Asked, chance: float,
               noise: RunNoise | None, points: Points, when: str) -> Claim:  # fmt: skip
    scores = asked.values.mean(axis=1)
    standing, reason = state(found)
    if standing == "measured":
        standing, reason = _room(asked, found, chance)
    variance = measure(asked, found.clusters, chance, noise)
    easiest, hardest = formats[int(scores.argmax())], formats[int(scores.argmin())]
    sentence = (
        f"{when.capitalize()} tuning on {found.tuning.tuned_on}, the checkpoint at step {asked.step} scores "
        f"{scores.min():.2f} ({hardest}) to {scores.max():.2f} ({easiest}) on {found.name} in {len(formats)} formats: "
        f"between-format variance {reading(variance)} (squared log odds)."
    )
    note = limits(evidence, found, reason, "These formats are fixed: nothing follows for others.")
    finding = draft(
        ANALYSIS, evidence, found, sentence, standing, note=note, points=points, detail=when, delta=_delta(evidence)
    )
    return Claim(finding, variance)


def _room(asked: Asked, found: Ladder, chance: float) -> Standing:
    """The best format must clear chance, and some format must leave errors."""
    means = asked.values.mean(axis=1)
    best = clustered_mean(asked.values[int(means.argmax())], found.clusters)
    if best.interval()[0] <= chance:
        return "insufficient", "The best format does not clear chance."
    if means.min() > CEILING:
        return "insufficient", "All formats are at the ceiling."
    return "measured", ""


def _comparable(asked: Asked, found: Ladder, chance: float) -> bool:
    """Every format clears chance and is off the ceiling, so that log odds mean the same at each checkpoint."""
    lows = [clustered_mean(values, found.clusters).interval()[0] for values in asked.values]
    return min(lows) > chance and float(asked.values.mean(axis=1).max()) <= CEILING


def _easing(evidence: Evidence, found: Ladder, tuned: list[Asked], chance: float, noise: RunNoise | None,
            points: Points, rng: np.random.Generator) -> Claim:  # fmt: skip
    used = [asked for asked in tuned if asked.tokens > 0 and _comparable(asked, found, chance)]
    standing, reason = trend_state(found)
    if len(used) < MIN_CHECKPOINTS:
        standing, estimate = ("mixed" if standing == "mixed" else "insufficient"), None
        sentence = (
            f"Only at {len(used)} trained checkpoints do all formats of {found.name} lie between chance and ceiling "
            f"after tuning: whether pre-training eases the sensitivity to formats needs {MIN_CHECKPOINTS}."
        )
    else:
        estimate = easing(used, found, chance, noise, rng)
        sentence = (
            f"In this pre-training run the between-format variance of {found.task} after tuning falls by "
            f"{reading(estimate)} (squared log odds) over the observed log tokens."
        )
    note = limits(evidence, found, reason, "These formats are fixed: nothing follows for others.")
    finding = draft(ANALYSIS, evidence, found, sentence, standing, note=note, points=points, detail="easing",
                    n=len(used), delta=_delta(evidence))  # fmt: skip
    return Claim(finding, estimate)


def easing(
    used: list[Asked], found: Ladder, chance: float, noise: RunNoise | None, rng: np.random.Generator
) -> Estimate:
    """Fall of the between-format variance over the span of log tokens; clusters and run noise are drawn anew."""
    weights = -change_weights([asked.tokens for asked in used])
    value = float(weights @ [measure(asked, found.clusters, chance, noise).value for asked in used])
    F, n = used[0].values.shape
    rows = np.concatenate([asked.values for asked in used])
    drawn = logits(cluster_draws(rows, found.clusters, rng).reshape(-1, len(used), F), chance, n)
    parts = [(float((between(drawn) @ weights).var()), float(found.source.groups - 1))]
    if noise is not None:
        beyond = max(noise.variance - noise.sampling, 0.0)
        scatter = np.sqrt(beyond / np.array([len(asked.runs) for asked in used]))[:, None]
        levels = logits(rows.mean(axis=1).reshape(len(used), F), chance, n)
        by_runs = between(levels + scatter * rng.normal(size=(len(drawn), len(used), F))) @ weights
        parts.append((float(by_runs.var()), float(noise.df)))
    return combine(value, parts)


def _delta(evidence: Evidence) -> float:
    return evidence.delta.get(ANALYSIS.name, ANALYSIS.delta)


def _points(found: Ladder, formats: list[str], bases: list[Asked], tuned: list[Asked], chance: float) -> Points:
    """The score in each format at each checkpoint, before and after tuning."""
    return tuple(
        point(
            f"{wording}, {who}",
            clustered_mean(values, found.clusters),
            tokens=asked.tokens,
            step=asked.step,
            chance=chance,
        )
        for who, models in (("base", bases), (f"tuned on {found.tuning.tuned_on}", tuned))
        for asked in models
        for wording, values in zip(formats, asked.values, strict=True)
    )


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
