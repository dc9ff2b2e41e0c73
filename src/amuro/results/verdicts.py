"""From an estimate to a verdict: the rules of docs/method.md in one place.

supported: the 95 % interval lies wholly above 0, the estimate reaches δ, and p after Holm is at most .05.
refuted: the interval lies wholly below δ. open: anything else, and whatever is not *measured*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from amuro.core.types import Finding, Verdict
from amuro.results.stats.estimate import Quantity
from amuro.results.stats.multiplicity import holm

ALPHA = 0.05
"""Family-wise error level of *supported*."""


@dataclass(frozen=True)
class Claim:
    """A draft finding with the estimate that its verdict is decided on."""

    finding: Finding
    estimate: Quantity | None
    """None where nothing was estimated; the verdict is then *open*."""
    p: float | None = None
    """Largest p value of the conditions that must all hold; None: the two-sided p value of the estimate."""
    holds: bool = True
    """False where something besides the estimate forbids *supported* (`finding.note` says what)."""

    @property
    def p_value(self) -> float | None:
        """Returns the p value that enters the correction for multiplicity; None where nothing is measured."""
        if self.estimate is None or self.finding.evidence != "measured":
            return None
        return self.estimate.p_two_sided() if self.p is None else self.p


def verdict(claim: Claim, p_adjusted: float | None) -> Verdict:
    """Returns the verdict on one claim from its corrected p value (None: *open*)."""
    if claim.estimate is None or p_adjusted is None:
        return "open"
    low, high = claim.estimate.interval()
    delta = claim.finding.delta
    if low > 0 and claim.estimate.value >= delta and p_adjusted <= ALPHA and claim.holds:
        return "supported"
    return "refuted" if high < delta else "open"


def _finite(number: float) -> float | None:
    """Returns the number, or None where it is infinite or NaN and could not be stored as JSON."""
    return float(number) if math.isfinite(number) else None


def decide_verdicts(claims: Sequence[Claim]) -> list[Finding]:
    """Returns the findings of one family with corrected p values (Holm) and verdicts, in the order of the claims."""
    p_values = {index: p for index, claim in enumerate(claims) if (p := claim.p_value) is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))
    return [_decided(claim, adjusted.get(index)) for index, claim in enumerate(claims)]


def _decided(claim: Claim, p_adjusted: float | None) -> Finding:
    """Returns the finding with its verdict, corrected p value, effect and 95 % interval."""
    finding = replace(claim.finding, verdict=verdict(claim, p_adjusted), p_adjusted=p_adjusted)
    if claim.estimate is None:
        return finding
    low, high = claim.estimate.interval()
    return replace(finding, effect=_finite(claim.estimate.value), low=_finite(low), high=_finite(high))
