"""Does tuning on one thing take away another?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.base_prompting import format_free_metric, format_free_trajectories
from amuro.results.finding_text import blank, caveats, draft_finding, effect_text, evidence_status, nothing_to_lose
from amuro.results.score_matrix import ScoreMatrix
from amuro.results.stats.bootstrap import cluster_draws
from amuro.results.stats.clustered import Floats, clustered_means, degrees
from amuro.results.stats.estimate import Estimate, combine
from amuro.results.stats.runs import RunNoise, run_noise, shrunk_together
from amuro.results.trajectory import HOW, Trajectory
from amuro.results.trajectory_groups import trajectories
from amuro.results.verdicts import Claim, decide_verdicts
from amuro.series.base import checkpoint_words

NOT_MEASURED = Estimate(0.0, ())
"""Stands for a format-free metric that was not measured: it counts as no loss."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per recipe and set of another task, at the latest checkpoint; the figure has all."""
    others = trajectories(evidence, ["cross_task", "facts", "corpus"])
    with_noise = zip(others, lost_noise(others), format_free_trajectories(evidence, others), strict=True)
    return decide_verdicts([_claim(evidence, *args, rng) for args in with_noise]) or [
        blank(ANALYSIS, evidence, "No tuned model was evaluated on another task than its own.", "not run")
    ]


def _claim(
    evidence: Evidence,
    trajectory: Trajectory,
    noise: RunNoise | None,
    other: Trajectory | None,
    rng: np.random.Generator,
) -> Claim:
    net = _drop(trajectory)
    loss = transition(trajectory, trajectory.floor, noise, rng) if trajectory.facts.binary else net
    if why := nothing_to_lose(ANALYSIS, evidence, trajectory):
        sentence = _sentence(trajectory, None, "")
        return Claim(
            draft_finding(
                ANALYSIS, evidence, trajectory, sentence, "insufficient", note=caveats(evidence, trajectory, why)
            ),
            None,
        )
    status, reason = evidence_status(trajectory)
    second, best = _second(evidence, trajectory, other), _best_variants(trajectory)
    conditions = [estimate for estimate in (loss, net, second, best) if estimate is not None]
    form = _form(format_free_metric(evidence, trajectory), second, best) if loss.interval()[0] > 0 else ""
    note = caveats(evidence, trajectory, reason, form)
    finding = draft_finding(ANALYSIS, evidence, trajectory, _sentence(trajectory, loss, form), status, note=note)
    holds = all(estimate.interval()[0] > 0 for estimate in conditions)
    return Claim(finding, loss, max(estimate.p_two_sided() for estimate in conditions), holds)


def _drop(trajectory: Trajectory) -> Estimate:
    """Estimates the mean loss at the latest checkpoint: base − tuned, of oriented scores."""
    last = trajectory.at(-1)
    return trajectory.contrast(-last, last)


def lost(base: Floats, runs: Floats) -> Floats:
    """Returns (runs, n): 1 where the base (n,) is right and the tuned run is wrong."""
    return np.asarray(base * (1 - runs))


def seed_disagreement(runs: Floats) -> Floats:
    """Returns (n,): share of ordered pairs of runs (m, n) with the first right and the second wrong; 0 for one run."""
    m = len(runs)
    right = runs.sum(axis=0)
    return np.asarray(right * (m - right) / max(m * (m - 1), 1))


def lost_noise(group: Sequence[Trajectory]) -> list[RunNoise | None]:
    """Returns the seed variance of `lost`, shrunk over the trajectories; None for metrics that are not binary."""
    noises = [
        run_noise([lost(trajectory.base[t], trajectory.by_seed[t]) for t in trajectory.replicated], trajectory.clusters)
        if trajectory.facts.binary
        else None
        for trajectory in group
    ]
    return shrunk_together(noises)


def transition(trajectory: Trajectory, chance: float, noise: RunNoise | None, rng: np.random.Generator) -> Estimate:
    """Estimates the share of examples right before and wrong after tuning, beyond what occurs without forgetting.

    F = mean(base right, tuned wrong) − max(seed disagreement, guessing). Seed disagreement is the same share between
    two seeds of this tuning (at its latest replicated checkpoint); guessing = chance · mean(base wrong) is the share
    that new guesses alone would lose. Source: item flow, arXiv 2510.17776.
    """
    base, runs = trajectory.base[-1], trajectory.by_seed[-1]
    seeds = trajectory.by_seed[trajectory.replicated[-1]] if trajectory.replicated else runs[:1]
    rows = np.array([lost(base, runs).mean(axis=0), seed_disagreement(seeds), chance * (1 - base)])
    means = np.vstack([rows.mean(axis=1), cluster_draws(rows, trajectory.clusters, rng)])
    beyond = means[:, 0] - means[:, 1:].max(axis=1)
    items = float(beyond[1:].var()), degrees(trajectory.source.groups)
    return combine(float(beyond[0]), noise.parts(items, [1.0], [len(runs)]) if noise else [items])


def _second(evidence: Evidence, trajectory: Trajectory, other: Trajectory | None) -> Estimate | None:
    """Estimates the loss under the format-free metric; None where the task has none, `NOT_MEASURED` without scores."""
    if format_free_metric(evidence, trajectory) is None:
        return None
    return NOT_MEASURED if other is None else _drop(other)


def _best_variants(trajectory: Trajectory) -> Estimate | None:
    """Estimates the loss with base and tuned model each in their best format and shots; None with one prompt variant.

    What another format or a few examples recover was not forgotten (spurious forgetting, arXiv 2501.13453).
    """
    alike = {name: trajectory.score_rows[-1][name] for name in HOW if name in trajectory.score_rows[-1]}
    latest = trajectory.source.where(
        metric=trajectory.metric, series=trajectory.tuning.series, step=int(trajectory.steps[-1]), **alike
    )
    sides = [_variants(latest.where(**line)) for line in (trajectory.tuning._asdict(), {"tuned_on": "none"})]
    shared = sides[0].keys() & sides[1].keys()
    if len(shared) < 2:
        return None
    tuned, base = (
        max((side[variant] for variant in sorted(shared)), key=lambda scores: scores.mean()) for side in sides
    )
    means = clustered_means(base - tuned, trajectory.clusters)
    items = means.noise([1.0])
    return combine(
        float(means.value[0]),
        trajectory.noise.parts(items, [1.0], trajectory.seeds[-1:]) if trajectory.noise else [items],
    )


def _variants(matrix: ScoreMatrix) -> dict[tuple[str, int, int], Floats]:
    """Returns (format, shots, shot seed) → scores (n,), averaged over tuning seeds."""
    keys = {(score_row["format"], score_row["shots"], score_row["shot_seed"]) for score_row in matrix.score_rows}
    return {key: matrix.where(format=key[0], shots=key[1], shot_seed=key[2]).values.mean(axis=0) for key in keys}


def _form(metric: str | None, second: Estimate | None, best: Estimate | None) -> str:
    """Returns the note that a loss is formatting, if the format-free metric or the best prompts show none."""
    if second is NOT_MEASURED:
        return f"{metric} was not measured: the loss may be formatting, not knowledge."
    if second is not None and second.interval()[0] <= 0:
        return f"{metric} does not surely fall: the loss is formatting, not knowledge."
    if best is not None and best.interval()[0] <= 0:
        return "With the best prompt variants there is no sure loss: the loss is formatting, not knowledge."
    return ""


def _sentence(trajectory: Trajectory, loss: Estimate | None, form: str) -> str:
    change = trajectory.from_to(trajectory.base[-1], trajectory.tuned[-1])
    what = "lost beyond seed disagreement and guessing" if trajectory.facts.binary else "lost"
    formatting = ", formatting, not knowledge" if form else ""
    size = f" ({what}: {effect_text(loss)}){formatting}" if loss else ""
    return (
        f"Tuning {checkpoint_words(int(trajectory.steps[-1]))} on {trajectory.training_words} changes "
        f"{trajectory.metric} on {trajectory.name} {change}{size}."
    )


ANALYSIS = Analysis(
    name="forgetting",
    question="Does tuning on one thing take away another?",
    family="forgetting",
    delta=0.05,
    unit="clusters",
    formula="mean(base right, tuned wrong) − max(seed disagreement, chance · mean(base wrong)), "
    "and base − tuned > 0, also under the format-free metric and with the best prompts of both; base − tuned alone "
    "where answers are not right or wrong; lower-is-better metrics with opposite sign",
    source="Sun & Dredze 2024, finding 1; item flow of arXiv 2510.17776; formatting after arXiv 2501.13453",
    run=run,
)
