"""What a door for the results of a study is, and what it is handed. An exporter writes nothing itself: it names files
and says what stands in them, and `amuro.report.exporters._write` puts all of them where they belong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from amuro.report.model import ReportData

File = tuple[str, str | bytes]
"""Path below the folder of the export (parts joined by `/`), and content."""


@dataclass(frozen=True)
class Source:
    """The data of one study for exporters."""

    book: ReportData
    predictions: Callable[[str], pl.DataFrame | None] = lambda _: None
    """Address of a cell → the predictions kept of it (columns: docs/tour.md); None where they are not at hand."""


@dataclass(frozen=True)
class Exporter:
    """One output format. Each plugin of `exporters/` defines one as its constant `EXPORTER`."""

    name: str
    description: str
    source: str
    """Where the format is stated."""
    files: Callable[[Source], Iterator[File]]
    large: bool = False
    """It writes a file for each model and set, and is left out unless it is named."""
