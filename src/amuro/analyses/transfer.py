"""Does what was tuned carry over to rows from another domain?"""

from __future__ import annotations

import numpy as np

from amuro.analysis import Analysis, Evidence
from amuro.findings import blank, draft, gained, limits
from amuro.ladders import Ladder, ladders
from amuro.stats.ratio import fieller
from amuro.types import Finding
from amuro.verdicts import Claim, settle


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """One finding a tuned task and out-of-domain set, at the latest checkpoint; every checkpoint is drawn."""
    homes = {found.tuning: found for found in ladders(evidence, ["in_domain"])}
    claims = [_claim(evidence, found, homes.get(found.tuning)) for found in ladders(evidence, ["out_of_domain"])]
    return settle(claims) or [blank(ANALYSIS, evidence, "No tuned model was asked on an out-of-domain set.", "not run")]


def _claim(evidence: Evidence, found: Ladder, home: Ladder | None) -> Claim:
    estimate, sentence, standing, reason = gained(evidence, found)
    note = limits(evidence, found, reason)
    sentence = f"{sentence} {_share(found, home)}".strip()
    return Claim(draft(ANALYSIS, evidence, found, sentence, standing, note=note), estimate)


def _share(found: Ladder, home: Ladder | None) -> str:
    """The out-of-domain gain as a share of the in-domain gain at the same step, where the latter is surely above 0."""
    if home is None or home.steps[-1] != found.steps[-1] or home.metric != found.metric:
        return ""
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
