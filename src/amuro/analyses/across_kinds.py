"""Does tuning on classification forget generation, and the other way round?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from amuro.analysis import Analysis, Evidence
from amuro.findings import Standing, blank, nothing_to_lose, point, state
from amuro.ladders import Ladder, Tuning, ladders, longest
from amuro.readouts import second_metric, second_readings
from amuro.stats.clustered import Means, clustered_means, degrees
from amuro.stats.estimate import Estimate, Part, combine, satterthwaite
from amuro.stats.ratio import PairedRatio
from amuro.types import EvidenceState, Finding
from amuro.verdicts import Claim, settle

SIDE = {"label": "class", "choice": "class", "generate": "generation"}
"""Kind of task → its side; documents have none."""
DIRECTIONS = (("class", "generation"), ("generation", "class"))
REACH = "These pairs of tasks are fixed: nothing follows for others."


@dataclass(frozen=True)
class Pairs:
    """Tunings on one side, each asked a set of the other, at its latest checkpoint; each pair weighs the same."""

    found: tuple[Ladder, ...]
    chances: tuple[float, ...]
    """Guessing rate of each pair's set: scores count from there."""

    def contrast(self, base: float, tuned: float) -> Estimate:
        """Weighted sum of the mean base score and the mean tuned score, both above chance.

        Pairs on one set share its examples and its base. A run that is lucky on one set counts as lucky on all that it
        was asked: its errors add up before they are squared.
        """
        each = 1 / len(self.found)
        value, items, within, errors = 0.0, 0.0, 0.0, defaultdict[Tuning, list[Part]](list)
        for asked, means in self._sets:
            weights = each * np.repeat([base, tuned], len(asked))
            value += float(weights @ means.value)
            items += means.noise(weights)[0]
            for one in asked:
                noise, runs = one.noise, len(one.runs[-1])
                if noise is not None:
                    within += (each * tuned) ** 2 * noise.sampling / runs
                    beyond = each * abs(tuned) * math.sqrt(max(noise.variance - noise.sampling, 0.0) / runs)
                    errors[one.tuning].append((beyond, noise.df))
        value -= (base + tuned) * float(np.mean(self.chances))
        groups = min(means.groups for _, means in self._sets)
        of_runs = [(sum(sd for sd, _ in sets) ** 2, min(df for _, df in sets)) for sets in errors.values()]
        noise_of_runs = within + sum(variance for variance, _ in of_runs)
        freedom = satterthwaite(of_runs) if of_runs else 1.0
        return combine(value, [(max(items - within, 0.0), degrees(groups)), (noise_of_runs, freedom)])

    @cached_property
    def _sets(self) -> list[tuple[list[Ladder], Means]]:
        """Of each set the pairs on it, and the means (2 × pairs) of their bases and then of their tuned models."""
        sets = defaultdict(list)
        for one in self.found:
            sets[one.name].append(one)
        return [(pairs, _means(pairs)) for pairs in sets.values()]

    @property
    def loss(self) -> PairedRatio:
        """1 − Σ tuned / Σ base, both above chance: a ratio of sums, since one small base breaks a mean of ratios."""
        below, lost = self.contrast(1, 0), self.contrast(1, -1)
        return PairedRatio(lost.value / below.value, lambda share: self.contrast(1 - share, -1))

    @property
    def drop(self) -> Estimate:
        """Mean of base − tuned."""
        return self.contrast(1, -1)


def _means(pairs: Sequence[Ladder]) -> Means:
    """On the examples that all pairs on one set share."""
    shared = set.intersection(*(set(one.examples.tolist()) for one in pairs))
    asked = [one.only(np.isin(one.examples, list(shared))) for one in pairs]
    rows = [*(one.base[-1] for one in asked), *(one.tuned[-1] for one in asked)]
    return clustered_means(np.array(rows), asked[0].clusters)


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Two findings a series: class → generation and generation → class."""
    every = [one for one in longest(ladders(evidence, ["cross_task"])) if one.sign > 0]
    second = dict(zip(map(_key, every), second_readings(evidence, every), strict=True))
    claims = [
        _claim(evidence, series, sides, [one for one in every if _goes(evidence, one, series, sides)], second)
        for series in sorted({one.tuning.series for one in every})
        for sides in DIRECTIONS
    ]
    return settle(claims) or [blank(ANALYSIS, evidence, "No tuned model was asked on another task.", "not run")]


Key = tuple[Tuning, str]
Seconds = Mapping[Key, Ladder | None]


def _key(found: Ladder) -> Key:
    return found.tuning, found.name


def _goes(evidence: Evidence, found: Ladder, series: str, sides: tuple[str, str]) -> bool:
    """Whether a ladder of this series leads from one side to the other. Mixtures of several tasks lead nowhere."""
    taught = evidence.tasks.get(found.tuning.tuned_on)
    return (
        found.tuning.series == series
        and taught is not None
        and (SIDE.get(taught.kind), SIDE.get(evidence.tasks[found.task].kind)) == sides
    )


def _claim(evidence: Evidence, series: str, sides: tuple[str, str], every: Sequence[Ladder], second: Seconds) -> Claim:
    fit = [one for one in every if not nothing_to_lose(ANALYSIS, evidence, one) and state(one)[0] == "measured"]
    name, arrow = "_to_".join(sides), " → ".join(sides)
    further: dict[str, Any] = {"id": f"across_kinds.{series}.{name}".lower(), "n": len(fit), "series": series}
    if not fit:
        standing, sentence, why = _nothing(every, arrow, evidence)
        return Claim(blank(ANALYSIS, evidence, sentence, standing, note=why, **further), None)
    pairs = Pairs(tuple(fit), tuple(evidence.tasks[one.task].chance or 0.0 for one in fit))
    loss = pairs.loss
    low, high = loss.interval()
    again, form = _again(evidence, fit, second)
    sentence = (
        f"Tuning on {sides[0]} tasks takes {loss.value:+.1%} (95 % interval {low:+.1%} to {high:+.1%}) of what the "
        f"bases can do beyond chance on {sides[1]} tasks, over {_names(fit)}{', in output form' if form else ''}."
    )
    note = " ".join(filter(None, [REACH, _left_out(every, fit), form]))
    finding = blank(
        ANALYSIS, evidence, sentence, "measured", note=note, cells=tuple(cell for one in fit for cell in one.cells),
        points=tuple(_point(one) for one in fit), **further,
    )  # fmt: skip
    p = loss.p_two_sided() if again is None else max(loss.p_two_sided(), again.p_two_sided())
    return Claim(finding, loss, p, holds=not form)


def _nothing(every: Sequence[Ladder], arrow: str, evidence: Evidence) -> tuple[EvidenceState, str, str]:
    """Evidence state, sentence and reason where no pair can show anything."""
    standing: Standing = ("not run", "")
    for one in every:
        standing = state(one)
        if standing[0] == "measured":
            standing = ("insufficient", nothing_to_lose(ANALYSIS, evidence, one))
    return standing[0], f"No pair {arrow} can show whether tuning forgets the other kind of task.", standing[1]


def _names(fit: Sequence[Ladder]) -> str:
    return ", ".join(dict.fromkeys(f"{one.tuning.lesson} → {one.task}" for one in fit))


def _left_out(every: Sequence[Ladder], fit: Sequence[Ladder]) -> str:
    """Pairs whose base has nothing to lose, or that were not measured."""
    kept = {_key(one) for one in fit}
    lost = [one for one in every if _key(one) not in kept]
    return f"Left out, since nothing can be lost there: {_names(lost)}." if lost else ""


def _again(evidence: Evidence, fit: Sequence[Ladder], second: Seconds) -> tuple[Estimate | None, str]:
    """(mean drop under the second reading, what is said where it does not surely fall or was not measured)."""
    needed = [one for one in fit if second_metric(evidence, one)]
    measured = [other for one in needed if (other := second[_key(one)]) is not None]
    if len(measured) < len(needed):
        return None, "The likelihood of answers was not measured everywhere: the loss may be one of output form."
    if not measured:
        return None, ""
    drop = Pairs(tuple(measured), (0.0,) * len(measured)).drop
    told = "In the second reading (calibrated, or the likelihood of the answer) the mean does not surely fall."
    return drop, "" if drop.interval()[0] > 0 else told


def _point(found: Ladder) -> Mapping[str, Any]:
    last = found.at(-1)
    return point("loss", found.contrast(-last, last), x=f"{found.tuning.lesson} → {found.task}")


ANALYSIS = Analysis(
    name="across_kinds",
    question="Does tuning on classification forget generation, and the other way round?",
    family="across kinds of task",
    delta=0.1,
    unit="pairs of tasks",
    formula="1 − Σ tuned / Σ base, both above chance, over pairs (task tuned on → task of the other kind) whose base "
    "clears chance; Fieller's interval for paired sums; the second reading must fall as well",
    source="Sun & Dredze 2024, finding 1 (task transfer); Fieller, J. R. Statist. Soc. B 16 (1954)",
    run=run,
)
