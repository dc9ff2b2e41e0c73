"""What must be equal, and how far two sides are from float32."""

from __future__ import annotations

import scoring
from gpu.clock import Facts
from scoring import Sums

NEAR = 1e-4
"""Nats that float32 may differ by between devices and programs: sums of log-probabilities, and losses."""


def near(**gaps: float) -> Facts:
    """The largest differences, in nats; NaN is never near."""
    return {**gaps, "ok": all(gap <= NEAR for gap in gaps.values())}


def apart(ours: Sums, theirs: Sums, exact: Sums) -> Facts:
    """Largest and RMS distance of both sides from `exact`, in nats; a curve of losses is one document."""
    (most, rms), (their_most, their_rms) = (scoring.distance(sums, exact) for sums in (ours, theirs))
    return {"max": most, "their_max": their_most, "rms": rms, "their_rms": their_rms}
