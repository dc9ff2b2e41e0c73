"""Showing that something does not move."""

from __future__ import annotations

from amuro.results.stats.estimate import Estimate


def tost(estimate: Estimate, margin: float) -> float:
    """P value of two one-sided tests: small where the estimate lies surely within ±`margin`.

    Schuirmann, J. Pharmacokin. Biopharm. 15 (1987) 657.
    """
    below = Estimate(-estimate.value, estimate.parts)
    return max(estimate.p_above(-margin), below.p_above(-margin))
