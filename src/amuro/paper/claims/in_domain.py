"""C1a: does fine-tuning help on the set that it is for?"""

from __future__ import annotations

import numpy as np
import polars as pl

from amuro.core.types import Finding
from amuro.paper.changes import asked, merged
from amuro.paper.replicate_noise import curve, in_words, run_noise, weighted
from amuro.paper.text import (
    DELTA,
    cells_of,
    draft_finding,
    left_out,
    names,
    note,
    plain,
    reading,
    sound,
    stuck_sets,
    tasks_of,
)
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.verdicts import Claim, decide_verdicts


def run(evidence: Evidence, rng: np.random.Generator) -> list[Finding]:
    """Returns one finding over all in-domain sets without disqualifying marks."""
    home = plain(asked(evidence.scores).filter(pl.col("role") == "in_domain"))
    rows = merged(sound(home))
    if rows.is_empty():
        nothing = "No tuned model was evaluated on an in-domain set that is fit for a verdict."
        return decide_verdicts(
            [Claim(draft_finding(ANALYSIS, evidence.study, nothing, "not run", note=left_out(home)), None)]
        )
    noise = run_noise(sound(home))
    estimate = weighted(rows, equal_weights(rows), noise)
    tasks, stuck = tasks_of(rows), stuck_sets(rows)
    at_all = f"The base of {names(stuck)} is a constant prediction: part of the gain is that the model answers at all."
    statement = (
        f"Tuning changes the score on in-domain sets ({names(tasks)}) by {reading(estimate)}, "
        f"as a mean over {rows['place'].n_unique()} places of pre-training."
    )
    finding = draft_finding(
        ANALYSIS, evidence.study, statement, "measured", n=len(tasks), cells=cells_of(rows),
        note=note(left_out(home), at_all if stuck else "", in_words(noise)), series=rows["series"][0],
        points=tuple(curve(rows, noise, "task")),
    )  # fmt: skip
    return decide_verdicts([Claim(finding, estimate)])


def equal_weights(rows: pl.DataFrame) -> list[float]:
    """Returns weights that sum to 1: equal per tuned model, within it per set, within that per place."""
    models = rows["tuned_on"].n_unique()
    sets = pl.col("task").n_unique().over("tuned_on")
    places = pl.len().over("tuned_on", "task")
    return rows.select((1 / (models * sets * places)).alias("w"))["w"].to_list()


ANALYSIS = Analysis(
    name="C1a",
    question="C1a · Does fine-tuning help in domain?",
    family="in-domain gain",
    delta=DELTA,
    unit="data sets",
    formula="mean of (tuned − base), equal weight per tuned model, per set within it, per place within that; "
    "noise of runs from near-replicates, evaluation errors of base and tuned added",
    source="Sun & Dredze 2024, §4.1 and figures 7, 10",
    run=run,
)
