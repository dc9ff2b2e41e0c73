"""The shipped table of published checkpoints that are known to be bad (`series/_audit/known_bad.toml`, which explains
its columns).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from amuro.core.revisions import parse_revision
from amuro.core.types import Checkpoint
from amuro.series._audit.issue import AuditIssue, Level, place

TABLE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: steps of a repository, and what is wrong with them."""

    repository: str
    steps: frozenset[int]
    level: Level
    what: str
    issue: str
    equal: bool = False


@cache
def entries() -> tuple[Entry, ...]:
    """Returns the rows that name checkpoints."""
    return tuple(_entry(row) for row in _rows("revision"))


def known_bad(
    checkpoints: Sequence[Checkpoint], allow: bool = False, allow_duplicates: bool = False
) -> list[AuditIssue]:
    """Returns the issues that the table has for the checkpoints of one series. With `allow` none of
    them is refused.
    """
    published = {c: revision.step for c in checkpoints if (revision := parse_revision(_revision(c)))}
    faults: list[AuditIssue] = []
    for entry in entries():
        matching = [c for c in published if _is(c, entry.repository) and published[c] in entry.steps]
        meant = sorted(matching, key=lambda c: published[c])[1:] if entry.equal else matching
        accepted = allow or (entry.equal and allow_duplicates)
        faults += [_fault(checkpoint, entry, accepted) for checkpoint in meant]
    return faults


def known_gaps(checkpoints: Sequence[Checkpoint]) -> list[AuditIssue]:
    """Returns notes on documented gaps in the steps that the repository of a series publishes."""
    return [
        AuditIssue("gap", "note", f"{row['repository']}: {row['what']}", issue=row["issue"])
        for row in _rows("gap")
        if any(_is(checkpoint, row["repository"]) for checkpoint in checkpoints)
    ]


def _fault(checkpoint: Checkpoint, entry: Entry, accepted: bool) -> AuditIssue:
    """Returns the issue of a checkpoint."""
    flag = "allow_duplicates" if entry.equal else "allow_known_bad"
    cure = "" if accepted or entry.level != "refused" else f"leave it out, or set {flag} = true in its [series] table"
    level: Level = "note" if accepted else entry.level
    return AuditIssue("known bad", level, f"{place(checkpoint)} {entry.what}", cure, checkpoint.address, entry.issue)


def _is(checkpoint: Checkpoint, pattern: str) -> bool:
    """Whether a checkpoint is of a repository that matches the pattern."""
    return fnmatchcase(checkpoint.source, f"hub:{pattern}")


def _revision(checkpoint: Checkpoint) -> str:
    """Returns the revision of a checkpoint without its commit."""
    return (checkpoint.revision or "").partition("@")[0]


def _rows(table: str) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of one part of the table."""
    yield from tomllib.loads(TABLE.read_text(encoding="utf-8"))[table]


def _entry(row: Mapping[str, Any]) -> Entry:
    """Returns a row with its ranges of steps expanded."""
    ranges = (range(first, last + 1, every) for first, last, every in row.get("ranges", ()))
    steps = frozenset(row["steps"]).union(*ranges)
    return Entry(row["repository"], steps, row["level"], row["what"], row["issue"], row.get("equal", False))
