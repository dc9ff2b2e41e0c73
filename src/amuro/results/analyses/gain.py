"""Does tuning help on the task that was tuned?"""

from __future__ import annotations

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import NO_HOME, blank, caveats, draft_finding, gained
from amuro.results.trajectory import Trajectory, trajectories
from amuro.results.verdicts import Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a tuned task, at its latest checkpoint; every checkpoint is drawn."""
    claims = [_claim(evidence, found) for found in trajectories(evidence, ["in_domain"])]
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _claim(evidence: Evidence, found: Trajectory) -> Claim:
    estimate, sentence, status, reason = gained(evidence, found)
    note = caveats(evidence, found, reason)
    return Claim(draft_finding(ANALYSIS, evidence, found, sentence, status, note=note), estimate)


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
