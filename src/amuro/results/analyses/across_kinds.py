"""Does tuning on classification forget generation, and the other way round?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from amuro.core.types import EvidenceState, Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.base_prompting import format_free_metric, format_free_trajectories
from amuro.results.finding_text import EvidenceStatus, blank, caveats_of, evidence_status, nothing_to_lose, point
from amuro.results.stats.clustered import Means, clustered_means, degrees
from amuro.results.stats.estimate import Estimate, Part, combine, satterthwaite
from amuro.results.stats.ratio import PairedRatio
from amuro.results.trajectory import Bools, Trajectory, Tuning
from amuro.results.trajectory_groups import longest, on_shared_examples, stand_ins, trajectories
from amuro.results.verdicts import Claim, decide_verdicts

SIDE = {"classification": "class", "multiple_choice": "class", "generation": "generation"}
"""Kind of task → side; language modeling has none."""
DIRECTIONS = (("class", "generation"), ("generation", "class"))
REACH = "These pairs of tasks are fixed: the result does not generalise to others."


@dataclass(frozen=True)
class Pairs:
    """Pairs (tuning on one side, evaluation set of the other side), each at its latest checkpoint.

    A pair has the weight of the examples that it is judged on (see `_able`). The sum over examples that took no part in
    the selection is unbiased, a mean of means is not.
    """

    trajectories: tuple[Trajectory, ...]
    chances: Mapping[str, float]
    """Evaluation set → chance score, which is subtracted."""

    def contrast(self, base: float, tuned: float) -> Estimate:
        """Estimates base · (mean base score) + tuned · (mean tuned score), both above chance.

        Pairs on one set share its examples and its base. The errors of a run on several sets are taken as fully
        correlated: they are summed before they are squared.
        """
        value, items, within, errors = 0.0, 0.0, 0.0, defaultdict[Tuning, list[Part]](list)
        for pairs, means, share in self._sets:
            weights = share * np.repeat([base, tuned], len(pairs))
            guessed = share * len(pairs) * (base + tuned) * self.chances[pairs[0].name]
            value += float(weights @ means.value) - guessed
            items += means.noise(weights)[0]
            for pair in pairs:
                noise, runs = pair.noise, len(pair.by_seed[-1])
                if noise is not None:
                    within += (share * tuned) ** 2 * noise.sampling / runs
                    beyond = share * abs(tuned) * math.sqrt(noise.beyond / runs)
                    errors[pair.tuning].append((beyond, noise.df))
        groups = min(means.groups for _, means, _ in self._sets)
        of_runs = [(sum(sd for sd, _ in sets) ** 2, min(df for _, df in sets)) for sets in errors.values()]
        noise_of_runs = within + sum(variance for variance, _ in of_runs)
        freedom = satterthwaite(of_runs) if of_runs else 1.0
        return combine(value, [(max(items - within, 0.0), degrees(groups)), (noise_of_runs, freedom)])

    @cached_property
    def _sets(self) -> list[tuple[list[Trajectory], Means, float]]:
        """Returns per set: its pairs, their means (2 × pairs; bases, then tuned models), and the weight of one pair."""
        sets = defaultdict(list)
        for pair in self.trajectories:
            sets[pair.name].append(pair)
        grouped = [(pairs, *_means(pairs)) for pairs in sets.values()]
        total = sum(len(pairs) * share for pairs, _, share in grouped)
        return [(pairs, means, share / total) for pairs, means, share in grouped]

    @property
    def loss(self) -> PairedRatio:
        """Returns 1 − Σ tuned / Σ base, both above chance; in a mean of ratios, a small base would dominate."""
        below, lost = self.contrast(1, 0), self.contrast(1, -1)
        return PairedRatio(lost.value / below.value, lambda share: self.contrast(1 - share, -1))

    @property
    def drop(self) -> Estimate:
        """Estimates the mean of base − tuned."""
        return self.contrast(1, -1)


def _means(pairs: Sequence[Trajectory]) -> tuple[Means, float]:
    """Returns (means on the shared examples of all pairs on one set, share of the set's examples that these are)."""
    shared = on_shared_examples(pairs)
    rows = [*(pair.base[-1] for pair in shared), *(pair.tuned[-1] for pair in shared)]
    return clustered_means(np.array(rows), shared[0].clusters), len(shared[0].examples) / len(shared[0].matrix.clusters)


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns two findings per series: class → generation and generation → class."""
    pairs, stood_in = stand_ins([pair for pair in longest(trajectories(evidence, ["cross_task"])) if pair.facts.share])
    format_free = dict(zip(map(_key, pairs), format_free_trajectories(evidence, pairs), strict=True))
    claims = [
        _claim(
            evidence,
            series,
            sides,
            [pair for pair in pairs if _goes(evidence, pair, series, sides)],
            format_free,
            stood_in,
            rng,
        )
        for series in sorted({pair.tuning.series for pair in pairs})
        for sides in DIRECTIONS
    ]
    return decide_verdicts(claims) or [
        blank(ANALYSIS, evidence, "No tuned model was evaluated on another task.", "not run")
    ]


Key = tuple[Tuning, str]
"""(tuning, evaluation set)"""
FormatFree = Mapping[Key, Trajectory | None]
"""Key → the trajectory under the format-free metric; None where there is none."""


def _key(trajectory: Trajectory) -> Key:
    return trajectory.tuning, trajectory.name


def _goes(evidence: Evidence, trajectory: Trajectory, series: str, sides: tuple[str, str]) -> bool:
    """Whether a trajectory of this series was tuned on pair side and evaluated on the other; never for mixtures."""
    taught = evidence.tasks.get(trajectory.tuning.tuned_on)
    return (
        trajectory.tuning.series == series
        and taught is not None
        and (SIDE.get(taught.kind), SIDE.get(evidence.tasks[trajectory.task].kind)) == sides
    )


def _claim(
    evidence: Evidence, series: str, sides: tuple[str, str], pairs: Sequence[Trajectory], format_free: FormatFree,
    stood_in: str, rng: np.random.Generator,
) -> Claim:  # fmt: skip
    fit = _able(evidence, [pair for pair in pairs if evidence_status(pair)[0] == "measured"], rng)
    name, arrow = "_to_".join(sides), " → ".join(sides)
    further: dict[str, Any] = {"id": f"across_kinds.{series}.{name}".lower(), "n": len(fit), "series": series}
    if not fit:
        status, sentence, why = _nothing(pairs, arrow, evidence)
        return Claim(blank(ANALYSIS, evidence, sentence, status, note=why, **further), None)
    judged = Pairs(tuple(fit), {pair.name: pair.floor for pair in fit})
    if judged.contrast(1, 0).interval()[0] <= 0:
        why = "Over all pairs the bases do not surely clear chance, so there is nothing to forget."
        sentence = f"Over {_names(fit)} no loss {arrow} can be estimated."
        return Claim(blank(ANALYSIS, evidence, sentence, "insufficient", note=why, **further), None)
    loss = judged.loss
    low, high = loss.interval()
    again, form = _again(evidence, fit, format_free)
    sentence = (
        f"After tuning on {sides[0]} tasks the bases lose {loss.value:+.1%} (95 % interval {low:+.1%} to {high:+.1%}) "
        f"of their score above chance on {sides[1]} tasks, over {_names(fit)}"
        f"{' (formatting, not knowledge)' if form else ''}."
    )
    note = caveats_of(evidence, fit, REACH, stood_in, _left_out(pairs, fit), form)
    finding = blank(
        ANALYSIS, evidence, sentence, "measured", note=note, cells=tuple(cell for pair in fit for cell in pair.cells),
        points=tuple(_point(pair) for pair in fit), **further,
    )  # fmt: skip
    return Claim(finding, loss, max([loss.p_two_sided(), *(pair.p_two_sided() for pair in again)]), holds=not form)


def _able(evidence: Evidence, pairs: Sequence[Trajectory], rng: np.random.Generator) -> list[Trajectory]:
    """Returns the pairs whose base clears chance, restricted to examples that were not used for this selection.

    A base selected for its score on some examples has a score that is too high on them, so tuned models would seem to
    forget by regression to the mean. Each half of the clusters is therefore judged only if the base clears chance on
    the other half. All pairs on a set share the halves.
    """
    groups = {pair.name: pair.matrix.groups for pair in pairs}
    halves = {name: rng.permutation(groups[name]) % 2 == 0 for name in sorted(groups)}
    return [kept for pair in pairs if (kept := _judged_part(evidence, pair, halves[pair.name])) is not None]


def _judged_part(evidence: Evidence, trajectory: Trajectory, halves: Bools) -> Trajectory | None:
    """Returns the trajectory on the halves whose counterpart clears chance; None without any."""
    first = halves[trajectory.matrix.clusters[trajectory.examples]]
    if first.all() or not first.any():
        return None
    able = {half: not nothing_to_lose(ANALYSIS, evidence, trajectory.only(first == half)) for half in (True, False)}
    kept = (first & able[False]) | (~first & able[True])
    return trajectory.only(kept) if kept.any() else None


def _nothing(pairs: Sequence[Trajectory], arrow: str, evidence: Evidence) -> tuple[EvidenceState, str, str]:
    """Returns evidence state, sentence and reason where no pair can show a loss."""
    status: EvidenceStatus = ("not run", "")
    for pair in pairs:
        status = evidence_status(pair)
        if status[0] == "measured":
            status = ("insufficient", nothing_to_lose(ANALYSIS, evidence, pair))
    return status[0], f"No pair {arrow} can show whether tuning forgets the other kind of task.", status[1]


def _names(fit: Sequence[Trajectory]) -> str:
    """Returns the pairs as words: `TUNED ON → TASK`, comma-separated."""
    return ", ".join(dict.fromkeys(f"{pair.training_words} → {pair.task}" for pair in fit))


def _left_out(pairs: Sequence[Trajectory], fit: Sequence[Trajectory]) -> str:
    """Returns the sentence on pairs whose base has nothing to lose, or that were not measured."""
    kept = {_key(pair) for pair in fit}
    lost = [pair for pair in pairs if _key(pair) not in kept]
    return f"Left out, since nothing can be lost there: {_names(lost)}." if lost else ""


def _again(evidence: Evidence, fit: Sequence[Trajectory], format_free: FormatFree) -> tuple[list[Estimate], str]:
    """Returns (mean loss under the format-free metric per set, note where pair is missing or not significant).

    Likelihoods of different answers have no common scale, so each set must show a loss.
    """
    needed = [pair for pair in fit if format_free_metric(evidence, pair)]
    measured = [other for pair in needed if (other := format_free[_key(pair)]) is not None]
    if len(measured) < len(needed):
        return [], "The format-free metric was not measured on all sets: the loss may be formatting, not knowledge."
    by_set = [
        [pair for pair in measured if pair.name == name] for name in dict.fromkeys(pair.name for pair in measured)
    ]
    drops = [Pairs(tuple(pairs), {pairs[0].name: 0.0}).drop for pairs in by_set]
    open_sets = [pairs[0].name for pairs, drop in zip(by_set, drops, strict=True) if drop.interval()[0] <= 0]
    note = f"The format-free metric shows no sure loss on {', '.join(open_sets)}: the loss may be formatting."
    return drops, note if open_sets else ""


def _point(trajectory: Trajectory) -> Mapping[str, Any]:
    last = trajectory.at(-1)
    return point("loss", trajectory.contrast(-last, last), x=f"{trajectory.training_words} → {trajectory.task}")


ANALYSIS = Analysis(
    name="across_kinds",
    question="Does tuning on classification forget generation, and the other way round?",
    family="across kinds of task",
    delta=0.1,
    unit="pairs of tasks",
    formula="1 − Σ tuned / Σ base, both above chance, over pairs (task tuned on → task of the other kind) whose base "
    "clears chance on other clusters; Fieller's interval for paired sums; the format-free metric must fall on each set",
    source="Sun & Dredze 2024, finding 1 (task transfer); Fieller, J. R. Statist. Soc. B 16 (1954)",
    run=run,
)
