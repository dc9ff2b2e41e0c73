"""`amuro export`: runs the chosen exporters on a study and writes their files into one folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from amuro.core import registry
from amuro.core.errors import StoreError, StudyError
from amuro.report.exporters import load_exporter
from amuro.report.exporters.base import Exporter, Source
from amuro.report.files import put_text, replace_file

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")


def kinds(named: Sequence[str]) -> list[Exporter]:
    """Returns the exporters of these names; without names, all that are not large. Raises StudyError on an unknown
    name.
    """
    if named:
        return [load_exporter(name) for name in dict.fromkeys(named)]
    return [each for each in map(load_exporter, registry.names("exporters")) if not each.large]


def write(source: Source, exporters: Sequence[Exporter], out: Path) -> list[Path]:
    """Writes the files of each exporter below `out`, whole or not at all, and returns their paths.

    Raises `StudyError` where an exporter names a file outside of `out`, `StoreError` where `out` cannot be written.
    """
    try:
        return [_put(out, each.name, *file) for each in exporters for file in each.files(source)]
    except OSError as bad:
        raise StoreError(f"the export cannot be written to {out}: {bad}", "choose another folder with --out") from bad


def _put(out: Path, exporter: str, name: str, content: str | bytes) -> Path:
    if not all(_PART.fullmatch(part) for part in name.split("/")):
        raise StudyError(
            f"exporter {exporter} names a file {name!r}", cure="parts of letters, digits and ._+- are safe"
        )
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        put_text(path, content)
    else:
        replace_file(path, lambda draft_finding: draft_finding.write_bytes(content))
    return path
