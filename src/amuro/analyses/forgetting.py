"""Does tuning on one thing take away another?"""

from __future__ import annotations

import numpy as np

from amuro.analysis import Analysis, Evidence
from amuro.findings import Standing, blank, draft, limits, reading, smallest_effect
from amuro.panels import Ladder, ladders, longest, state
from amuro.stats.bootstrap import cluster_draws
from amuro.stats.clustered import Floats, clustered_mean
from amuro.stats.estimate import Estimate, combine
from amuro.stats.runs import run_noise
from amuro.types import Finding
from amuro.verdicts import Claim, settle

BINARY = ("accuracy", "exact_match")
SECOND_READING = {"accuracy": "calibrated_accuracy", "exact_match": "log_likelihood", "rouge_l": "log_likelihood"}
"""What must fall as well before a loss is more than a change in the form of answers."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a tuned task and each other evaluation set, at the latest checkpoint; every checkpoint is drawn."""
    claims = [_claim(evidence, found, rng) for found in longest(ladders(evidence, ["cross_task", "facts", "corpus"]))]
    return settle(claims) or [
        blank(ANALYSIS, evidence, "No tuned model was asked on anything but its own task.", "not run")
    ]


def _claim(evidence: Evidence, found: Ladder, rng: np.random.Generator) -> Claim:
    net = _drop(found)
    chance = evidence.tasks[found.task].chance or 0.0
    loss = flow(found, chance, rng) if found.metric in BINARY else net
    standing, reason = _standing(evidence, found, chance)
    second = _second(evidence, found)
    conditions = [one for one in (loss, net, second) if one is not None]
    form = "" if second is None else _form(found, loss, second)
    note = limits(evidence, found, reason, form)
    finding = draft(ANALYSIS, evidence, found, _sentence(found, loss, bool(form)), standing, note=note)
    holds = all(one.interval()[0] > 0 for one in conditions)
    return Claim(finding, loss, max(one.p_two_sided() for one in conditions), holds)


def _drop(found: Ladder) -> Estimate:
    """What is lost in the mean at the latest checkpoint: base − tuned, or the rise of bits per byte."""
    last = found.at(-1) * found.sign
    return found.contrast(-last, last)


def lost(base: Floats, runs: Floats) -> Floats:
    """(runs, n): 1 where the base was right and the tuned model is wrong."""
    return np.asarray(base * (1 - runs))


def churn(runs: Floats) -> Floats:
    """(n,): share of ordered pairs of runs (m, n) in which the first is right and the second wrong; 0 for one run."""
    m = len(runs)
    right = runs.sum(axis=0)
    return np.asarray(right * (m - right) / max(m * (m - 1), 1))


def flow(found: Ladder, chance: float, rng: np.random.Generator) -> Estimate:
    """Share of examples right before and wrong after, beyond what no loss at all would show.

    F = mean(base right, tuned wrong) − max(churn, guessing): *churn* is the same flow between two seeds of this
    tuning (at its latest replicated checkpoint), *guessing* = chance · mean(base wrong), the flow when those who
    guessed guess again. Item flow: arXiv 2510.17776.
    """
    base, runs = found.base[-1], found.runs[-1]
    seeds = found.runs[found.replicated[-1]] if found.replicated else runs[:1]
    rows = np.array([lost(base, runs).mean(axis=0), churn(seeds), chance * (1 - base)])
    means = np.vstack([rows.mean(axis=1), cluster_draws(rows, found.clusters, rng)])
    beyond = means[:, 0] - means[:, 1:].max(axis=1)
    items = float(beyond[1:].var()), float(found.source.groups - 1)
    noise = run_noise([lost(found.base[t], found.runs[t]) for t in found.replicated], found.clusters)
    return combine(float(beyond[0]), noise.parts(items, [1.0], [len(runs)]) if noise else [items])


def _standing(evidence: Evidence, found: Ladder, chance: float) -> Standing:
    """A base that does not clear chance by δ cannot forget."""
    low, _ = clustered_mean(found.base[-1], found.clusters).interval()
    delta = smallest_effect(ANALYSIS, evidence, found.task, found.metric)
    standing, reason = state(found)
    known = found.base[-1].mean() - chance
    if standing == "measured" and found.sign > 0 and (low <= chance or known < delta):
        return "insufficient", f"The base does not clear chance on {found.name}: what is not there cannot be forgotten."
    return standing, reason


def _second(evidence: Evidence, found: Ladder) -> Estimate | None:
    """The fall under the second reading; None where the task has none. Not measured counts as no fall."""
    metric = SECOND_READING.get(found.metric)
    if metric is None or evidence.tasks[found.task].kind == "choice":
        return None
    other = found.under(metric)
    return Estimate(0.0, 0.0, 1.0) if other is None else _drop(other)


def _form(found: Ladder, loss: Estimate, second: Estimate) -> str:
    """What is said where a score falls and answer likelihood does not."""
    if loss.interval()[0] <= 0 or second.interval()[0] > 0:
        return ""
    reading = SECOND_READING[found.metric]
    if second.se == 0:
        return f"{reading} was not measured: the loss may be one of output form."
    return f"{reading} does not fall: the loss is one of output form."


def _sentence(found: Ladder, loss: Estimate, form: bool) -> str:
    change = f"from {found.base[-1].mean():.2f} to {found.tuned[-1].mean():.2f}"
    what = "lost beyond churn and guessing" if found.metric in BINARY else "lost"
    return (
        f"Tuning the checkpoint at step {found.steps[-1]} on {found.tuning.tuned_on} takes {found.metric} "
        f"on {found.name} {change} ({what}: {reading(loss)}){', in output form' if form else ''}."
    )


ANALYSIS = Analysis(
    name="forgetting",
    question="Does tuning on one thing take away another?",
    family="forgetting",
    delta=0.05,
    unit="clusters",
    formula="mean(base right, tuned wrong) − max(churn between seeds, chance · mean(base wrong)), "
    "and base − tuned > 0; for ROUGE-L base − tuned, for bits per byte tuned − base",
    source="Sun & Dredze 2024, finding 1; item flow of arXiv 2510.17776; output form after arXiv 2501.13453",
    run=run,
)
