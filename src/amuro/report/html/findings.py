"""Findings on the page: an analysis is a section, a finding a card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import polars as pl
from markupsafe import Markup

from amuro.core.types import Finding
from amuro.report import formatting
from amuro.report.html.data_table import points_table
from amuro.report.model import ReportData
from amuro.report.naming import Roles, roles_of
from amuro.report.plots.specs import draw, finding_chart
from amuro.report.plots.svg_forest import effect_bar
from amuro.report.tables import CellPlaces, Table, cell_places

READING_ORDER = (
    "learned_in_pretraining", "gain", "transfer", "latent_gain", "learned_gain_less", "forgetting",
    "across_kinds", "mixture", "format_sensitivity", "trained_format", "overtraining", "noise", "detectable",
)  # fmt: skip
"""From what is simple to what builds on it; analyses that are not named here follow in the order of the book."""
ALL_TASKS = "all tasks"
"""Stands for the task of a finding about no single one."""
IN_SHORT = 6
"""Supported findings that stand at the top."""


@dataclass(frozen=True, slots=True)
class FindingCard:
    """A finding as the page shows it."""

    anchor: str
    finding: Finding
    sentence: str
    task: str
    mark: str
    effect: str
    effect_bar: Markup
    figure: Markup
    table: Table | None
    run: tuple[str, ...]
    not_run: tuple[str, ...]
    """Addresses of the cells that it stands on, those that were measured and those that were not."""
    formats: tuple[int, ...]
    checkpoints: tuple[int, ...]
    """What its cells were asked in and of which checkpoints: places in the lists of `Reach`."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The values by which findings can be filtered, in words."""

    tasks: tuple[str, ...]
    formats: tuple[str, ...]
    checkpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FindingSection:
    """An analysis with its findings."""

    anchor: str
    name: str
    question: str
    formula: str
    source: str
    unit: str
    cards: tuple[FindingCard, ...]


def sections_of(book: ReportData) -> list[FindingSection]:
    """Returns the analyses in reading order; findings of an analysis without a description get a section as well."""
    undone = set(book.planned.filter(~pl.col("done"))["cell"]) if book.planned.height else set()
    known, roles = cell_places(book), roles_of(book.scores)
    by_analysis: dict[str, list[FindingCard]] = defaultdict(list)
    for place, finding in enumerate(book.findings, 1):
        by_analysis[finding.analysis].append(_card(book, finding, place, undone, known, roles))
    descriptions = {a.name: (a.question, a.formula, a.source, a.unit) for a in book.analyses}
    names = [*descriptions, *(name for name in by_analysis if name not in descriptions)]
    names.sort(key=lambda name: READING_ORDER.index(name) if name in READING_ORDER else len(READING_ORDER))
    return [
        FindingSection(
            f"analysis-{formatting.slug(name)}",
            name,
            *descriptions.get(name, ("", "", "", "")),
            tuple(by_analysis[name]),
        )
        for name in names
        if by_analysis[name]
    ]


def _card(
    book: ReportData, finding: Finding, place: int, undone: set[str], known: CellPlaces, roles: Roles
) -> FindingCard:
    anchor = f"finding-{place}-{formatting.slug(finding.id)}"
    stands = [known.cells[cell] for cell in finding.cells if cell in known.cells]
    return FindingCard(
        anchor=anchor,
        finding=finding,
        sentence=formatting.sentence(finding.statement, book.tasks, roles),
        task=formatting.plain(finding.task),
        mark=formatting.VERDICTS[finding.verdict][0],
        effect=formatting.signed(finding.effect),
        effect_bar=effect_bar(f"effect-{anchor}", finding.effect, finding.low, finding.high, finding.delta),
        figure=draw(finding_chart(book, finding, anchor)),
        table=points_table(finding),
        run=tuple(cell for cell in finding.cells if cell not in undone),
        not_run=tuple(cell for cell in finding.cells if cell in undone),
        formats=tuple(sorted({form for form, _ in stands})),
        checkpoints=tuple(sorted({checkpoint for _, checkpoint in stands})),
    )


def in_short(sections: Sequence[FindingSection]) -> list[FindingCard]:
    """Returns the supported findings: the largest effect of each analysis in turn."""
    lists = [
        sorted((c for c in section.cards if c.finding.verdict == "supported"), key=lambda c: -(c.finding.effect or 0.0))
        for section in sections
    ]
    return [card for turn in zip_longest(*lists) for card in turn if card is not None][:IN_SHORT]


def verdict_map(sections: Sequence[FindingSection]) -> dict[str, Any]:
    """Returns analysis × task → cards; the last column is for findings about no single task."""
    tasks = sorted({card.task for section in sections for card in section.cards} - {""})
    has_rest = any(not card.task for section in sections for card in section.cards)
    columns = [*tasks, *([""] if has_rest else [])]
    rows = [
        (section, [[card for card in section.cards if card.task == task] for task in columns]) for section in sections
    ]
    return {"columns": columns, "rows": rows}


def reach(book: ReportData, sections: Sequence[FindingSection]) -> Reach:
    """Returns the tasks of the findings, and the formats and checkpoints of their cells."""
    tasks, known = {card.task for section in sections for card in section.cards}, cell_places(book)
    return Reach((*sorted(tasks - {""}), *([ALL_TASKS] if "" in tasks else [])), known.formats, known.checkpoints)
