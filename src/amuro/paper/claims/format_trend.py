"""C2b: does further pre-training lower the dependence on the prompt format?"""

from __future__ import annotations

import numpy as np
import polars as pl

from amuro.core.types import EvidenceState, Finding
from amuro.paper.changes import asked
from amuro.paper.format_levels import format_noise, levels, spreads
from amuro.paper.replicate_noise import MANY, in_words
from amuro.paper.text import MIN_PLACES, cells_of, draft_finding, left_out, names, note, reading
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.finding_text import chances
from amuro.results.stats.clustered import Floats
from amuro.results.stats.estimate import Estimate
from amuro.results.stats.replicates import Pooled
from amuro.results.stats.trend import change_weights
from amuro.results.verdicts import Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding over the tuned models whose formats all clear the best constant answer at four places."""
    rows = levels(evidence.scores)
    noise = format_noise(rows) if rows.height else None
    clear = spreads(rows, noise).filter("clear") if rows.height else rows
    reason = left_out(asked(evidence.scores).filter(pl.col("role") == "in_domain"))
    if clear.height:
        clear = clear.filter(pl.len().over("tuned_on") >= MIN_PLACES)
    if clear.is_empty():
        nothing = f"No tuned model has {MIN_PLACES} places at which every format clears the best constant answer."
        return decide_verdicts(
            [Claim(draft_finding(ANALYSIS, evidence.study, nothing, "insufficient", note=reason), None)]
        )
    estimate = format_trend(clear, noise)
    state: EvidenceState = "measured" if noise else "insufficient"
    where = ", ".join(
        f"{names([name])} at {n}"
        for name, n in clear.group_by("tuned_on", maintain_order=True).len().sort("tuned_on").rows()
    )
    statement = (
        f"In this pre-training run the variance between formats of {names(clear['tuned_on'].unique().sort())} falls by "
        f"{reading(estimate)} squared log odds from the first to the last checkpoint (log tokens)."
    )
    without = _without_any(clear, noise)
    finding = draft_finding(
        ANALYSIS, evidence.study, statement, state, n=clear["place"].n_unique(), cells=cells_of(clear),
        series=clear["series"][0],
        note=note(f"Every format clears the best constant answer at so many places: {where}. Without any one tuned "
                  f"model: {chances(without)}. A generated answer has no known constant to clear but 0.", reason,
                  in_words(noise)),
        points=tuple({"line": r["tuned_on"], "tokens": r["tokens"], "value": r["excess"],
                      "y_label": "variance between formats, squared log odds"} for r in clear.iter_rows(named=True)),
    )  # fmt: skip
    return decide_verdicts([Claim(finding, estimate, p=max(estimate.p_two_sided(), without))])


def _without_any(rows: pl.DataFrame, noise: Pooled | None) -> float:
    """Returns the largest p value of "no fall" with each tuned model left out in turn (if several)."""
    models = rows["tuned_on"].unique().sort().to_list()
    kept = [rows.filter(pl.col("tuned_on") != model) for model in models] if len(models) > 1 else [rows]
    return max(min(2 * format_trend(subset, noise).p_above(), 1.0) for subset in kept)


def format_trend(rows: pl.DataFrame, noise: Pooled | None) -> Estimate:
    """Estimates the mean over tuned models of −(slope over log tokens × span) of the variance between formats.

    The sample variance of F levels with noise v and true variance σ² has itself the variance (2v² + 4vσ²)/(F−1).
    """
    models = rows["tuned_on"].unique().sort().to_list()
    value, parts = 0.0, []
    for name in models:
        line = rows.filter(pl.col("tuned_on") == name).sort("tokens")
        weights = -change_weights(line["tokens"].to_numpy()) / len(models)
        value += float(weights @ line["excess"].to_numpy())
        parts.append((float(weights**2 @ _variance(line)), noise.of(name)[1] if noise else MANY))
    return Estimate(value, tuple(parts))


def _variance(line: pl.DataFrame) -> Floats:
    """Returns the sampling variance of each place's variance between formats."""
    v, true, df = line["noise"].to_numpy(), line["excess"].clip(0).to_numpy(), line["df"].to_numpy()
    return np.asarray((2 * v**2 + 4 * v * true) / df)


ANALYSIS = Analysis(
    name="C2b",
    question="C2b · Does further pre-training ease the dependence on wording?",
    family="easing of format sensitivity",
    delta=0.1,
    unit="places of pre-training",
    formula="− slope over log tokens × span of the variance between formats beyond noise, over the places where every "
    "format clears the best constant answer; also without any one tuned model",
    source="Sun & Dredze 2024, finding 2 and figures 2, 14",
    run=run,
)
