"""Makes `src/amuro/results/importers/paper_scores.csv`: the figures of the paper's released supervised-tuning table,
tidy.

Usage: python scripts/paper_scores.py all_perf_table.csv

The table's own names are resolved into coordinates and kept beside them; figures are rounded to six decimals.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from amuro.results.importers import paper

HEAD = """\
# Scores of OLMo-1B checkpoints before and after fine-tuning: facts from the released table all_perf_table.csv of
# Kaiser Sun and Mark Dredze, Amuro and Char: Analyzing the Relationship between Pre-Training and Fine-Tuning of Large
# Language Models (arXiv 2408.06663; RepL4NLP 2025, pp. 131-151). The repository that released it is under Apache-2.0.
# Made by scripts/paper_scores.py. One row a score; figures rounded to six decimals; columns: paper_scores.md.
"""
ORDER = ["tuned_on", "task", "format", "shots", "conversion", "learning_rate", "checkpoint"]


def main(source: Path) -> None:
    """Reads the released file with the importer's own grammar and writes the tidy table."""
    rows = paper.tidy_rows(source).sort(ORDER, nulls_last=True)
    out = Path(__file__).parents[1] / "src" / "amuro" / "results" / "importers" / "paper_scores.csv"
    out.write_text(
        HEAD + rows.with_columns(pl.col("value", "se").round(6)).write_csv(float_scientific=None), encoding="utf-8"
    )
    print(f"{out}: {rows.height} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
