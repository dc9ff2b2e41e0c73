"""The verb `paper`: released scores of *Amuro and Char*, from table to page, without torch or network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from amuro.core import registry
from amuro.paper import claims, data_quality
from amuro.paper.figures import figures
from amuro.paper.page import Released, write_scores
from amuro.paper.tables import beyond_errors
from amuro.paper.tables import tables as numbers
from amuro.results.importers import paper as tables
from amuro.results.importers.base import Imported

TITLE = "What the released scores of Amuro and Char support, and what they do not"
LEAD = (
    "Sun and Dredze fine-tuned eight checkpoints of OLMo-1B and released the scores. This page tests "
    "their four claims, in parts, on that table, with the noise that the table itself shows.",
    "A table of means and standard errors is weaker evidence than predictions: nothing here pairs examples or counts "
    "clusters, and what such a table cannot say is left open by rule.",
)
SOURCES = (
    ("study", "Kaiser Sun and Mark Dredze, Amuro and Char: Analyzing the Relationship between Pre-Training and "
     "Fine-Tuning of Large Language Models, arXiv 2408.06663 (RepL4NLP 2025, pp. 131–151)"),
    ("scores", "all_perf_table.csv of the repository released with it (Apache-2.0): 649 rows; its figures are carried "
     "in amuro as a table of its own, made by scripts/paper_scores.py"),
    ("near-replicate", "The checkpoints named 738000 and main are 20 optimiser steps apart (0.003 % of the tokens). "
     "They are taken as two runs of one place: their mean is one point of a curve, their difference noise of runs."),
)  # fmt: skip


def load(paths: Sequence[Path]) -> Imported:
    """Returns the supervised table of this package and the given ones; a given supervised table replaces the former."""
    given = pl.concat([tables.tidy_rows(path) for path in paths]) if paths else pl.DataFrame()
    if given.height and "sft" in set(given["table"]):
        return tables.imported(given)
    return tables.imported(pl.concat([tables.carried_rows(), given])) if given.height else tables.carried()


def judged(table: Imported) -> Released:
    """Returns the claims, warnings, figures and numbers of a table, for the page and the terminal."""
    evidence = claims.evidence(table)
    scores = evidence.scores
    warnings = [*data_quality.warnings(scores), beyond_errors(scores)]
    return Released(
        TITLE, LEAD, claims.judged(evidence), claims.CLAIMS, warnings, table.remarks, figures(scores), numbers(scores),
        scores, SOURCES,
    )  # fmt: skip


def bring_in(importer: str, paths: Sequence[Path], out: Path) -> Imported:
    """Reads tables with an importer, given by name, and writes tidy scores and notes to `out`; returns the table."""
    table: Imported = registry.plugin("importers", importer).read(paths)
    write_scores(table.scores, table.remarks, out)
    return table
