"""Equivalence tests."""

from __future__ import annotations

from amuro.results.stats.estimate import Estimate


def tost(estimate: Estimate, margin: float) -> float:
    """Returns the p value of two one-sided tests of "outside ±`margin`" (Schuirmann, J. Pharmacokin. 15, 1987)."""
    below = Estimate(-estimate.value, estimate.parts)
    return max(estimate.p_above(-margin), below.p_above(-margin))
