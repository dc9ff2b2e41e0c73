"""The page: sections in the order in which a reader asks, filled into the templates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from amuro.report import examples, picture, words
from amuro.report.book import Book
from amuro.report.charts import draw, strip
from amuro.report.csp import embedded_json, policy
from amuro.report.figures import finding_chart, primary, task_chart
from amuro.report.scoreboard import Square, Table, forgetting_tables, score_tables
from amuro.types import Finding

CELLS_SHOWN = 24
"""Addresses of cells that one finding lists; all of them stand in findings.json."""
HOLES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Card:
    """A finding as the page shows it."""

    anchor: str
    finding: Finding
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


@dataclass(frozen=True, slots=True)
class Sheet:
    """The scores of one task: its picture over pre-training and its tables."""

    name: str
    title: str
    instruction: str
    figure: Markup
    tables: tuple[Table, ...]


@cache
def source(name: str) -> str:
    """The text of a file that ships beside this module."""
    return files("amuro.report").joinpath(name).read_text(encoding="utf-8")


def render(book: Book) -> tuple[str, dict[str, Markup]]:
    """(the whole page, its figures by name)."""
    chapters = _chapters(book)
    sheets = _sheets(book)
    style, script = source("figure.css") + source("style.css"), source("script.js")
    cards = examples.pack(book)
    environment = Environment(
        loader=PackageLoader("amuro.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(plain=words.plain, count=words.count, number=words.number, compact=words.compact)
    environment.globals.update(FLOWS=examples.FLOWS)
    panels = {
        "pretraining": picture.pretraining_panel(book),
        "tuning": picture.tuning_panel(book),
        "asking": picture.asking_panel(book),
    }
    page = environment.get_template("page.html.j2").render(
        policy=policy(script, style), style=Markup(style), script=Markup(script), study=book.study,
        numbers=picture.numbers(book), panels=panels, chapters=chapters, verdicts=words.VERDICTS,
        tally=Counter(finding.verdict for finding in book.findings), map=_verdict_map(chapters), sheets=sheets,
        flags=_flags(book.flags), forgetting=_forgetting(book), examples=cards, data=embedded_json(_examples_data(cards)),
        evidence=words.EVIDENCE, facts=_facts(book), ledger=_ledger(book), holes=_holes(book), holes_shown=HOLES_SHOWN,
        cells_shown=CELLS_SHOWN,
    )  # fmt: skip
    return page, _figures(panels, chapters, sheets)


def _figures(
    panels: Mapping[str, Markup], chapters: Sequence[Chapter], sheets: Sequence[Sheet]
) -> dict[str, Markup]:
    found = {f"study-{name}": panel for name, panel in panels.items()}
    found |= {f"scores-{words.slug(sheet.name)}": sheet.figure for sheet in sheets}
    found |= {card.anchor: card.figure for chapter in chapters for card in chapter.cards}
    return {name: figure for name, figure in found.items() if figure}


def _chapters(book: Book) -> list[Chapter]:
    """Analyses in the book's order; findings of an analysis that the book does not describe get a chapter as well."""
    undone = set(book.planned.filter(~pl.col("done"))["cell"]) if book.planned.height else set()
    by_analysis: dict[str, list[Card]] = defaultdict(list)
    for place, finding in enumerate(book.findings, 1):
        by_analysis[finding.analysis].append(_card(book, finding, place, undone))
    told = {a.name: (a.question, a.formula, a.source, a.unit) for a in book.analyses}
    names = [*told, *(name for name in by_analysis if name not in told)]
    return [
        Chapter(f"analysis-{words.slug(name)}", name, *told.get(name, ("", "", "", "")), tuple(by_analysis[name]))
        for name in names
        if by_analysis[name]
    ]


def _card(book: Book, finding: Finding, place: int, undone: set[str]) -> Card:
    anchor = f"finding-{place}-{words.slug(finding.id)}"
    chart = finding_chart(book, finding, place)
    return Card(
        anchor=anchor,
        finding=finding,
        task=words.plain(finding.task),
        mark=words.VERDICTS[finding.verdict][0],
        effect=words.signed(finding.effect),
        strip=strip(f"strip-{anchor}", finding.effect, finding.low, finding.high, finding.delta),
        figure=draw(chart) if chart else Markup(""),
        table=_points_table(finding),
        not_run=len(undone.intersection(finding.cells)),
    )


def _points_table(finding: Finding) -> Table | None:
    """The numbers behind a figure, as they were given."""
    if not finding.points:
        return None
    columns = list(dict.fromkeys(key for point in finding.points for key in point if key != "line"))
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


def _verdict_map(chapters: Sequence[Chapter]) -> dict[str, Any]:
    """Analysis × task → cards; the last column is for findings about no single task."""
    tasks = sorted({card.task for chapter in chapters for card in chapter.cards} - {""})
    has_rest = any(not card.task for chapter in chapters for card in chapter.cards)
    columns = [*tasks, *([""] if has_rest else [])]
    rows = [(chapter, [[card for card in chapter.cards if card.task == task] for task in columns]) for chapter in chapters]
    return {"columns": columns, "rows": rows}


def _sheets(book: Book) -> list[Sheet]:
    if not book.scores.height:
        return []
    names = book.scores.filter(pl.col("split") != "dev")["task"].unique().sort().to_list()
    return [_sheet(book, name) for name in names]


def _sheet(book: Book, task: str) -> Sheet:
    rows = book.scores.filter((pl.col("task") == task) & (pl.col("split") != "dev"))
    splits = rows["split"].unique().sort().to_list()
    chart = task_chart(book, task, "test" if "test" in splits else splits[0])
    instruction = book.tasks[task].instruction if task in book.tasks else ""
    return Sheet(task, words.plain(task), instruction, draw(chart) if chart else Markup(""), tuple(score_tables(book, task)))


def _forgetting(book: Book) -> list[Table]:
    return forgetting_tables(book, primary(book.scores)) if book.scores.height else []


def _flags(flags: Sequence[Mapping[str, str]]) -> list[tuple[str, str, list[Mapping[str, str]]]]:
    """(name, what it means, where it was raised)."""
    names = dict.fromkeys(flag["name"] for flag in flags)
    return [(name, words.FLAGS.get(name, ""), [flag for flag in flags if flag["name"] == name]) for name in names]


def _examples_data(cards: list[dict[str, Any]]) -> dict[str, Any]:
    return {"tasks": cards, "flows": examples.FLOWS}


def _facts(book: Book) -> list[tuple[str, str]]:
    """What else the study states about itself, and what it ran on."""
    shown = {"name", "question", "description"}
    stated = [(words.plain(str(key)), _as_text(value)) for key, value in book.study.items() if key not in shown]
    return stated + [(words.plain(str(key)), _as_text(value)) for key, value in book.environment.items()]


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{words.plain(str(key))} {_as_text(inner)}" for key, inner in value.items())
    return ", ".join(map(_as_text, value)) if isinstance(value, list | tuple) else str(value)


def _ledger(book: Book) -> dict[str, Any]:
    """Sums over all visits, and the visits that took longest."""
    if not book.ledger.height:
        return {"totals": [], "table": None}
    total = book.ledger.select("seconds", "tokens", "flops").sum().row(0, named=True)
    rows = book.ledger.sort("seconds", descending=True).iter_rows(named=True)
    table = Table("", ("time", "tokens", "FLOPs", "peak memory"), tuple(_visit(row) for row in rows))
    totals = [
        ("visits", words.count(book.ledger.height)),
        ("time of one process", words.duration(total["seconds"])),
        ("tokens", words.compact(total["tokens"])),
        ("FLOPs", words.compact(total["flops"])),
        ("peak memory", _megabytes(book.ledger["peak_memory_mb"].max())),
    ]
    return {"totals": totals, "table": table}


def _visit(row: Mapping[str, Any]) -> tuple[str, tuple[Square, ...]]:
    texts = (
        words.duration(row["seconds"]),
        words.compact(row["tokens"]),
        words.compact(row["flops"]),
        _megabytes(row["peak_memory_mb"]),
    )
    return str(row["visit"]), tuple(Square(text) for text in texts)


def _megabytes(value: Any) -> str:
    return "–" if value is None else f"{value:,.0f} MB"


def _holes(book: Book) -> list[str]:
    return book.planned.filter(~pl.col("done"))["cell"].sort().to_list() if book.planned.height else []
