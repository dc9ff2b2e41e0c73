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
from amuro.results.trajectory import Trajectory, Tuning, on_shared_examples, trajectories
from amuro.results.verdicts import Claim, decide_verdicts
from amuro.series.base import checkpoint_words

AS_GOOD = 0.1
"""A mixture that gains less at home by this much, from chance to perfect, forgets less because it learned less."""
ROLES = ("cross_task", "facts", "corpus")


@dataclass(frozen=True)
class Beside:
    """A mixture and the tunings on its single tasks, on the same examples of one set at one checkpoint."""

    mixture: Trajectory
    singles: tuple[Trajectory, ...]
    step: int

    def contrast(self, mixture: float, single: float, base: float) -> Estimate:
        """Weighted sum of the mixture's score, the single tunings' mean score and the base's; the higher the better.

        A run of each tuning counts as drawn anew, and all of them answer the same examples.
        """
        every = (self.mixture, *self.singles)
        places = [one.steps.tolist().index(self.step) for one in every]
        weights = np.array([mixture, *[single / len(self.singles)] * len(self.singles)])
        rows = [one.tuned[place] for one, place in zip(every, places, strict=True)]
        means = clustered_means(np.array([*rows, self.mixture.base[places[0]]]), self.mixture.clusters)
        whole = np.append(weights, base)
        shares = [
            (one.noise, float(weight**2 / len(one.by_seed[place])))
            for one, place, weight in zip(every, places, weights, strict=True)
            if one.noise is not None
        ]
        return combine(float(whole @ means.value), noise_parts(means.noise(whole), shares))

    @property
    def run_error(self) -> float:
        """Standard error that the mixture's runs give its mean score, beyond the sampling of examples."""
        noise, place = self.mixture.noise, self.mixture.steps.tolist().index(self.step)
        if noise is None:
            return 0.0
        return math.sqrt(noise.beyond / len(self.mixture.by_seed[place]))

    @property
    def spared(self) -> Estimate:
        """How much less the mixture loses: the base on which both stand cancels."""
        return self.contrast(1, -1, 0)

    @property
    def lost(self) -> Estimate:
        """What tuning on a single task loses in the mean."""
        return self.contrast(0, -1, 1)


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a mixture and set that was tuned neither by it nor by the tunings beside it."""
    away = trajectories(evidence, ROLES)
    read_again = zip(away, format_free_trajectories(evidence, away), strict=True)
    second = {(one.tuning, one.name): other for one, other in read_again if other is not None}
    home = _homes(trajectories(evidence, ["in_domain"]))
    claims = [_claim(evidence, pair, home, second) for pair in _pairs(away)]
    return decide_verdicts(claims) or [
        blank(ANALYSIS, evidence, "No mixture was tuned beside its single tasks and asked what neither learned.",
              "not run")
    ]  # fmt: skip


def _pairs(every: Sequence[Trajectory]) -> Iterator[Beside]:
    """Mixtures beside single tunings that are alike in series, method and format, set by set."""

    def alike(found: Trajectory) -> tuple[str, ...]:
        tuning = found.tuning
        return found.task, found.split, found.metric, found.format, tuning.series, tuning.method, tuning.tune_format

    for _, group in groupby(sorted(every, key=alike), key=alike):
        found = list(group)
        for mixture in found:
            parts = set(mixture.tuning.tuned_on.split("+"))
            # Of several recipes of one task the first stands for it, and is named.
            by_task = {one.tuning.tuned_on: one for one in reversed(found) if one.tuning.tuned_on in parts}
            singles = [by_task[task] for task in sorted(by_task)] if len(parts) > 1 else []
            if (pair := _beside(mixture, singles)) is not None:
                yield pair


def _beside(mixture: Trajectory, singles: Sequence[Trajectory]) -> Beside | None:
    """Both on the examples and at the latest checkpoint that they share; None where they share none."""
    every = [mixture, *singles]
    steps = set.intersection(*(set(one.steps.tolist()) for one in every))
    if not singles or not steps:
        return None
    ours, *others = on_shared_examples(every)
    return Beside(ours, tuple(others), max(steps)) if len(ours.examples) else None


Seconds = dict[tuple[Tuning, str], Trajectory]
"""(way of tuning, set) → the same comparison under its second reading."""
Homes = dict[tuple[str, str, str], Trajectory]
"""(series, recipe, task) → a tuning on its own task."""


def _homes(every: Sequence[Trajectory]) -> Homes:
    return {(one.tuning.series, one.tuning.recipe, one.task): one for one in every}


def _at_home(pair: Beside, home: Homes) -> list[Beside]:
    """The mixture beside each single tuning on the task of the latter."""
    tuning = pair.mixture.tuning
    found = []
    for single in pair.singles:
        ours, theirs = (
            home.get((tuning.series, recipe, single.tuning.tuned_on))
            for recipe in (tuning.recipe, single.tuning.recipe)
        )
        both = _beside(ours, [theirs]) if ours is not None and theirs is not None else None
        found += [both] if both is not None and both.mixture.metric == both.singles[0].metric else []
    return found


def _as_good(at_home: Sequence[Beside]) -> Estimate:
    """How far the mixture stays above being worse at home by `AS_GOOD`, in the mean over its tasks, from chance up.

    All tasks are asked of the same runs of the mixture: one that is lucky on one counts as lucky on all, and its errors
    add up before they are squared.
    """
    each = 1 / len(at_home)
    rooms = [1 - both.mixture.floor for both in at_home]
    apart = [both.contrast(each / room, -each / room, 0) for both, room in zip(at_home, rooms, strict=True)]
    luck = [both.run_error * each / room for both, room in zip(at_home, rooms, strict=True)]
    items = combine(0.0, [one.parts[0] for one in apart])
    of_runs = [part for one in apart for part in one.parts[1:]]
    shared = sum(luck) ** 2 - sum(error**2 for error in luck)
    runs = [(sum(variance for variance, _ in of_runs) + shared, satterthwaite(of_runs))] if of_runs else []
    groups = min(df for _, df in items.parts)
    return combine(sum(one.value for one in apart) + AS_GOOD, [(items.variance, groups), *runs])


def _claim(evidence: Evidence, pair: Beside, home: Homes, second: Seconds) -> Claim:
    spared, lost = pair.spared, pair.lost
    status, reason = _status(evidence, pair)
    at_home, as_good = _at_home(pair, home), None
    if len(at_home) == len(pair.singles) and not any(math.isnan(both.mixture.floor) for both in at_home):
        as_good = _as_good(at_home)
    again = _again(evidence, pair, second)
    doubts = [
        "" if lost.interval()[0] > 0 else "Tuning on a single task does not surely lose here.",
        "What the mixture learned of its tasks was not measured." if as_good is None else "",
        "The mixture may have learned less of its tasks: that alone forgets less."
        if as_good is not None and as_good.interval()[0] <= 0
        else "",
        _form(evidence, pair, again),
    ]
    note = caveats_of(evidence, (pair.mixture, *pair.singles), reason, *doubts)
    finding = draft_finding(
        ANALYSIS, evidence, pair.mixture, _sentence(pair, spared, lost), status, note=note, points=_points(pair),
        cells=tuple(dict.fromkeys(cell for one in (pair.mixture, *pair.singles) for cell in one.cells)),
    )  # fmt: skip
    if status == "insufficient":
        return Claim(finding, None)
    conditions = [one for one in (spared, lost, again, as_good) if one is not None]
    return Claim(finding, spared, max(one.p_two_sided() for one in conditions), holds=not any(doubts))


def _status(evidence: Evidence, pair: Beside) -> EvidenceStatus:
    alone = {one.tuning.tuned_on for one in pair.singles}
    if absent := sorted(set(pair.mixture.tuning.tuned_on.split("+")) - alone):
        return "insufficient", f"No tuning on {', '.join(absent)} alone stands beside the mixture."
    if why := nothing_to_lose(ANALYSIS, evidence, pair.mixture):
        return "insufficient", why
    for one in (pair.mixture, *pair.singles):
        status, reason = evidence_status(one)
        if status != "measured":
            return status, reason
    return "measured", ""


def _again(evidence: Evidence, pair: Beside, second: Seconds) -> Estimate | None:
    """What the mixture spares under the second reading; None where there is none or where it was not measured."""
    others = [second.get((one.tuning, one.name)) for one in (pair.mixture, *pair.singles)]
    known = [one for one in others if one is not None]
    both = _beside(known[0], known[1:]) if len(known) == len(others) else None
    if both is None or both.step != pair.step or format_free_metric(evidence, pair.mixture) is None:
        return None
    return both.spared


def _form(evidence: Evidence, pair: Beside, again: Estimate | None) -> str:
    """What is said where the likelihood of the answers does not tell the two apart."""
    metric = format_free_metric(evidence, pair.mixture)
    if metric is None or (again is not None and again.interval()[0] > 0):
        return ""
    told = "was not measured" if again is None else "does not surely tell them apart"
    return f"{metric} {told}: what is spared may be a matter of output form."


def _sentence(pair: Beside, spared: Estimate, lost: Estimate) -> str:
    singles = ", ".join(one.training_words for one in pair.singles)
    found = pair.mixture
    return (
        f"On {found.name} {checkpoint_words(pair.step)} loses {effect_text(lost)} of {found.metric} in the mean when "
        f"tuned on one of {singles}, and {effect_text(pair.contrast(-1, 0, 1))} when tuned on {found.training_words} "
        f"together: the mixture spares {effect_text(spared)}."
    )


def _points(pair: Beside) -> tuple[dict[str, object], ...]:
    return tuple(
        dict(point("loss", Beside(one, (one,), pair.step).contrast(-1, 0, 1), x=one.training_words))
        for one in (pair.mixture, *pair.singles)
    )


ANALYSIS = Analysis(
    name="mixture",
    question="Does tuning on a mixture of tasks forget less than tuning on one of them?",
    family="mixture",
    delta=0.05,
    unit="clusters",
    formula="score after the mixture − mean score after each of its tasks alone, on a set that none of them learned, "
    "at the latest checkpoint; also single tunings lose there, the second reading agrees, and the mixture is not worse "
    "at home by .1 of the way from chance, in the mean over its tasks",
    source="question of Sun & Dredze 2024, §4 (task transfer); clustered paired errors of Miller, arXiv 2411.00640",
    run=run,
)
