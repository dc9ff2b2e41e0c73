"""Findings as the page tells them: an analysis is a chapter, a finding a card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import polars as pl
from markupsafe import Markup

from amuro.report import words
from amuro.report.book import Book
from amuro.report.figures import draw, finding_chart
from amuro.report.rows import strip
from amuro.report.tables import Square, Table
from amuro.types import Finding

READING_ORDER = (
    "learned_in_pretraining", "gain", "transfer", "latent_gain", "learned_gain_less", "forgetting",
    "format_sensitivity", "trained_format", "overtraining", "noise", "detectable",
)  # fmt: skip
"""From what is simple to what builds on it; analyses that are not named here follow in the order of the book."""
IN_SHORT = 6
"""Supported findings that stand at the top."""


@dataclass(frozen=True, slots=True)
class Card:
    """A finding as the page shows it."""

    anchor: str
    finding: Finding
    sentence: str
    task: str
    mark: str
    effect: str
    strip: Markup
    figure: Markup
    table: Table | None
    not_run: int


@dataclass(frozen=True, slots=True)
class Chapter:
    """An analysis with its findings."""

    anchor: str
    name: str
    question: str
    formula: str
    source: str
    unit: str
    cards: tuple[Card, ...]


def chapters_of(book: Book) -> list[Chapter]:
    """Analyses in reading order; findings of an analysis that the book does not describe get a chapter as well."""
    undone = set(book.planned.filter(~pl.col("done"))["cell"]) if book.planned.height else set()
    by_analysis: dict[str, list[Card]] = defaultdict(list)
    for place, finding in enumerate(book.findings, 1):
        by_analysis[finding.analysis].append(_card(book, finding, place, undone))
    told = {a.name: (a.question, a.formula, a.source, a.unit) for a in book.analyses}
    names = [*told, *(name for name in by_analysis if name not in told)]
    names.sort(key=lambda name: READING_ORDER.index(name) if name in READING_ORDER else len(READING_ORDER))
    return [
        Chapter(f"analysis-{words.slug(name)}", name, *told.get(name, ("", "", "", "")), tuple(by_analysis[name]))
        for name in names
        if by_analysis[name]
    ]


def _card(book: Book, finding: Finding, place: int, undone: set[str]) -> Card:
    anchor = f"finding-{place}-{words.slug(finding.id)}"
    return Card(
        anchor=anchor,
        finding=finding,
        sentence=words.sentence(finding.statement, book.tasks),
        task=words.plain(finding.task),
        mark=words.VERDICTS[finding.verdict][0],
        effect=words.signed(finding.effect),
        strip=strip(f"strip-{anchor}", finding.effect, finding.low, finding.high, finding.delta),
        figure=draw(finding_chart(book, finding, anchor)),
        table=_points_table(finding),
        not_run=len(undone.intersection(finding.cells)),
    )


def _points_table(finding: Finding) -> Table | None:
    """The numbers behind a figure, as they were given."""
    if not finding.points:
        return None
    columns = list(dict.fromkeys(key for point in finding.points for key in point if key not in ("line", "x_label")))
    rows = tuple(
        (words.plain(str(point.get("line", ""))), tuple(_plain_square(key, point.get(key)) for key in columns))
        for point in finding.points
    )
    return Table("", tuple(words.plain(column) for column in columns), rows)


def _plain_square(column: str, value: Any) -> Square:
    if value is None:
        return Square("not run" if column == "value" else "–", "hole" if column == "value" else "")
    if isinstance(value, float) and column != "tokens":
        return Square(words.number(value, 3))
    return Square(words.compact(value) if column == "tokens" else str(value))


def in_short(chapters: Sequence[Chapter]) -> list[Card]:
    """The supported findings: the clearest of each analysis in turn, by size of effect."""
    lists = [
        sorted((c for c in chapter.cards if c.finding.verdict == "supported"), key=lambda c: -(c.finding.effect or 0.0))
        for chapter in chapters
    ]
    return [card for turn in zip_longest(*lists) for card in turn if card is not None][:IN_SHORT]


def verdict_map(chapters: Sequence[Chapter]) -> dict[str, Any]:
    """Analysis × task → cards; the last column is for findings about no single task."""
    tasks = sorted({card.task for chapter in chapters for card in chapter.cards} - {""})
    has_rest = any(not card.task for chapter in chapters for card in chapter.cards)
    columns = [*tasks, *([""] if has_rest else [])]
    rows = [
        (chapter, [[card for card in chapter.cards if card.task == task] for task in columns]) for chapter in chapters
    ]
    return {"columns": columns, "rows": rows}
