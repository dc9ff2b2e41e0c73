"""The contract of exporters, run by `amuro check`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import polars as pl

from amuro.core.errors import StudyError
from amuro.core.types import Finding
from amuro.report.exporters.base import Exporter, File, Source
from amuro.report.model import ReportData
from amuro.results.scoring import no_items, no_scores

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*")
STRANGE = 'a_b & <b>50 %</b> "$x$" {y} \\ ../../z #1 @you =1+1 \u202e\u2028 |\n'
"""A name that has a meaning in HTML, LaTeX, Markdown, spreadsheets and paths."""


def check(exporter: Exporter) -> Iterator[str]:
    """Checks an empty study and one with strange names: complete files, safe names, and equal bytes for equal
    studies.

    Yields one line per passed check. Raises StudyError at the first fault.
    """
    for name in ("description", "source"):
        if not getattr(exporter, name):
            raise StudyError(f"exporter {exporter.name} states no {name}", cure="say what it writes, and for whom")
    empty, strange = _files(exporter, _book("empty", ())), _files(exporter, _book(STRANGE, (_finding(),)))
    for name, _ in (*empty, *strange):
        if not _NAME.fullmatch(name):
            raise StudyError(
                f"exporter {exporter.name} names a file {name!r}", cure="make names of A-Z a-z 0-9 . _ + -"
            )
    if strange != _files(exporter, _book(STRANGE, (_finding(),))):
        raise StudyError(
            f"exporter {exporter.name} gives other bytes the second time", cure="leave out dates and chance"
        )
    yield f"{len(empty)} files of an empty study, {len(strange)} of one with strange names; the same bytes each time"


def _files(exporter: Exporter, book: ReportData) -> list[File]:
    try:
        return list(exporter.files(Source(book)))
    except Exception as fault:
        told = f"exporter {exporter.name} falls over the study {str(book.study['name'])[:12]!r}"
        raise StudyError(f"{told}: {type(fault).__name__}: {fault}", cure="empty frames: nothing has run") from fault


def _book(name: str, findings: tuple[Finding, ...]) -> ReportData:
    nothing = pl.DataFrame()
    return ReportData(
        study={"name": name, "question": name, "description": [name]}, series=[], findings=findings, analyses=[],
        flags=[], scores=no_scores(), items=no_items(), examples=nothing, ledger=nothing, planned=nothing,
        environment={name: name},
    )  # fmt: skip


def _finding() -> Finding:
    point = {"line": STRANGE, "tokens": 1000, "value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.5}
    return Finding(
        STRANGE, STRANGE, STRANGE, "supported", "measured", 0.5, 0.4, 0.6, 60, "clusters", 0.1, STRANGE, 0.01, STRANGE,
        (STRANGE,), STRANGE, STRANGE, (point,),
    )  # fmt: skip
