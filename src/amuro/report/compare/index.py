"""The index of several studies: question, size, verdicts and a link to the report of each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import polars as pl
from markupsafe import Markup

from amuro.core.errors import DataError, StoreError
from amuro.report import formatting
from amuro.report.compare.page import page_style
from amuro.report.compare.saved_report import Kept, load
from amuro.report.files import put_text
from amuro.report.html.csp import static_policy
from amuro.report.html.page import environment

SIZE = {"checkpoints": "checkpoints", "tuned": "tuned models", "done": "cells measured", "predictions": "answers kept"}
"""Number of study.json → its words."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One study in the index."""

    name: str
    folder: str
    """Where several studies have this name; else empty."""
    question: str
    link: str
    sizes: tuple[tuple[str, str], ...]
    tally: Mapping[str, int]


def found_in(folder: Path) -> tuple[list[Kept], list[str]]:
    """Returns (the reports in the folders below, what could not be read and why). Raises DataError
    if there is none.
    """
    kept, unread = [], []
    for path in sorted(folder.glob("*/findings.json")):
        try:
            kept.append(load(path.parent))
        except DataError as bad:
            unread.append(str(bad))
    if not kept:
        told = f"; {unread[0]}" if unread else ""
        raise DataError(f"no folder in {folder} holds a report{told}", cure="make one with `amuro report STUDY`")
    return kept, unread


def write_index(studies: Sequence[Kept], out: Path, unread: Sequence[str] = ()) -> Path:
    """Writes index.html and returns its path. Raises `StoreError` if `out` cannot be written."""
    style = page_style()
    names = Counter(study.name for study in studies)
    entries = [_entry(study, out, study.folder if names[study.name] > 1 else "") for study in studies]
    total = Counter(finding.verdict for study in studies for finding in study.findings)
    page = environment().get_template("index.html.j2").render(
        policy=static_policy(style), style=Markup(style), entries=entries, unread=unread, total=total,
        verdicts=formatting.VERDICTS,
    )  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
        put_text(out / "index.html", page)
    except OSError as bad:
        raise StoreError(f"the index cannot be written to {out}: {bad}", "choose another folder with --out") from bad
    return out / "index.html"


def _entry(study: Kept, out: Path, folder: str) -> Entry:
    return Entry(
        study.name, folder, str(study.fact("question") or ""), _link(study.page, out), tuple(_sizes(study)),
        Counter(finding.verdict for finding in study.findings),
    )  # fmt: skip


def _link(page: Path | None, out: Path) -> str:
    """Returns the relative path from the index to a page, so that a folder of both can be moved."""
    return "" if page is None else quote(os.path.relpath(page.resolve(), out.resolve()).replace(os.sep, "/"))


def _sizes(study: Kept) -> list[tuple[str, str]]:
    """Returns the numbers that a study states; for an older report, those of its scores."""
    told = study.fact("numbers")
    if isinstance(told, Mapping):
        known = [(formatting.count(told[key]), name) for key, name in SIZE.items() if isinstance(told.get(key), int)]
    else:
        counts = study.scores.select(pl.col("checkpoint").n_unique(), pl.col("cell").n_unique()).row(0)
        known = [(formatting.count(n), name) for n, name in zip(counts, ("checkpoints", "cells measured"), strict=True)]
    return [*known, (formatting.count(len(study.findings)), "findings")]
