"""Does tuning on a mixture of tasks forget less than tuning on one of them?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.base_prompting import format_free_metric, format_free_trajectories
from amuro.results.finding_text import (
    EvidenceStatus,
    blank,
    caveats_of,
    draft_finding,
    effect_text,
    evidence_status,
    nothing_to_lose,
    point,
)
from amuro.results.stats.clustered import clustered_means
from amuro.results.stats.estimate import Estimate, combine, satterthwaite
from amuro.results.stats.runs import noise_parts
from amuro.results.trajectory import Trajectory, Tuning
from amuro.results.trajectory_groups import on_shared_examples, trajectories
from amuro.results.verdicts import Claim, decide_verdicts
from amuro.series.base import checkpoint_words

AS_GOOD = 0.1
"""Margin in domain, as a share of the way from chance to perfect: a mixture that gains less by this learned less."""
ROLES = ("cross_task", "facts", "corpus")
"""Roles of the sets on which forgetting is compared."""


@dataclass(frozen=True)
class Comparison:
    """A mixture and the tunings on its single tasks, on the same examples of one set at one checkpoint."""

    mixture: Trajectory
    singles: tuple[Trajectory, ...]
    """One tuning per task of the mixture."""
    step: int
    """Pre-training step of the checkpoint."""

    def contrast(self, mixture: float, single: float, base: float) -> Estimate:
        """Estimates a weighted sum of the mixture's score, the single tunings' mean score and the base's score.

        Scores are oriented. Runs of different tunings are independent, and all share the same examples.
        """
        tunings = (self.mixture, *self.singles)
        columns = [tuning.steps.tolist().index(self.step) for tuning in tunings]
        weights = np.array([mixture, *[single / len(self.singles)] * len(self.singles)])
        rows = [tuning.tuned[t] for tuning, t in zip(tunings, columns, strict=True)]
        means = clustered_means(np.array([*rows, self.mixture.base[columns[0]]]), self.mixture.clusters)
        with_base = np.append(weights, base)
        shares = [
            (tuning.noise, float(weight**2 / len(tuning.by_seed[t])))
            for tuning, t, weight in zip(tunings, columns, weights, strict=True)
            if tuning.noise is not None
        ]
        return combine(float(with_base @ means.value), noise_parts(means.noise(with_base), shares))

    @property
    def run_error(self) -> float:
        """Returns the standard error of the mixture's mean score from its seeds, beyond the sampling of examples."""
        noise, place = self.mixture.noise, self.mixture.steps.tolist().index(self.step)
        if noise is None:
            return 0.0
        return math.sqrt(noise.beyond / len(self.mixture.by_seed[place]))

    @property
    def spared(self) -> Estimate:
        """Estimates how much less the mixture loses than the single tunings; the shared base cancels."""
        return self.contrast(1, -1, 0)

    @property
    def lost(self) -> Estimate:
        """Estimates the mean loss of the single tunings."""
        return self.contrast(0, -1, 1)


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per mixture and set on which neither it nor its single tunings were trained."""
    away = trajectories(evidence, ROLES)
    counterparts = zip(away, format_free_trajectories(evidence, away), strict=True)
    format_free = {(scored.tuning, scored.name): other for scored, other in counterparts if other is not None}
    home = _homes(trajectories(evidence, ["in_domain"]))
    claims = [_claim(evidence, pair, home, format_free) for pair in _comparisons(away)]
    return decide_verdicts(claims) or [
        blank(ANALYSIS, evidence, "No mixture and its single tasks were tuned and evaluated on a set of another task.",
              "not run")
    ]  # fmt: skip


def _comparisons(every: Sequence[Trajectory]) -> Iterator[Comparison]:
    """Yields mixtures with the single tunings that agree in series, method, format and evaluation set."""

    def alike(trajectory: Trajectory) -> tuple[str, ...]:
        tuning = trajectory.tuning
        return (
            trajectory.task,
            trajectory.split,
            trajectory.metric,
            trajectory.format,
            tuning.series,
            tuning.method,
            tuning.tune_format,
        )

    for _, group in groupby(sorted(every, key=alike), key=alike):
        tunings = list(group)
        for mixture in tunings:
            parts = set(mixture.tuning.tuned_on.split("+"))
            # Of several recipes of one task the first is compared; the sentence names it.
            by_task = {
                single.tuning.tuned_on: single for single in reversed(tunings) if single.tuning.tuned_on in parts
            }
            singles = [by_task[task] for task in sorted(by_task)] if len(parts) > 1 else []
            if (pair := _compare(mixture, singles)) is not None:
                yield pair


def _compare(mixture: Trajectory, singles: Sequence[Trajectory]) -> Comparison | None:
    """Compares on the shared examples and at the latest shared checkpoint; None where one of both is missing."""
    tunings = [mixture, *singles]
    steps = set.intersection(*(set(tuning.steps.tolist()) for tuning in tunings))
    if not singles or not steps:
        return None
    shared, *others = on_shared_examples(tunings)
    return Comparison(shared, tuple(others), max(steps)) if len(shared.examples) else None


FormatFree = dict[tuple[Tuning, str], Trajectory]
"""(tuning, evaluation set) → the trajectory under the format-free metric."""
Homes = dict[tuple[str, str, str], Trajectory]
"""(series, recipe, task) → the trajectory of a tuning on its own task."""


def _homes(every: Sequence[Trajectory]) -> Homes:
    """Indexes in-domain trajectories by series, recipe and task."""
    return {(home.tuning.series, home.tuning.recipe, home.task): home for home in every}


def _at_home(pair: Comparison, home: Homes) -> list[Comparison]:
    """Compares the mixture with each single tuning on the task of the latter."""
    tuning = pair.mixture.tuning
    comparisons = []
    for single in pair.singles:
        ours, theirs = (
            home.get((tuning.series, recipe, single.tuning.tuned_on))
            for recipe in (tuning.recipe, single.tuning.recipe)
        )
        both = _compare(ours, [theirs]) if ours is not None and theirs is not None else None
        comparisons += [both] if both is not None and both.mixture.metric == both.singles[0].metric else []
    return comparisons


def _as_good(at_home: Sequence[Comparison]) -> Estimate:
    """Estimates (mixture − single tunings) in domain + `AS_GOOD`, on the scale from chance to perfect, over its tasks.

    All tasks are scored with the same runs of the mixture, whose errors are therefore taken as fully correlated: they
    are summed before they are squared.
    """
    share = 1 / len(at_home)
    rooms = [1 - both.mixture.floor for both in at_home]
    differences = [both.contrast(share / room, -share / room, 0) for both, room in zip(at_home, rooms, strict=True)]
    run_errors = [both.run_error * share / room for both, room in zip(at_home, rooms, strict=True)]
    items = combine(0.0, [difference.parts[0] for difference in differences])
    of_runs = [part for difference in differences for part in difference.parts[1:]]
    shared = sum(run_errors) ** 2 - sum(error**2 for error in run_errors)
    runs = [(sum(variance for variance, _ in of_runs) + shared, satterthwaite(of_runs))] if of_runs else []
    groups = min(df for _, df in items.parts)
    return combine(sum(difference.value for difference in differences) + AS_GOOD, [(items.variance, groups), *runs])


def _claim(evidence: Evidence, pair: Comparison, home: Homes, format_free: FormatFree) -> Claim:
    spared, lost = pair.spared, pair.lost
    status, reason = _status(evidence, pair)
    at_home, as_good = _at_home(pair, home), None
    if len(at_home) == len(pair.singles) and not any(math.isnan(both.mixture.floor) for both in at_home):
        as_good = _as_good(at_home)
    again = _again(evidence, pair, format_free)
    open_conditions = [
        "" if lost.interval()[0] > 0 else "Tuning on a single task shows no sure loss here.",
        "The mixture was not evaluated on all of its own tasks." if as_good is None else "",
        "The mixture may have learned its tasks less well, which alone would explain less forgetting."
        if as_good is not None and as_good.interval()[0] <= 0
        else "",
        _form(evidence, pair, again),
    ]
    note = caveats_of(evidence, (pair.mixture, *pair.singles), reason, *open_conditions)
    finding = draft_finding(
        ANALYSIS, evidence, pair.mixture, _sentence(pair, spared, lost), status, note=note, points=_points(pair),
        cells=tuple(dict.fromkeys(cell for tuning in (pair.mixture, *pair.singles) for cell in tuning.cells)),
    )  # fmt: skip
    if status == "insufficient":
        return Claim(finding, None)
    conditions = [estimate for estimate in (spared, lost, again, as_good) if estimate is not None]
    return Claim(
        finding, spared, max(estimate.p_two_sided() for estimate in conditions), holds=not any(open_conditions)
    )


def _status(evidence: Evidence, pair: Comparison) -> EvidenceStatus:
    alone = {one.tuning.tuned_on for one in pair.singles}
    if absent := sorted(set(pair.mixture.tuning.tuned_on.split("+")) - alone):
        return "insufficient", f"The mixture cannot be compared: there is no tuning on {', '.join(absent)} alone."
    if why := nothing_to_lose(ANALYSIS, evidence, pair.mixture):
        return "insufficient", why
    for tuning in (pair.mixture, *pair.singles):
        status, reason = evidence_status(tuning)
        if status != "measured":
            return status, reason
    return "measured", ""


def _again(evidence: Evidence, pair: Comparison, format_free: FormatFree) -> Estimate | None:
    """Estimates how much less the mixture loses under the format-free metric; None where that was not measured."""
    others = [format_free.get((tuning.tuning, tuning.name)) for tuning in (pair.mixture, *pair.singles)]
    known = [other for other in others if other is not None]
    both = _compare(known[0], known[1:]) if len(known) == len(others) else None
    if both is None or both.step != pair.step or format_free_metric(evidence, pair.mixture) is None:
        return None
    return both.spared


def _form(evidence: Evidence, pair: Comparison, again: Estimate | None) -> str:
    """Returns the note that less forgetting may be formatting, if the format-free metric does not confirm it."""
    metric = format_free_metric(evidence, pair.mixture)
    if metric is None or (again is not None and again.interval()[0] > 0):
        return ""
    result = "was not measured" if again is None else "shows no sure difference"
    return f"{metric} {result}: the difference may be formatting, not knowledge."


def _sentence(pair: Comparison, spared: Estimate, lost: Estimate) -> str:
    singles = ", ".join(single.training_words for single in pair.singles)
    mixture = pair.mixture
    return (
        f"On {mixture.name} {checkpoint_words(pair.step)} loses {effect_text(lost)} of {mixture.metric} on average "
        f"when tuned on one of {singles}, and {effect_text(pair.contrast(-1, 0, 1))} when tuned on "
        f"{mixture.training_words} together: the mixture loses less by {effect_text(spared)}."
    )


def _points(pair: Comparison) -> tuple[dict[str, object], ...]:
    return tuple(
        dict(point("loss", Comparison(tuning, (tuning,), pair.step).contrast(-1, 0, 1), x=tuning.training_words))
        for tuning in (pair.mixture, *pair.singles)
    )


ANALYSIS = Analysis(
    name="mixture",
    question="Does tuning on a mixture of tasks forget less than tuning on one of them?",
    family="mixture",
    delta=0.05,
    unit="clusters",
    formula="score after the mixture − mean score after each of its tasks alone, on a set that none of them learned, "
    "at the latest checkpoint; also single tunings lose there, the format-free metric agrees, and the mixture is not "
    "worse in domain by .1 of the way from chance, in the mean over its tasks",
    source="question of Sun & Dredze 2024, §4 (task transfer); clustered paired errors of Miller, arXiv 2411.00640",
    run=run,
)
