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
from amuro.results.trajectory import HOW, Trajectory, trajectories
from amuro.results.verdicts import Claim, decide_verdicts
from amuro.series.base import checkpoint_words

NOT_MEASURED = Estimate(0.0, ())
"""A second reading that is not there counts as no fall."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a recipe and each other evaluation set, at the latest checkpoint; every checkpoint is drawn."""
    every = trajectories(evidence, ["cross_task", "facts", "corpus"])
    asked = zip(every, lost_noise(every), format_free_trajectories(evidence, every), strict=True)
    return decide_verdicts([_claim(evidence, *one, rng) for one in asked]) or [
        blank(ANALYSIS, evidence, "No tuned model was asked on anything but its own task.", "not run")
    ]


def _claim(
    evidence: Evidence, found: Trajectory, noise: RunNoise | None, other: Trajectory | None, rng: np.random.Generator
) -> Claim:
    net = _drop(found)
    loss = transition(found, found.floor, noise, rng) if found.facts.binary else net
    if why := nothing_to_lose(ANALYSIS, evidence, found):
        sentence = _sentence(found, None, "")
        return Claim(
            draft_finding(ANALYSIS, evidence, found, sentence, "insufficient", note=caveats(evidence, found, why)), None
        )
    status, reason = evidence_status(found)
    second, best = _second(evidence, found, other), _best_ways(found)
    conditions = [one for one in (loss, net, second, best) if one is not None]
    form = _form(format_free_metric(evidence, found), second, best) if loss.interval()[0] > 0 else ""
    note = caveats(evidence, found, reason, form)
    finding = draft_finding(ANALYSIS, evidence, found, _sentence(found, loss, form), status, note=note)
    holds = all(one.interval()[0] > 0 for one in conditions)
    return Claim(finding, loss, max(one.p_two_sided() for one in conditions), holds)


def _drop(found: Trajectory) -> Estimate:
    """What is lost in the mean at the latest checkpoint: base − tuned, the higher the better."""
    last = found.at(-1)
    return found.contrast(-last, last)


def lost(base: Floats, runs: Floats) -> Floats:
    """(runs, n): 1 where the base was right and the tuned model is wrong."""
    return np.asarray(base * (1 - runs))


def seed_disagreement(runs: Floats) -> Floats:
    """(n,): share of ordered pairs of runs (m, n) in which the first is right and the second wrong; 0 for one run."""
    m = len(runs)
    right = runs.sum(axis=0)
    return np.asarray(right * (m - right) / max(m * (m - 1), 1))


def lost_noise(every: Sequence[Trajectory]) -> list[RunNoise | None]:
    """Noise of runs of what is lost, drawn together over the trajectories; None where nothing is right or wrong."""
    own = [
        run_noise([lost(found.base[t], found.by_seed[t]) for t in found.replicated], found.clusters)
        if found.facts.binary
        else None
        for found in every
    ]
    return shrunk_together(own)


def transition(found: Trajectory, chance: float, noise: RunNoise | None, rng: np.random.Generator) -> Estimate:
    """Share of examples right before and wrong after, beyond what no loss at all would show.

    F = mean(base right, tuned wrong) − max(churn, guessing): *churn* is the same flow between two seeds of this
    tuning (at its latest replicated checkpoint), *guessing* = chance · mean(base wrong), the flow when those who
    guessed guess again. Item flow: arXiv 2510.17776.
    """
    base, runs = found.base[-1], found.by_seed[-1]
    seeds = found.by_seed[found.replicated[-1]] if found.replicated else runs[:1]
    rows = np.array([lost(base, runs).mean(axis=0), seed_disagreement(seeds), chance * (1 - base)])
    means = np.vstack([rows.mean(axis=1), cluster_draws(rows, found.clusters, rng)])
    beyond = means[:, 0] - means[:, 1:].max(axis=1)
    items = float(beyond[1:].var()), degrees(found.source.groups)
    return combine(float(beyond[0]), noise.parts(items, [1.0], [len(runs)]) if noise else [items])


def _second(evidence: Evidence, found: Trajectory, other: Trajectory | None) -> Estimate | None:
    """The fall under the second reading; None where the task has none. Not measured counts as no fall."""
    if format_free_metric(evidence, found) is None:
        return None
    return NOT_MEASURED if other is None else _drop(other)


def _best_ways(found: Trajectory) -> Estimate | None:
    """The fall when base and tuned model are each asked in their best format and shots; None where there is one way.

    What another wording or a few examples bring back was not forgotten (spurious forgetting, arXiv 2501.13453).
    """
    alike = {name: found.score_rows[-1][name] for name in HOW if name in found.score_rows[-1]}
    latest = found.source.where(metric=found.metric, series=found.tuning.series, step=int(found.steps[-1]), **alike)
    sides = [_variants(latest.where(**line)) for line in (found.tuning._asdict(), {"tuned_on": "none"})]
    shared = sides[0].keys() & sides[1].keys()
    if len(shared) < 2:
        return None
    tuned, base = (max((side[way] for way in sorted(shared)), key=lambda v: v.mean()) for side in sides)
    means = clustered_means(base - tuned, found.clusters)
    items = means.noise([1.0])
    return combine(float(means.value[0]), found.noise.parts(items, [1.0], found.seeds[-1:]) if found.noise else [items])


def _variants(asked: ScoreMatrix) -> dict[tuple[str, int, int], Floats]:
    """(format, shots, shot seed) → scores (n,), averaged over tuning seeds."""
    keys = {(score_row["format"], score_row["shots"], score_row["shot_seed"]) for score_row in asked.score_rows}
    return {key: asked.where(format=key[0], shots=key[1], shot_seed=key[2]).values.mean(axis=0) for key in keys}


def _form(metric: str | None, second: Estimate | None, best: Estimate | None) -> str:
    """What is said where a score falls and answer likelihood, or another way of asking, does not."""
    if second is NOT_MEASURED:
        return f"{metric} was not measured: the loss may be one of output form."
    if second is not None and second.interval()[0] <= 0:
        return f"{metric} does not surely fall: the loss is one of output form."
    if best is not None and best.interval()[0] <= 0:
        return "Asked in its best way the tuned model does not surely lose: the loss is one of output form."
    return ""


def _sentence(found: Trajectory, loss: Estimate | None, form: str) -> str:
    change = found.from_to(found.base[-1], found.tuned[-1])
    what = "lost beyond churn and guessing" if found.facts.binary else "lost"
    told = f" ({what}: {effect_text(loss)}){', in output form' if form else ''}" if loss else ""
    return (
        f"Tuning {checkpoint_words(int(found.steps[-1]))} on {found.training_words} takes {found.metric} "
        f"on {found.name} {change}{told}."
    )


ANALYSIS = Analysis(
    name="forgetting",
    question="Does tuning on one thing take away another?",
    family="forgetting",
    delta=0.05,
    unit="clusters",
    formula="mean(base right, tuned wrong) − max(churn between seeds, chance · mean(base wrong)), "
    "and base − tuned > 0, also in the second reading and with both asked in their best way; base − tuned alone "
    "where answers are not right or wrong; lower-is-better metrics turned round",
    source="Sun & Dredze 2024, finding 1; item flow of arXiv 2510.17776; output form after arXiv 2501.13453",
    run=run,
)
