"""`amuro report` over several studies, each a file or an earlier report: two are compared, more get an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from amuro.core.errors import StudyError
from amuro.report.build import book
from amuro.report.compare.index import found_in, write_index
from amuro.report.compare.page import write_beside
from amuro.report.compare.saved_report import PAGES, Kept, load
from amuro.report.formatting import slug
from amuro.report.study_json import kept
from amuro.results.analyze import results
from amuro.study.plan import Plan
from amuro.study.store import Store

RESULTS = Path("amuro-results")


def read(plan: Plan, store: Store) -> Kept:
    """Returns a study from the store, with the page of an earlier report in the default folder."""
    found = kept(book(plan, store, results(plan, store)))
    pages = (RESULTS / plan.study.name / name for name in PAGES)
    return replace(found, page=next((page for page in pages if page.is_file()), None))


def told(paths: Sequence[Path], index: Path | None, out: Path | None, of_study: Callable[[Path], Kept]) -> str:
    """Writes the comparison of two studies, or the index of more, and says where it lies.

    Raises StudyError where there is nothing to lay beside each other; errors as in `load` and of the store.
    """
    if index is not None:
        below, unread = found_in(index)
        return f"Index: {write_index([*below, *(_kept(path, of_study) for path in paths)], out or index, unread)}"
    if not paths:
        raise StudyError("no study is named", cure="name one, two to compare, or --index DIR")
    if len(paths) == 1:
        raise StudyError(f"{paths[0]} is one report", cure="name a second one to compare it with, or --index DIR")
    studies = [_kept(path, of_study) for path in paths]
    if len(studies) > 2:
        return f"Index: {write_index(studies, out or RESULTS)}"
    left, right = studies
    folder = out or RESULTS / f"{slug(left.name)}-and-{slug(right.name)}"
    return f"Comparison: {write_beside(left, right, folder)}"


def _kept(path: Path, of_study: Callable[[Path], Kept]) -> Kept:
    return load(path) if path.is_dir() else of_study(path)
