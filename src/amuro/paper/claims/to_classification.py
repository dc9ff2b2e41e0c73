"""C1d: does tuning on generation forget classification?"""

from __future__ import annotations

from amuro.paper.claims._cross_task import DELTA_SHARE, run_from
from amuro.results.analyses.base import Analysis

ANALYSIS: Analysis = Analysis(
    name="C1d",
    question="C1d · Does tuning on generation forget classification?",
    family="forgetting of tasks, generation to class",
    delta=DELTA_SHARE,
    unit="scores",
    formula="1 − Σ tuned / Σ base over cross-task scores, Fieller's interval; a base that is a constant prediction has "
    "nothing to forget",
    source="Sun & Dredze 2024, §4.3 and equation 1; Fieller, J. R. Statist. Soc. B 16 (1954)",
    run=run_from(lambda: ANALYSIS, "generation", "classification"),
)
