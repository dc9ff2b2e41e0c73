"""C2a: does the wording matter after tuning?"""

from __future__ import annotations

import numpy as np
import polars as pl

from amuro.core.types import EvidenceState, Finding
from amuro.paper.changes import asked
from amuro.paper.format_levels import format_noise, levels, spreads
from amuro.paper.replicate_noise import in_words
from amuro.paper.text import cells_of, draft_finding, left_out, mean, names, note
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.stats.replicates import Pooled
from amuro.results.stats.spread import Spread
from amuro.results.verdicts import Claim, decide_verdicts

FEW = 1e3
"""Degrees of freedom of the noise where run variance is unknown."""
ONE_FORMAT = (
    "Each model was tuned in one format only: whether that format is easier or merely the trained one is unknown. "
    "Before and after are not compared: that needs bases that clear a constant answer in their best format."
)


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding over the tuned models with scores in several formats, at the latest place."""
    rows = levels(evidence.scores)
    noise = format_noise(rows) if rows.height else None
    last = latest(spreads(rows, noise)).filter("best") if rows.height else rows
    reason = left_out(asked(evidence.scores).filter(pl.col("role") == "in_domain"))
    if last.is_empty():
        nothing = "No tuned model of this table has scores in three formats and clears the best constant answer."
        return decide_verdicts(
            [Claim(draft_finding(ANALYSIS, evidence.study, nothing, "insufficient", note=reason), None)]
        )
    variance = with_shared_noise(last, noise)
    state: EvidenceState = "measured" if noise else "insufficient"
    end = latest(rows)
    low, high = variance.interval()
    statement = (
        f"After tuning, the formats of {names(last['tuned_on'].sort())} have a variance of {variance.value:.2f} "
        f"squared log odds beyond noise (95 % interval {low:.2f} to {high:.2f}), at the latest place: {_ranges(end)}."
    )
    means = (
        end.group_by("tuned_on", "format", maintain_order=True).agg(pl.col("value").mean()).sort("tuned_on", "format")
    )
    finding = draft_finding(
        ANALYSIS, evidence.study, statement, state, n=last.height, cells=cells_of(last), series=last["series"][0],
        note=note(ONE_FORMAT, reason, in_words(noise)),
        points=tuple({"x": r["tuned_on"], "line": r["format"], "value": r["value"], "y_label": "score", "chance": None}
                     for r in means.iter_rows(named=True)),
    )  # fmt: skip
    return decide_verdicts([Claim(finding, variance)])


def latest(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows of the latest place."""
    return rows.filter(pl.col("place") == pl.col("place").max())


def with_shared_noise(rows: pl.DataFrame, noise: Pooled | None) -> Spread:
    """Estimates the mean variance between formats over several models."""
    observed, of_noise = mean(rows["observed"]), mean(rows["noise"])
    df = noise.df if noise else FEW
    return Spread(observed - of_noise, of_noise, observed / of_noise, float(rows["df"].sum()), df)


def _ranges(end: pl.DataFrame) -> str:
    """Returns the lowest and highest mean score over formats of each tuned model, as words."""
    means = end.group_by("tuned_on", "format", maintain_order=True).agg(pl.col("value").mean())
    spans = means.group_by("tuned_on", maintain_order=True).agg(
        pl.col("value").min().alias("low"), pl.col("value").max().alias("high")
    )
    return ", ".join(f"{names([name])} {low:.2f} to {high:.2f}" for name, low, high in spans.sort("tuned_on").rows())


ANALYSIS = Analysis(
    name="C2a",
    question="C2a · Does the wording matter after tuning?",
    family="format sensitivity after tuning",
    delta=0.1,
    unit="tuned models",
    formula="mean over tuned models of the variance between formats of log odds above chance − its noise (evaluation "
    "and runs), at the latest place; F test, interval by inversion of the non-central χ²",
    source="Sun & Dredze 2024, finding 2 and figures 2, 14",
    run=run,
)
