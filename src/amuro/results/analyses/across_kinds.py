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
from amuro.results.trajectory import Bools, Trajectory, Tuning, longest, on_shared_examples, stand_ins, trajectories
from amuro.results.verdicts import Claim, decide_verdicts

SIDE = {"classification": "class", "multiple_choice": "class", "generation": "generation"}
"""Kind of task → its side; documents have none."""
DIRECTIONS = (("class", "generation"), ("generation", "class"))
REACH = "These pairs of tasks are fixed: nothing follows for others."


@dataclass(frozen=True)
class Pairs:
    """Tunings on one side, each asked a set of the other, at its latest checkpoint.

    A pair weighs as many examples as it is judged on (see `_able`): a sum over examples that had no say in their choice
    is unbiased, a mean of means is not.
    """

    found: tuple[Trajectory, ...]
    chances: Mapping[str, float]
    """Set → its guessing rate, from which scores count."""

    def contrast(self, base: float, tuned: float) -> Estimate:
        """Weighted sum of the mean base score and the mean tuned score, both above chance.

        Pairs on one set share its examples and its base. A run that is lucky on one set counts as lucky on all that it
        was asked: its errors add up before they are squared.
        """
        value, items, within, errors = 0.0, 0.0, 0.0, defaultdict[Tuning, list[Part]](list)
        for asked, means, each in self._sets:
            weights = each * np.repeat([base, tuned], len(asked))
            guessed = each * len(asked) * (base + tuned) * self.chances[asked[0].name]
            value += float(weights @ means.value) - guessed
            items += means.noise(weights)[0]
            for one in asked:
                noise, runs = one.noise, len(one.by_seed[-1])
                if noise is not None:
                    within += (each * tuned) ** 2 * noise.sampling / runs
                    beyond = each * abs(tuned) * math.sqrt(noise.beyond / runs)
                    errors[one.tuning].append((beyond, noise.df))
        groups = min(means.groups for _, means, _ in self._sets)
        of_runs = [(sum(sd for sd, _ in sets) ** 2, min(df for _, df in sets)) for sets in errors.values()]
        noise_of_runs = within + sum(variance for variance, _ in of_runs)
        freedom = satterthwaite(of_runs) if of_runs else 1.0
        return combine(value, [(max(items - within, 0.0), degrees(groups)), (noise_of_runs, freedom)])

    @cached_property
    def _sets(self) -> list[tuple[list[Trajectory], Means, float]]:
        """Of each set the pairs on it, the means (2 × pairs) of bases and then of tuned models, and a pair's weight."""
        sets = defaultdict(list)
        for one in self.found:
            sets[one.name].append(one)
        grouped = [(pairs, *_means(pairs)) for pairs in sets.values()]
        total = sum(len(pairs) * share for pairs, _, share in grouped)
        return [(pairs, means, share / total) for pairs, means, share in grouped]

    @property
    def loss(self) -> PairedRatio:
        """1 − Σ tuned / Σ base, both above chance: a ratio of sums, since one small base breaks a mean of ratios."""
        below, lost = self.contrast(1, 0), self.contrast(1, -1)
        return PairedRatio(lost.value / below.value, lambda share: self.contrast(1 - share, -1))

    @property
    def drop(self) -> Estimate:
        """Mean of base − tuned."""
        return self.contrast(1, -1)


def _means(pairs: Sequence[Trajectory]) -> tuple[Means, float]:
    """(means on the examples that all pairs on one set share, their share of the examples that the set has)."""
    asked = on_shared_examples(pairs)
    rows = [*(one.base[-1] for one in asked), *(one.tuned[-1] for one in asked)]
    return clustered_means(np.array(rows), asked[0].clusters), len(asked[0].examples) / len(asked[0].whole.clusters)


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Two findings a series: class → generation and generation → class."""
    every, told = stand_ins([one for one in longest(trajectories(evidence, ["cross_task"])) if one.facts.share])
    second = dict(zip(map(_key, every), format_free_trajectories(evidence, every), strict=True))
    claims = [
        _claim(
            evidence, series, sides, [one for one in every if _goes(evidence, one, series, sides)], second, told, rng
        )
        for series in sorted({one.tuning.series for one in every})
        for sides in DIRECTIONS
    ]
    return decide_verdicts(claims) or [
        blank(ANALYSIS, evidence, "No tuned model was asked on another task.", "not run")
    ]


Key = tuple[Tuning, str]
Seconds = Mapping[Key, Trajectory | None]


def _key(found: Trajectory) -> Key:
    return found.tuning, found.name


def _goes(evidence: Evidence, found: Trajectory, series: str, sides: tuple[str, str]) -> bool:
    """Whether a trajectory of this series leads from one side to the other. Mixtures of several tasks lead nowhere."""
    taught = evidence.tasks.get(found.tuning.tuned_on)
    return (
        found.tuning.series == series
        and taught is not None
        and (SIDE.get(taught.kind), SIDE.get(evidence.tasks[found.task].kind)) == sides
    )


def _claim(
    evidence: Evidence, series: str, sides: tuple[str, str], every: Sequence[Trajectory], second: Seconds,
    told: str, rng: np.random.Generator,
) -> Claim:  # fmt: skip
    fit = _able(evidence, [one for one in every if evidence_status(one)[0] == "measured"], rng)
    name, arrow = "_to_".join(sides), " → ".join(sides)
    further: dict[str, Any] = {"id": f"across_kinds.{series}.{name}".lower(), "n": len(fit), "series": series}
    if not fit:
        status, sentence, why = _nothing(every, arrow, evidence)
        return Claim(blank(ANALYSIS, evidence, sentence, status, note=why, **further), None)
    pairs = Pairs(tuple(fit), {one.name: one.floor for one in fit})
    if pairs.contrast(1, 0).interval()[0] <= 0:
        why = "Over all pairs the bases do not surely clear chance: what is not there cannot be forgotten."
        sentence = f"Over {_names(fit)} nothing can be said of {arrow}."
        return Claim(blank(ANALYSIS, evidence, sentence, "insufficient", note=why, **further), None)
    loss = pairs.loss
    low, high = loss.interval()
    again, form = _again(evidence, fit, second)
    sentence = (
        f"Tuning on {sides[0]} tasks takes {loss.value:+.1%} (95 % interval {low:+.1%} to {high:+.1%}) of what the "
        f"bases can do beyond chance on {sides[1]} tasks, over {_names(fit)}{', in output form' if form else ''}."
    )
    note = caveats_of(evidence, fit, REACH, told, _left_out(every, fit), form)
    finding = blank(
        ANALYSIS, evidence, sentence, "measured", note=note, cells=tuple(cell for one in fit for cell in one.cells),
        points=tuple(_point(one) for one in fit), **further,
    )  # fmt: skip
    return Claim(finding, loss, max([loss.p_two_sided(), *(one.p_two_sided() for one in again)]), holds=not form)


def _able(evidence: Evidence, every: Sequence[Trajectory], rng: np.random.Generator) -> list[Trajectory]:
    """The pairs whose base clears chance, on examples that had no say in that.

    A base that was chosen for its score on some examples has, by chance, too high a score on them, and tuned models
    fall back: with many bases near the threshold that alone would pass for forgetting. So either half of the clusters
    is judged only if the base clears chance on the other. All pairs on a set share the halves.
    """
    groups = {one.name: one.whole.groups for one in every}
    halves = {name: rng.permutation(groups[name]) % 2 == 0 for name in sorted(groups)}
    return [kept for one in every if (kept := _judged_part(evidence, one, halves[one.name])) is not None]


def _judged_part(evidence: Evidence, found: Trajectory, halves: Bools) -> Trajectory | None:
    first = halves[found.whole.clusters[found.examples]]
    if first.all() or not first.any():
        return None
    able = {half: not nothing_to_lose(ANALYSIS, evidence, found.only(first == half)) for half in (True, False)}
    kept = (first & able[False]) | (~first & able[True])
    return found.only(kept) if kept.any() else None


def _nothing(every: Sequence[Trajectory], arrow: str, evidence: Evidence) -> tuple[EvidenceState, str, str]:
    """Evidence state, sentence and reason where no pair can show anything."""
    status: EvidenceStatus = ("not run", "")
    for one in every:
        status = evidence_status(one)
        if status[0] == "measured":
            status = ("insufficient", nothing_to_lose(ANALYSIS, evidence, one))
    return status[0], f"No pair {arrow} can show whether tuning forgets the other kind of task.", status[1]


def _names(fit: Sequence[Trajectory]) -> str:
    return ", ".join(dict.fromkeys(f"{one.training_words} → {one.task}" for one in fit))


def _left_out(every: Sequence[Trajectory], fit: Sequence[Trajectory]) -> str:
    """Pairs whose base has nothing to lose, or that were not measured."""
    kept = {_key(one) for one in fit}
    lost = [one for one in every if _key(one) not in kept]
    return f"Left out, since nothing can be lost there: {_names(lost)}." if lost else ""


def _again(evidence: Evidence, fit: Sequence[Trajectory], second: Seconds) -> tuple[list[Estimate], str]:
    """(mean drop under the second reading, set by set; what is said where one does not surely fall or is missing).

    Likelihoods of unlike answers have no common scale, so no set may carry another.
    """
    needed = [one for one in fit if format_free_metric(evidence, one)]
    measured = [other for one in needed if (other := second[_key(one)]) is not None]
    if len(measured) < len(needed):
        return [], "The likelihood of answers was not measured everywhere: the loss may be one of output form."
    by_set = [[one for one in measured if one.name == name] for name in dict.fromkeys(one.name for one in measured)]
    drops = [Pairs(tuple(pairs), {pairs[0].name: 0.0}).drop for pairs in by_set]
    open_ones = [pairs[0].name for pairs, drop in zip(by_set, drops, strict=True) if drop.interval()[0] <= 0]
    told = f"In the second reading (calibrated, or the likelihood of the answer) {', '.join(open_ones)} may not fall."
    return drops, told if open_ones else ""


def _point(found: Trajectory) -> Mapping[str, Any]:
    last = found.at(-1)
    return point("loss", found.contrast(-last, last), x=f"{found.training_words} → {found.task}")


ANALYSIS = Analysis(
    name="across_kinds",
    question="Does tuning on classification forget generation, and the other way round?",
    family="across kinds of task",
    delta=0.1,
    unit="pairs of tasks",
    formula="1 − Σ tuned / Σ base, both above chance, over pairs (task tuned on → task of the other kind) whose base "
    "clears chance on other clusters; Fieller's interval for paired sums; the second reading must fall on each set",
    source="Sun & Dredze 2024, finding 1 (task transfer); Fieller, J. R. Statist. Soc. B 16 (1954)",
    run=run,
)
