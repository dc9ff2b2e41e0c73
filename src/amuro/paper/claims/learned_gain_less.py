"""C4: do tasks that are learned in pre-training gain less from tuning?"""

from __future__ import annotations

import numpy as np
import polars as pl

from amuro.core.types import EvidenceState, Finding
from amuro.paper.changes import asked, merged
from amuro.paper.replicate_noise import in_words, run_noise, weighted
from amuro.paper.text import (
    DELTA,
    cells_of,
    draft_finding,
    left_out,
    long_enough,
    mean,
    names,
    note,
    plain,
    reading,
    sound,
    tasks_of,
)
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.replicates import Pooled
from amuro.results.stats.trend import change_weights
from amuro.results.verdicts import Claim, decide_verdicts

MIN_SETS = 8
"""Fewest data sets (the unit) for a claim."""
MIN_GROUP = 2
"""Fewest sets of a group for a comparison."""


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding: the mean gain of sets not learned in pre-training − that of learned sets."""
    rows = plain(asked(evidence.scores).filter(pl.col("role").is_in(["in_domain", "instructed"])))
    lines = long_enough(merged(sound(rows))) if rows.height else rows
    if lines.is_empty():
        nothing = "No set of this table has enough places of pre-training."
        return decide_verdicts([Claim(draft_finding(ANALYSIS, evidence.study, nothing, "not run"), None)])
    noise = run_noise(rows, "base", unit="task")
    sets = _sets(lines, noise)
    return decide_verdicts([_claim(evidence.study, rows, lines, sets, noise)])


def _sets(lines: pl.DataFrame, noise: Pooled | None) -> pl.DataFrame:
    """Returns one row per set: mean gain, the same as a share of the room above the base, whether its base rose
    significantly by δ or more, kind of tuning, and scorer.
    """
    rows = []
    for (tuned_on, task), line in lines.group_by("tuned_on", "task", maintain_order=True):
        rise = weighted(line, change_weights(line["tokens"].to_numpy()).tolist(), noise, "base", unit="task")
        rows.append({"tuned_on": tuned_on, "task": task, "gain": mean(line["change"]),
                      "share": mean(line["change"] / (1 - line["base"])), "rise": rise.value,
                      "learned": rise.value >= DELTA and rise.interval()[0] > 0, "tuning": line["role"][0],
                      "scorer": line["kind"][0]})  # fmt: skip
    return pl.DataFrame(rows)


def _claim(study: str, rows: pl.DataFrame, lines: pl.DataFrame, sets: pl.DataFrame, noise: Pooled | None) -> Claim:
    groups = {learned: sets.filter(pl.col("learned") == learned) for learned in (True, False)}
    state, reason = _state(sets, groups)
    estimate, share = _difference(groups, "gain"), _difference(groups, "share")
    agree = 1.0 if share is None else min(2 * share.p_above(), 1.0)
    learned, rest = (names(tasks_of(groups[g])) or "none" for g in (True, False))
    groups_named = f"Learned in pre-training by rule: {learned}; not: {rest}."
    effect = f" The others gain {reading(estimate)} more." if estimate else " So this table cannot compare their gains."
    finding = draft_finding(
        ANALYSIS, study, groups_named + effect, state, n=sets.height, cells=cells_of(lines), series=lines["series"][0],
        note=note(reason, _agreement(share), left_out(rows), in_words(noise)),
        points=tuple({"x": r["task"], "line": f"{'learned' if r['learned'] else 'not learned'}, {r['tuning']}",
                      "value": r["gain"], "y_label": "mean gain from tuning"}
                     for r in sets.sort("learned", "task").iter_rows(named=True)),
    )  # fmt: skip
    return Claim(finding, estimate, p=max(estimate.p_two_sided(), agree) if estimate else None)


def _agreement(share: Estimate | None) -> str:
    """Returns the sentence on the difference as a share of the room left, which a common ceiling does not explain."""
    return f"As a share of the room above the base the difference is {reading(share)}." if share else ""


def _state(sets: pl.DataFrame, groups: dict[bool, pl.DataFrame]) -> tuple[EvidenceState, str]:
    """Returns evidence state and reason: too few sets, an empty group, or groups with confounded facts."""
    for learned, word in ((True, "learned"), (False, "not learned")):
        if groups[learned].is_empty():
            return "insufficient", f"No set of this table counts as {word}: half of the claim's evidence is not in it."
    confounds = confounded(sets)
    named = f"The groups differ in {' and '.join(confounds)} as well: a difference cannot be attributed to learning."
    named = named if confounds else ""
    if sets.height < MIN_SETS:
        return "insufficient", f"{sets.height} sets; the unit is the set, and {MIN_SETS} are needed. {named}".strip()
    return ("mixed", named) if confounds else ("measured", "")


def confounded(sets: pl.DataFrame) -> list[str]:
    """Returns which of kind of tuning and scorer is confounded, i.e. has no value with two sets of each group."""
    confounds = []
    for column, word in (("tuning", "kind of tuning"), ("scorer", "scorer")):
        counts = sets.group_by(column, maintain_order=True).agg(
            pl.col("learned").sum().alias("yes"), (~pl.col("learned")).sum().alias("no")
        )
        if counts.filter((pl.col("yes") >= MIN_GROUP) & (pl.col("no") >= MIN_GROUP)).is_empty():
            confounds.append(word)
    return confounds


def _difference(groups: dict[bool, pl.DataFrame], column: str) -> Estimate | None:
    """Estimates the mean gain of sets not learned − learned, with Welch's variance; None where a group is too small."""
    if min(group.height for group in groups.values()) < MIN_GROUP:
        return None
    parts = []
    for group in groups.values():
        gains = group[column].to_numpy()
        parts.append((float(np.var(gains, ddof=1)) / len(gains), float(len(gains) - 1)))
    return Estimate(mean(groups[False][column]) - mean(groups[True][column]), tuple(parts))


ANALYSIS = Analysis(
    name="C4",
    question="C4 · Do tasks that pre-training teaches gain less?",
    family="learned tasks gain less",
    delta=DELTA,
    unit="data sets",
    formula="mean gain of sets that pre-training did not teach − of those that it did, > 0 as it is and as a share of "
    "the room above the base; learned: slope of the base over log tokens × span ≥ δ, interval above 0; groups that "
    "differ in kind of tuning or scorer are confounded",
    source="Sun & Dredze 2024, finding 4 and figure 8, table 6",
    run=run,
)
