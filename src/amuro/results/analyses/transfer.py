"""Does what was tuned carry over to rows from another domain?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amuro.core.types import Finding
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import blank, caveats, draft_finding, gained
from amuro.results.stats.ratio import fieller
from amuro.results.trajectory import ASKED, Trajectory, trajectories
from amuro.results.verdicts import Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a tuned task and out-of-domain set, at the latest checkpoint; every checkpoint is drawn."""
    homes = trajectories(evidence, ["in_domain"])
    claims = [_claim(evidence, found, _home(found, homes)) for found in trajectories(evidence, ["out_of_domain"])]
    return decide_verdicts(claims) or [
        blank(ANALYSIS, evidence, "No tuned model was asked on an out-of-domain set.", "not run")
    ]


def _home(found: Trajectory, homes: Sequence[Trajectory]) -> Trajectory | None:
    """The set in domain of the same recipe: that of the same task, where it has several. None where that names none."""
    ours = [home for home in homes if home.tuning == found.tuning]
    ours = [home for home in ours if home.task == found.task] or ours
    return ours[0] if len(ours) == 1 else None


def _claim(evidence: Evidence, found: Trajectory, home: Trajectory | None) -> Claim:
    estimate, sentence, status, reason = gained(evidence, found)
    unlike = _unlike(found, home)
    note = caveats(evidence, found, reason, unlike)
    sentence = sentence if home is None or unlike else f"{sentence} {_share(found, home)}"
    return Claim(draft_finding(ANALYSIS, evidence, found, sentence, status, note=note), estimate)


def _unlike(found: Trajectory, home: Trajectory | None) -> str:
    """Why no share of the gain in domain can be told: only what was asked alike can be divided. Empty where it can."""
    if home is None:
        return "No share of a gain in domain: not just one set in domain was asked."
    sides = [_how(side) for side in (home, found)]
    differing = [
        f"{name} ({sides[0][name]}, here {sides[1][name]})" for name in sides[0] if len({s[name] for s in sides}) > 1
    ]
    return f"No share of the gain in domain, which was asked with another {', '.join(differing)}." if differing else ""


def _how(found: Trajectory) -> dict[str, object]:
    """What two gains must have in common before one is divided by the other."""
    asked = {name.replace("_", " "): found.score_rows[-1].get(name) for name in ASKED if name != "limit"}
    return {"format": found.format, "checkpoint": int(found.steps[-1]), "metric": found.metric, **asked}


def _share(found: Trajectory, home: Trajectory) -> str:
    """The out-of-domain gain as a share of the in-domain gain at the same step, where the latter is surely above 0."""
    outside, inside = (side.contrast(side.at(-1), -side.at(-1)) for side in (found, home))
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
