"""C3: does pre-training build something that shows only after tuning, and over which span of tokens?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from amuro.core.types import EvidenceState, Finding
from amuro.paper.changes import asked, comparable, merged, with_places
from amuro.paper.replicate_noise import Point, in_words, run_noise, weighted
from amuro.paper.text import (
    MIN_PLACES,
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
    stuck_sets,
    tasks_of,
)
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import chances
from amuro.results.stats.clustered import Floats
from amuro.results.stats.equivalence import tost
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.replicates import Pooled
from amuro.results.stats.trend import change_weights, without_each
from amuro.results.verdicts import Claim, decide_verdicts

MIN_MODELS = 2
"""Fewest tuned models for a statement about tasks in general."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines of (tuned − best-prompted base) over places, with their run variances."""

    rows: pl.DataFrame
    noise: Pooled | None
    base_noise: Pooled | None

    def growth(self, weights: Floats) -> Estimate:
        """Estimates Σ w (tuned − base)."""
        return weighted(self.rows, weights.tolist(), self.noise)

    def base(self, weights: Floats) -> Estimate:
        """Estimates Σ w base."""
        return weighted(self.rows, weights.tolist(), self.base_noise, "base", unit="task")


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding over all sets whose base is not a constant prediction, and one per in-domain set."""
    home = plain(asked(evidence.scores).filter(pl.col("role") == "in_domain"))
    fit = sound(home)
    rows = long_enough(_against_best_base(merged(fit), evidence.scores)) if fit.height else fit
    if rows.is_empty():
        statement = f"No line of this table has {MIN_PLACES} places of pre-training."
        return decide_verdicts(
            [Claim(draft_finding(ANALYSIS, evidence.study, statement, "insufficient", note=note(left_out(home))), None)]
        )
    noise, base_noise = run_noise(fit), run_noise(fit, "base", unit="task")
    stuck = stuck_sets(rows)
    gaps = {task: Gap(rows.filter(pl.col("task") == task), noise, base_noise) for task in tasks_of(rows)}
    singles = [_single(evidence.study, task, gap, task in stuck) for task, gap in gaps.items()]
    usable = rows.filter(~pl.col("task").is_in(stuck))
    return decide_verdicts([_overall(evidence.study, home, Gap(usable, noise, base_noise), stuck), *singles])


def _against_best_base(rows: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Returns the lines with the base under its best prompt at each place: the highest score over formats and shots."""
    base = sound(with_places(comparable(scores).filter(pl.col("tuned_on") == "none")))
    means = base.group_by("task", "format", "shots", "place", maintain_order=True).agg(pl.col("value").mean())
    best = means.group_by("task", "place", maintain_order=True).agg(pl.col("value").max().alias("best"))
    joined = rows.join(best, on=["task", "place"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("best").alias("base"), (pl.col("value") - pl.col("best")).alias("change"))


def _single(study: str, task: str, gap: Gap, stuck: bool) -> Claim:
    tokens, chance = gap.rows["tokens"].to_numpy(), gap.rows["chance"][0] or 0.0
    growth, base = gap.growth(change_weights(tokens)), gap.base(change_weights(tokens))
    delta = ANALYSIS.delta * (1 - chance)
    flat = tost(base, delta)
    without = max(min(2 * gap.growth(w).p_above(), 1.0) for w in without_each(tokens))
    statement = (
        f"On {names([task])} the gap between the tuned score and the best-prompted base grows by {reading(growth)}, "
        f"from the first to the last checkpoint (log tokens), the base by {reading(base)}; {_where(gap)}."
    )
    state: EvidenceState = "degenerate" if stuck else "measured" if gap.noise else "insufficient"
    reason = (
        "The base is a constant prediction at half of the places or more: not flat, but not measured." if stuck else ""
    )
    conditions = f"The base is flat within {delta:.2f}: {chances(flat)}. Without any one place: {chances(without)}."
    finding = draft_finding(
        ANALYSIS, study, statement, state, detail=task, n=gap.rows.height, delta=delta, task=task,
        note=note(reason, conditions, in_words(gap.noise)), cells=cells_of(gap.rows), series=gap.rows["series"][0],
        points=tuple(spans(gap)),
    )  # fmt: skip
    return Claim(finding, growth, p=max(growth.p_two_sided(), flat, without))


def _overall(study: str, home: pl.DataFrame, usable: Gap, stuck: list[str]) -> Claim:
    models = usable.rows["tuned_on"].n_unique()
    blind = (
        f"The base of {names(stuck)} is a constant prediction: whether it is flat was not measured." if stuck else ""
    )
    caveats = (blind, left_out(home), in_words(usable.noise))
    if not models:
        statement = (
            "All bases of this table are constant predictions: latent abilities cannot be separated from missing ones."
        )
        return Claim(draft_finding(ANALYSIS, study, statement, "degenerate", note=note(*caveats)), None)
    weights = _mean_of_lines(usable.rows)
    estimate, base = usable.growth(weights), usable.base(weights)
    delta = ANALYSIS.delta * (1 - mean(usable.rows["chance"].fill_null(0.0)))
    state: EvidenceState = "measured" if models >= MIN_MODELS and usable.noise else "insufficient"
    few = (
        "" if state == "measured" else f"Only one tuned model has a base that is not constant; {MIN_MODELS} are needed."
    )
    statement = (
        f"Where the base is not a constant prediction ({names(tasks_of(usable.rows))}), the gap between tuned and "
        f"base grows by {reading(estimate)}, the base by {reading(base)}."
    )
    finding = draft_finding(
        ANALYSIS, study, statement, state, n=usable.rows["place"].n_unique(), delta=delta, note=note(few, *caveats),
        cells=cells_of(usable.rows), series=usable.rows["series"][0], points=tuple(spans(usable)),
    )  # fmt: skip
    return Claim(finding, estimate, p=max(estimate.p_two_sided(), tost(base, delta)))


def _mean_of_lines(rows: pl.DataFrame) -> Floats:
    """Returns weights of the mean growth: equal per tuned model, and per set within it."""
    lines = rows.select("tuned_on", "task").unique()
    sets = {tuned_on: lines.filter(pl.col("tuned_on") == tuned_on).height for tuned_on in lines["tuned_on"]}
    weights = np.zeros(rows.height)
    for tuned_on, task in lines.rows():
        mine = ((rows["tuned_on"] == tuned_on) & (rows["task"] == task)).to_numpy()
        weights[mine] = change_weights(rows["tokens"].to_numpy()[mine]) / (len(sets) * sets[tuned_on])
    return weights


def spans(gap: Gap) -> list[Point]:
    """Returns the growth of the gap between consecutive places of each set, as figure points."""
    points: list[Point] = []
    for task in gap.rows["task"].unique().sort():
        line = Gap(gap.rows.filter(pl.col("task") == task).sort("tokens"), gap.noise, gap.base_noise)
        ends = line.rows["tokens"].to_list()
        for k, (start, end) in enumerate(pairwise(ends)):
            step = np.zeros(len(ends))
            step[k], step[k + 1] = -1, 1
            growth = line.growth(step)
            low, high = growth.interval()
            points.append({"x": f"{_billions(start)} to {_billions(end)} tokens", "line": task, "value": growth.value,
                           "low": low, "high": high})  # fmt: skip
    return points


def _where(gap: Gap) -> str:
    """Returns the spans of tokens in which the growth is significant, as words."""
    significant = [f"{p['x']} ({p['value']:+.2f})" for p in spans(gap) if p["low"] > 0]
    return (
        f"span by span it is more than noise from {names(significant)}"
        if significant
        else "in no single span is it more than noise"
    )


def _billions(tokens: int) -> str:
    return f"{tokens / 1e9:,.0f} B"


ANALYSIS = Analysis(
    name="C3",
    question="C3 · Does pre-training build what shows only after tuning?",
    family="latent gain",
    delta=0.25,
    unit="places of pre-training",
    formula="slope over log tokens × span of (tuned − best-prompted base) > 0 and of base within ±δ (TOST), both at α, "
    "also without any one place; a constant base is degenerate; growth from place to place beside it",
    source="Sun & Dredze 2024, finding 3 and figures 6b, 7, 10; Schuirmann 1987",
    run=run,
)
