"""The paper's four claims in parts, asked of a table of scores. Each part needs nothing but the marked scores."""

from __future__ import annotations

import numpy as np

from amuro.analysis import Analysis, Evidence
from amuro.importer import Imported
from amuro.released import easing, in_domain, latent, learned, out_of_domain, to_class, to_generation, wording
from amuro.released.marks import marked
from amuro.scores import no_items
from amuro.types import Finding

CLAIMS: tuple[Analysis, ...] = (
    in_domain.ANALYSIS, out_of_domain.ANALYSIS, to_generation.ANALYSIS, to_class.ANALYSIS, wording.ANALYSIS,
    easing.ANALYSIS, latent.ANALYSIS, learned.ANALYSIS,
)  # fmt: skip
STUDY = "released scores"


def evidence(table: Imported) -> Evidence:
    """Imported scores with their marks, as evidence without a single prediction."""
    return Evidence(no_items(), marked(table.scores, table.sets), {}, STUDY)


def judged(found: Evidence) -> list[Finding]:
    """Every claim's findings, in the order of the claims."""
    # None of the claims draws: their intervals are closed forms.
    return [finding for claim in CLAIMS for finding in claim.run(found, np.random.default_rng(0))]
