"""Matches findings of two studies: both verdicts, both effects, and the difference of the effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from amuro.core.types import Finding


@dataclass(frozen=True, slots=True)
class Difference:
    """Second effect − first effect with its 95 % interval, for independent studies."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Pair:
    """One finding that both studies have."""

    left: Finding
    right: Finding
    difference: Difference | None
    """None where an interval is missing, or where the two are on different scales."""
    remarks: tuple[str, ...]
    """What the two do not share besides their data."""

    @property
    def agree(self) -> bool:
        """Whether both have the same verdict."""
        return self.left.verdict == self.right.verdict


@dataclass(frozen=True, slots=True)
class Matched:
    """Findings of two studies by id: those of both (different verdicts first), and those of one alone."""

    pairs: tuple[Pair, ...]
    only_left: tuple[Finding, ...]
    only_right: tuple[Finding, ...]


def match(left: Sequence[Finding], right: Sequence[Finding]) -> Matched:
    """Findings beside each other by their ids, in the order of the first study.

    A study of several series has the series at the end of its ids. What no id of the other study meets is sought there
    without that end, in the same series.
    """
    by_id = {finding.id: finding for finding in right}
    met = {finding.id: by_id[finding.id] for finding in left if finding.id in by_id}
    taken = {finding.id for finding in met.values()}
    by_series = {_of_series(finding): finding for finding in right if finding.id not in taken}
    for finding in left:
        if finding.id not in met and _of_series(finding) in by_series:
            met[finding.id] = by_series.pop(_of_series(finding))
    taken = {finding.id for finding in met.values()}
    pairs = [_pair(finding, met[finding.id]) for finding in left if finding.id in met]
    return Matched(
        tuple(sorted(pairs, key=lambda pair: pair.agree)),
        tuple(finding for finding in left if finding.id not in met),
        tuple(finding for finding in right if finding.id not in taken),
    )


def _of_series(finding: Finding) -> tuple[str, str]:
    """Returns (id without the series at its end, series)."""
    return finding.id.removesuffix(f".{finding.series.lower()}"), finding.series


def _pair(left: Finding, right: Finding) -> Pair:
    same_scale = left.analysis == right.analysis and math.isclose(left.delta, right.delta, rel_tol=1e-9)
    remarks = [
        f"{name}: {one} and {other}"
        for name, one, other in (
            ("smallest effect of interest", f"{left.delta:.3g}", f"{right.delta:.3g}"),
            ("unit of evidence", left.unit, right.unit),
            ("analysis", left.analysis, right.analysis),
            ("series", left.series, right.series),
            ("evidence", left.evidence, right.evidence),
        )
        if one != other
    ]
    return Pair(left, right, difference(left, right) if same_scale else None, tuple(remarks))


def difference(left: Finding, right: Finding) -> Difference | None:
    """How far right lies above left. The arms of the two intervals are added in squares, each side for itself (Zou &
    Donner 2008, doi 10.1002/sim.3095): for symmetric intervals this is the two-sample z interval. None where one of
    them has no interval.
    """
    if left.effect is None or left.low is None or left.high is None:
        return None
    if right.effect is None or right.low is None or right.high is None:
        return None
    if not (left.low <= left.effect <= left.high and right.low <= right.effect <= right.high):
        return None
    value = right.effect - left.effect
    below = math.hypot(right.effect - right.low, left.high - left.effect)
    above = math.hypot(right.high - right.effect, left.effect - left.low)
    return Difference(value, value - below, value + above)
