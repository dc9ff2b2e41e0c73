"""Contract test of analyses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from amuro.core.errors import StudyError
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.scoring import no_items, no_scores


def check(analysis: Analysis) -> Iterator[str]:
    """Checks that an analysis declares all its facts and returns only *open* findings on an empty study.

    Yields a line on what was checked; raises `StudyError` on the first violation.
    """
    for name in ("question", "unit", "formula", "source", "family"):
        if not getattr(analysis, name):
            raise StudyError(f"analysis {analysis.name} declares no {name}", cure="every analysis states all of them")
    if analysis.delta <= 0:
        raise StudyError(f"analysis {analysis.name} has delta {analysis.delta}", cure="a smallest effect is positive")
    findings = analysis.run(Evidence(no_items(), no_scores(), {}, "empty"), np.random.default_rng(0))
    for finding in findings:
        if finding.verdict != "open" or finding.evidence == "measured":
            raise StudyError(f"{finding.id} is {finding.verdict} ({finding.evidence}) on an empty study",
                             cure="answer open, and not run or insufficient")  # fmt: skip
    yield f"delta {analysis.delta:g} in {analysis.unit}; open on an empty study ({len(findings)} findings)"
