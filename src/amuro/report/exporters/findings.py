"""Every finding with all its fields as JSON, and the schema of the file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files as shipped

from amuro.report.exporters.base import Exporter, File, Source
from amuro.report.files import findings_json


def files(source: Source) -> Iterator[File]:
    """Yields findings.json and findings.schema.json (JSON Schema, draft 2020-12)."""
    yield "findings.json", findings_json(str(source.book.study["name"]), source.book.findings)
    yield "findings.schema.json", shipped("amuro.report").joinpath("findings.schema.json").read_text(encoding="utf-8")


EXPORTER = Exporter("findings", "every finding as JSON, with its schema", "docs/findings.md", files)
