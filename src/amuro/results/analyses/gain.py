"""Does tuning help on the task that was tuned?"""

from __future__ import annotations

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import NO_HOME, blank, draft, gained, limits
from amuro.results.trajectory import Ladder, ladders
from amuro.results.verdicts import Claim, settle


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a tuned task, at its latest checkpoint; every checkpoint is drawn."""
    claims = [_claim(evidence, found) for found in ladders(evidence, ["in_domain"])]
    return settle(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _claim(evidence: Evidence, found: Ladder) -> Claim:
    estimate, sentence, standing, reason = gained(evidence, found)
    note = limits(evidence, found, reason)
    return Claim(draft(ANALYSIS, evidence, found, sentence, standing, note=note), estimate)


ANALYSIS = Analysis(
    name="gain",
    question="Does tuning help on the task that was tuned?",
    family="gain",
    delta=0.1,
    unit="clusters",
    formula="mean over examples of (tuned − base) at the latest checkpoint; variance = clusters + tuning runs",
    source="Sun & Dredze 2024, finding 1; clustered paired standard errors of Miller, arXiv 2411.00640",
    run=run,
)
