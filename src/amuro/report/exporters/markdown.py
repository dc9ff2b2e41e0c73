"""A summary on one screen for a pull request: verdicts, what is supported, what is refuted, what is missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from amuro.core.types import Finding
from amuro.report.exporters._markdown import escape
from amuro.report.exporters.base import Exporter, File, Source
from amuro.report.formatting import VERDICTS, count, interval, sentence, signed
from amuro.report.html.overview import numbers
from amuro.report.html.provenance import holes
from amuro.report.model import ReportData
from amuro.report.plots.svg import shorten

SHOWN = {"supported": 8, "refuted": 4}
"""Findings of a verdict that are told; the rest are counted."""
LONGEST = {"statement": 400, "question": 400, "environment": 800, "name": 120}
"""Characters of what others wrote. All together stays far below the 65,536 that a comment may have."""
UNTOLD = ("system", "machine")


def files(source: Source) -> Iterator[File]:
    """Yields summary.md."""
    yield "summary.md", summary(source.book)


def summary(book: ReportData) -> str:
    """Returns the summary. Names and sentences are escaped."""
    parts = [
        f"### amuro: {_told(str(book.study['name']), 'name')}", _told(str(book.study.get("question", "")), "question"),
        _tally(book), *_by_verdict(book), _open(book.findings), _holes(book), _environment(book),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _told(text: str, what: str) -> str:
    return escape(shorten(text, LONGEST[what]))


def _tally(book: ReportData) -> str:
    counted = Counter(str(finding.verdict) for finding in book.findings)
    size = numbers(book)
    verdicts = " · ".join(f"{mark} {counted[verdict]} {verdict}" for verdict, (mark, _) in VERDICTS.items())
    return (
        f"**{verdicts}** — {count(size['checkpoints'])} checkpoints, {count(size['tuned'])} tuned models, "
        f"{count(size['done'])} of {count(size['planned'])} cells, {count(size['predictions'])} answers"
    )


def _by_verdict(book: ReportData) -> Iterator[str]:
    for verdict, most in SHOWN.items():
        found = in_turn([finding for finding in book.findings if finding.verdict == verdict])
        if found:
            more = [f"- … and {len(found) - most} more"] if len(found) > most else []
            yield "\n".join([f"**{verdict.capitalize()}**", "", *(_line(book, f) for f in found[:most]), *more])


def in_turn(findings: Sequence[Finding]) -> list[Finding]:
    """Returns the largest effect of each analysis in turn, so that no analysis fills the screen."""
    by_analysis: dict[str, list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda f: -abs(f.effect or 0.0)):
        by_analysis[finding.analysis].append(finding)
    return [finding for turn in zip_longest(*by_analysis.values()) for finding in turn if finding is not None]


def _line(book: ReportData, found: Finding) -> str:
    effect = f"{signed(found.effect)} {interval(found.low, found.high)}".strip()
    return f"- `{effect}` {_told(sentence(found.statement, book.tasks), 'statement')}"


def _open(findings: Sequence[Finding]) -> str:
    states = Counter(finding.evidence for finding in findings if finding.verdict == "open")
    told = " · ".join(f"{escape(state)} {n}" for state, n in states.most_common())
    return f"**Open**, by the state of the evidence: {told}" if told else ""


def _holes(book: ReportData) -> str:
    missing = len(holes(book))
    return f"**Holes:** {count(missing)} planned cells have no result" if missing else "**Holes:** none"


def _environment(book: ReportData) -> str:
    told = ", ".join(f"{name} {value}" for name, value in book.environment.items() if name not in UNTOLD)
    stated = [f"{name} {book.study[name]}" for name in ("precision", "device", "protocol") if name in book.study]
    return f"<sub>{_told(', '.join([told, *stated]), 'environment')}</sub>" if told else ""


EXPORTER = Exporter("markdown", "a summary on one screen for a pull request", "https://github.github.com/gfm/", files)
