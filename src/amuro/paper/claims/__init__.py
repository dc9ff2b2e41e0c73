"""The paper's four claims, in parts, as analyses of a table of scores with marks."""

from __future__ import annotations

import numpy as np

from amuro.core.types import Finding
from amuro.paper.claims import (
    format_sensitivity,
    format_trend,
    in_domain,
    latent_gain,
    learned_gain_less,
    out_of_domain,
    to_classification,
    to_generation,
)
from amuro.paper.data_quality import marked
from amuro.results.analyses.base import Analysis, Evidence
from amuro.results.importers.base import Imported
from amuro.results.scoring import no_items

CLAIMS: tuple[Analysis, ...] = (
    in_domain.ANALYSIS, out_of_domain.ANALYSIS, to_generation.ANALYSIS, to_classification.ANALYSIS,
    format_sensitivity.ANALYSIS, format_trend.ANALYSIS, latent_gain.ANALYSIS, learned_gain_less.ANALYSIS,
)  # fmt: skip
STUDY = "released scores"


def evidence(table: Imported) -> Evidence:
    """Returns imported scores with their marks, as evidence without predictions."""
    return Evidence(no_items(), marked(table.scores, table.sets), {}, STUDY)


def judged(scores: Evidence) -> list[Finding]:
    """Returns the findings of all claims, in the order of `CLAIMS`."""
    # No claim uses the generator: their intervals are closed forms.
    return [finding for claim in CLAIMS for finding in claim.run(scores, np.random.default_rng(0))]
