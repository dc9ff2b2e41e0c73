"""Does what was tuned carry over to rows from another domain?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import blank, caveats, draft_finding, gained
from amuro.results.stats.ratio import fieller
from amuro.results.trajectory import ASKED, Trajectory
from amuro.results.trajectory_groups import trajectories
from amuro.results.verdicts import Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding per tuned task and out-of-domain set, at the latest checkpoint; the figure has all."""
    homes = trajectories(evidence, ["in_domain"])
    claims = [
        _claim(evidence, trajectory, _home(trajectory, homes))
        for trajectory in trajectories(evidence, ["out_of_domain"])
    ]
    return decide_verdicts(claims) or [
        blank(ANALYSIS, evidence, "No tuned model was evaluated on an out-of-domain set.", "not run")
    ]


def _home(trajectory: Trajectory, homes: Sequence[Trajectory]) -> Trajectory | None:
    """Returns the in-domain trajectory of the recipe (of several, that of the same task); None if it is not unique."""
    ours = [home for home in homes if home.tuning == trajectory.tuning]
    ours = [home for home in ours if home.task == trajectory.task] or ours
    return ours[0] if len(ours) == 1 else None


def _claim(evidence: Evidence, trajectory: Trajectory, home: Trajectory | None) -> Claim:
    estimate, sentence, status, reason = gained(evidence, trajectory)
    unlike = _unlike(trajectory, home)
    note = caveats(evidence, trajectory, reason, unlike)
    sentence = sentence if home is None or unlike else f"{sentence} {_share(trajectory, home)}"
    return Claim(draft_finding(ANALYSIS, evidence, trajectory, sentence, status, note=note), estimate)


def _unlike(trajectory: Trajectory, home: Trajectory | None) -> str:
    """Returns why the gain cannot be divided by the gain in domain: they differ in prompts; empty where it can."""
    if home is None:
        return "No share of the gain in domain: there is not exactly one in-domain set."
    sides = [_how(side) for side in (home, trajectory)]
    differing = [
        f"{name} ({sides[0][name]}, here {sides[1][name]})" for name in sides[0] if len({s[name] for s in sides}) > 1
    ]
    return (
        f"No share of the gain in domain, which was evaluated with another {', '.join(differing)}." if differing else ""
    )


def _how(trajectory: Trajectory) -> dict[str, object]:
    """Returns the coordinates in which two gains must agree before one is divided by the other."""
    asked = {name.replace("_", " "): trajectory.score_rows[-1].get(name) for name in ASKED if name != "limit"}
    return {"format": trajectory.format, "checkpoint": int(trajectory.steps[-1]), "metric": trajectory.metric, **asked}


def _share(trajectory: Trajectory, home: Trajectory) -> str:
    """Returns the sentence on the gain as a share of the in-domain gain at the same step, if that is surely above 0."""
    outside, inside = (side.contrast(side.at(-1), -side.at(-1)) for side in (trajectory, home))
    interval = fieller(outside, inside)
    if interval is None or inside.value <= 0:
        return "The gain in domain is too small to say which share of it carries over."
    return (
        f"That is {outside.value / inside.value:.2f} of the gain in domain "
        f"(95 % interval {interval[0]:.2f} to {interval[1]:.2f})."
    )


ANALYSIS = Analysis(
    name="transfer",
    question="Does what was tuned carry over to rows from another domain?",
    family="transfer",
    delta=0.1,
    unit="clusters",
    formula="mean over out-of-domain examples of (tuned − base) at the latest checkpoint; share of the in-domain gain "
    "as a ratio of the two means with Fieller's interval",
    source="Sun & Dredze 2024, finding 1 and experiment 1; Fieller, J. R. Statist. Soc. B 16 (1954)",
    run=run,
)
