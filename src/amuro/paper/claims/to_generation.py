"""C1c: does tuning on classification forget how to generate?"""

from __future__ import annotations

from amuro.paper.claims._cross_task import DELTA_SHARE, run_from
from amuro.results.analyses.base import Analysis

ANALYSIS: Analysis = Analysis(
    name="C1c",
    question="C1c · Does tuning on classification forget generation?",
    family="forgetting of tasks, class to generation",
    delta=DELTA_SHARE,
    unit="scores",
    formula="1 − Σ tuned / Σ base over cross-task scores, Fieller's interval; a fall of generated text alone is "
    "formatting, not knowledge",
    source="Sun & Dredze 2024, §4.3 and equation 1; Fieller, J. R. Statist. Soc. B 16 (1954)",
    run=run_from(lambda: ANALYSIS, "classification", "generation"),
)
