"""The findings of a committed study anew, from its kept scores: no model, no rows and no store are needed.

Usage: .venv/bin/python scripts/reanalyse.py studies/english_small.toml results/english_small
The folder holds items.parquet and scores.parquet as `amuro report` wrote them; findings.json and findings.csv are
written anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from amuro.core.types import Finding
from amuro.report.files import findings_frame, findings_json, put_text
from amuro.report.html.csp import without_formulas
from amuro.results import analyze
from amuro.study import config, plan


def findings(planned: plan.Plan, folder: Path) -> list[Finding]:
    """What every analysis of today says of the kept scores of a study."""
    items, scores = (pl.read_parquet(folder / f"{name}.parquet") for name in ("items", "scores"))
    cells = pl.DataFrame({"cell": scores["cell"].unique(), "done": True})
    return analyze.findings(planned.study, analyze.gathered(planned, items, scores, cells))


if __name__ == "__main__":
    asked, kept = plan.make(config.load(Path(sys.argv[1]))), Path(sys.argv[2])
    found = findings(asked, kept)
    put_text(kept / "findings.json", findings_json(asked.study.name, found))
    put_text(kept / "findings.csv", without_formulas(findings_frame(found)).write_csv())
    print(f"{len(found)} findings written to {kept}")
