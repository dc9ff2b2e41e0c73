"""Does tuning help on the task that was tuned?"""

from __future__ import annotations

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import NO_HOME, blank, caveats, draft_finding, gained
from amuro.results.trajectory import Trajectory
from amuro.results.trajectory_groups import trajectories
from amuro.results.verdicts import Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per tuned task, at its latest checkpoint; the figure has all checkpoints."""
    claims = [_claim(evidence, trajectory) for trajectory in trajectories(evidence, ["in_domain"])]
    return decide_verdicts(claims) or [blank(ANALYSIS, evidence, NO_HOME, "not run")]


def _claim(evidence: Evidence, trajectory: Trajectory) -> Claim:
    estimate, sentence, status, reason = gained(evidence, trajectory)
    note = caveats(evidence, trajectory, reason)
    return Claim(draft_finding(ANALYSIS, evidence, trajectory, sentence, status, note=note), estimate)


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
