"""Writes the report of a study: one self-contained page, and tables and figures beside it."""

from __future__ import annotations

from pathlib import Path

from amuro.core.errors import StoreError
from amuro.report.files import environment_json, findings_json, put_tables, put_text, standalone
from amuro.report.html.page import render, source
from amuro.report.model import ReportData
from amuro.report.study_json import study_json


def write_report(book: ReportData, out: Path) -> Path:
    """Writes report.html, findings.json, findings.csv, scores.csv, scores.parquet, items.parquet, study.json,
    environment.json and figures/*.svg.

    Returns the path of the page. The same book gives the same bytes. Raises `StoreError` where `out` cannot be written.
    """
    page, figures = render(book)
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        put_text(out / "findings.json", findings_json(str(book.study["name"]), book.findings))
        put_text(out / "study.json", study_json(book))
        put_text(out / "environment.json", environment_json(book.environment))
        put_tables(out, book.findings, book.scores, book.items)
        for name, figure in figures.items():
            drawing = standalone(figure, source("style.css"), source("figure.css"))
            put_text(out / "figures" / f"{name}.svg", drawing)
        put_text(out / "report.html", page)
    except OSError as bad:
        raise StoreError(f"the report cannot be written to {out}: {bad}", "choose another folder with --out") from bad
    return out / "report.html"
