"""Do scores depend on the prompt format, before and after tuning, and less so after more pre-training?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses._format_scores import CEILING, FormatScores, FormatTrajectory, in_formats
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import (
    EvidenceStatus,
    blank,
    caveats,
    counted,
    draft_finding,
    effect_text,
    evidence_status,
    trend_status,
)
from amuro.results.stats.bootstrap import cluster_draws
from amuro.results.stats.clustered import clustered_mean, degrees
from amuro.results.stats.estimate import Estimate, combine, satterthwaite
from amuro.results.stats.runs import RunNoise, run_noise
from amuro.results.stats.spread import Spread, between, logit_covariance, logit_stretch, logits, spread
from amuro.results.stats.trend import change_weights
from amuro.results.trajectory import MIN_CHECKPOINTS, Trajectory, differing_coordinates
from amuro.results.trajectory_groups import by_set, fullest, longest, trajectories
from amuro.results.verdicts import Claim, decide_verdicts
from amuro.series.base import checkpoint_words

FIXED = "These formats are fixed: the result does not generalise to others."


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns findings per task (sensitivity before tuning) and per recipe (after tuning; trend over checkpoints)."""
    bounded = [trajectory for trajectory in longest(trajectories(evidence, ["in_domain"])) if trajectory.facts.share]
    claims = [claim for alike in by_set(bounded) for claim in _claims(evidence, alike, rng)]
    return decide_verdicts(claims) or [
        blank(ANALYSIS, evidence, "No tuned model was evaluated in more than one format.", "not run")
    ]


def _claims(evidence: Evidence, alike: Sequence[Trajectory], rng: np.random.Generator) -> list[Claim]:
    """Returns one claim on the bases (of the recipe with the most formats), and two on each recipe."""
    known = [scores for scores in map(in_formats, alike) if scores is not None]
    if not known:
        return []
    most = max(len(scores.formats) for scores in known)
    widest = fullest([scores.trajectory for scores in known if len(scores.formats) == most])
    base = next(scores for scores in known if scores.trajectory is widest)
    claims = [_at_latest(evidence, base, base.bases[-1], None, "before")]
    for scores in known:
        noise = _run_noise(scores.tuned)
        claims.append(_at_latest(evidence, scores, scores.tuned[-1], noise, "after"))
        claims.append(_format_trend(evidence, scores, noise, rng))
    return claims


def _run_noise(tuned: list[FormatScores]) -> RunNoise | None:
    """Estimates the seed variance of a format's logit relative to the other formats, over replicated checkpoints.

    Scores are transformed to logits at the mean of their seeds (delta method). The mean over formats is subtracted from
    each run, since a run that is better in every format does not change the differences between formats.
    """
    groups, df = [], 0
    for model in tuned:
        seeds, F, n = model.by_seed.shape
        if model.tokens <= 0 or seeds < 2:
            continue
        stretched = model.by_seed * logit_stretch(model.means.value, model.chance, n)[None, :, None]
        groups += list((stretched - stretched.mean(axis=1, keepdims=True)).transpose(1, 0, 2))
        df += (seeds - 1) * (F - 1)
    noise = run_noise(groups, tuned[0].clusters)
    # Centring over formats leaves F − 1 of F free.
    return RunNoise(noise.variance * noise.df / df, noise.sampling * noise.df / df, df) if noise else None


def measure(model: FormatScores, noise: RunNoise | None) -> Spread:
    """Estimates the between-format variance of one model's logits beyond paired sampling and seed variance."""
    seeds, F, n = model.by_seed.shape
    covariance = logit_covariance(model.means, model.chance, n)
    sampling = float(np.trace((np.eye(F) - 1 / F) @ covariance)) / (F - 1)
    items = sampling, degrees(model.means.groups)
    parts = noise.parts(items, [1.0], [seeds]) if noise else [items]
    beyond = sum(variance for variance, _ in parts) - sampling
    return spread(model.logits, covariance + beyond * np.eye(F), satterthwaite(parts))


def _at_latest(
    evidence: Evidence, scores_in: FormatTrajectory, model: FormatScores, noise: RunNoise | None, when: str
) -> Claim:
    trajectory, formats = scores_in.trajectory, scores_in.formats
    scores, (room, why) = model.means.value, _room(model)
    status, reason = evidence_status(trajectory)
    if mixed := differing_coordinates(model.score_rows):
        status, reason = "mixed", mixed
    if status == "measured":
        status, reason = room, why
    variance = measure(model, noise) if room == "measured" else None
    spread_words = f": between-format variance {effect_text(variance)} (squared log odds)" if variance else ""
    easiest, hardest = formats[int(scores.argmax())], formats[int(scores.argmin())]
    best, worst = trajectory.score(scores.max(keepdims=True)), trajectory.score(scores.min(keepdims=True))
    sentence = (
        f"{when.capitalize()} tuning on {_training_words(trajectory, when)}, {checkpoint_words(model.step)} scores "
        f"{worst:.2f} ({hardest}) to {best:.2f} ({easiest}) on {trajectory.name} in {len(formats)} "
        f"formats{spread_words}{_alike(model)}."
    )
    note = caveats(evidence, trajectory, reason, FIXED, tuned=when == "after")
    finding = draft_finding(ANALYSIS, evidence, trajectory, sentence, status, note=note, points=scores_in.points,
                    detail=when, delta=_delta(evidence), cells=model.cells)  # fmt: skip
    return Claim(finding, variance)


def _training_words(trajectory: Trajectory, when: str) -> str:
    return trajectory.training_words if when == "after" else trajectory.tuning.tuned_on


def _alike(model: FormatScores) -> str:
    """Returns the share of examples scored the same in every format, and that of independent formats, as words."""
    if not np.isin(model.by_seed, (0.0, 1.0)).all():
        return ""
    alike = clustered_mean((np.ptp(model.by_seed, axis=1) == 0).mean(axis=0), model.clusters)
    right = model.means.value
    low, high = alike.interval()
    return (
        f"; {alike.value:.0%} of examples have the same score in all (95 % interval {low:.0%} to {high:.0%}), "
        f"{right.prod() + (1 - right).prod():.0%} if formats were independent"
    )


def _room(model: FormatScores) -> EvidenceStatus:
    """Returns whether formats can be compared: the best one clears chance, and one is below the ceiling."""
    if math.isnan(model.chance):
        return "insufficient", "The chance score is not known."
    if model.means.groups < 2:
        return "insufficient", "One cluster of examples has no variance."
    if model.score(int(model.means.value.argmax())).interval()[0] <= model.chance:
        return "insufficient", "The best format does not clear chance."
    if model.means.value.min() > CEILING:
        return "insufficient", "All formats are at the ceiling."
    return "measured", ""


def _format_trend(
    evidence: Evidence, scores_in: FormatTrajectory, noise: RunNoise | None, rng: np.random.Generator
) -> Claim:
    trajectory, tuned = scores_in.trajectory, scores_in.tuned
    used = [model for model in tuned if model.tokens > 0 and model.comparable]
    status, reason = trend_status(evidence, trajectory)
    if mixed := differing_coordinates([score_row for model in used for score_row in model.score_rows]):
        status, reason = "mixed", mixed
    if len(used) < MIN_CHECKPOINTS:
        status, estimate = ("mixed" if status == "mixed" else "insufficient"), None
        sentence = (
            f"At {counted(len(used), 'trained checkpoint')} all formats of {trajectory.name} lie between chance and "
            f"ceiling after tuning{trajectory.by}: whether pre-training lowers the sensitivity to formats needs "
            f"{MIN_CHECKPOINTS}."
        )
    else:
        estimate = format_trend(used, noise, rng)
        sentence = (
            f"In this pre-training run the fall of the between-format variance of {trajectory.called} after "
            f"tuning{trajectory.by}, from the first to the last checkpoint (log {trajectory.unit}), is "
            f"{effect_text(estimate)} (squared log odds)."
        )
    note, cells = caveats(evidence, trajectory, reason, FIXED), tuple(cell for model in tuned for cell in model.cells)
    finding = draft_finding(ANALYSIS, evidence, trajectory, sentence, status, detail="trend", note=note,
                            points=scores_in.points, n=len(used), unit="checkpoints", delta=_delta(evidence),
                            cells=cells)  # fmt: skip
    return Claim(finding, estimate)


def format_trend(used: list[FormatScores], noise: RunNoise | None, rng: np.random.Generator) -> Estimate:
    """Estimates the fall of the between-format variance from the first to the last checkpoint.

    Its variance is simulated: clusters are drawn with replacement, and seed noise is added to the logits.
    """
    weights = -change_weights([model.tokens for model in used])
    value = float(weights @ [measure(model, noise).excess for model in used])
    _, F, n = used[0].by_seed.shape
    rows = np.concatenate([model.by_seed.mean(axis=0) for model in used])
    means = cluster_draws(rows, used[0].clusters, rng).reshape(-1, len(used), F)
    drawn = between(logits(means, used[0].chance, n)) @ weights
    parts = [(float(drawn.var()), degrees(used[0].means.groups))]
    if noise is not None:
        beyond = noise.beyond
        scatter = np.sqrt(beyond / np.array([len(model.by_seed) for model in used]))[:, None]
        noisy = np.array([model.logits for model in used]) + scatter * rng.normal(size=(len(drawn), len(used), F))
        parts.append((float((between(noisy) @ weights).var()), float(noise.df)))
    return combine(value, parts)


def _delta(evidence: Evidence) -> float:
    return evidence.delta.get(ANALYSIS.name, ANALYSIS.delta)


ANALYSIS = Analysis(
    name="format_sensitivity",
    question="Does the prompt format matter, and less so after more pre-training?",
    family="format sensitivity",
    delta=0.1,
    unit="clusters",
    formula="variance between formats of log odds above chance − tr(CΣ)/(F−1), Σ = paired sampling and run noise; "
    "trend = −slope over log tokens × span of that variance, where all formats clear chance and the ceiling",
    source="Sun & Dredze 2024, finding 2; spread after arXiv 2310.11324; Box 1954 (quadratic forms)",
    run=run,
)
