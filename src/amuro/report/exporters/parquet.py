"""Scores, single predictions and findings as Parquet, with their types."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import polars as pl

from amuro.report.exporters.base import Exporter, File, Source
from amuro.report.files import findings_frame


def files(source: Source) -> Iterator[File]:
    """Yields scores.parquet (one row per cell and metric), items.parquet (one row per prediction and metric),
    findings.parquet.
    """
    frames = {
        "scores": source.book.scores,
        "items": source.book.items,
        "findings": findings_frame(source.book.findings),
    }
    for name, frame in frames.items():
        yield f"{name}.parquet", _bytes(frame)


def _bytes(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


EXPORTER = Exporter(
    "parquet", "scores, single answers and findings as Parquet", "https://parquet.apache.org/docs/file-format/", files
)
