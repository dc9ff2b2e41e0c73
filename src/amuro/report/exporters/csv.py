"""Scores, findings and the points of their figures as CSV. Formulas in texts are made inert."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from amuro.core.types import Finding
from amuro.report.exporters.base import Exporter, File, Source
from amuro.report.files import findings_frame
from amuro.report.html.csp import without_formulas


def files(source: Source) -> Iterator[File]:
    """Yields scores.csv, findings.csv and points.csv."""
    frames = {
        "scores": source.book.scores,
        "findings": findings_frame(source.book.findings),
        "points": points(source.book.findings),
    }
    for name, frame in frames.items():
        yield f"{name}.csv", without_formulas(frame).write_csv()


def points(findings: Sequence[Finding]) -> pl.DataFrame:
    """Returns one row per point of a finding's figure; `x` as text, since it is a number or a name."""
    rows = [
        {"finding": finding.id, **point, **({"x": str(point["x"])} if "x" in point else {})}
        for finding in findings
        for point in finding.points
    ]
    numbers = dict.fromkeys(("value", "low", "high", "chance"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None, strict=False)


EXPORTER = Exporter(
    "csv", "scores, findings and points of the figures as CSV", "https://www.rfc-editor.org/rfc/rfc4180", files
)
