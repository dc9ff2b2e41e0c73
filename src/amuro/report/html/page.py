"""Renders the page: fills its sections into the templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from amuro.report import examples, formatting
from amuro.report.html import examples_json, examples_plain, findings, provenance
from amuro.report.html import overview as picture
from amuro.report.html.csp import embedded_json, policy
from amuro.report.model import ReportData
from amuro.report.naming import main_split
from amuro.report.plots.specs import draw, task_chart
from amuro.report.score_tables import overview, score_tables
from amuro.report.tables import Table, step_name, steps_of
from amuro.report.transfer_matrix import forgetting_tables

LIMITS = {"cells_shown": 8, "holes_shown": 200, "flags_shown": 40, "unfolded": 6}
"""Addresses that one finding lists; holes and places of one flag that are listed; findings shown unfolded."""


@dataclass(frozen=True, slots=True)
class TaskScores:
    """The scores of one task: a chart over pre-training per series, and its tables."""

    name: str
    title: str
    instruction: str
    figures: tuple[tuple[str, Markup], ...]
    tables: tuple[Table, ...]


@cache
def source(name: str) -> str:
    """Returns the text of a file beside this module."""
    return files("amuro.report.html").joinpath(name).read_text(encoding="utf-8")


def scripts() -> str:
    """Returns the script of a page."""
    return "".join(source(name) for name in ("common.js", "charts.js", "filters.js", "items.js"))


def render(book: ReportData) -> tuple[str, dict[str, Markup]]:
    """Returns (the page, its figures by name)."""
    sections = findings.sections_of(book)
    panels = {
        "pretraining": picture.pretraining_panel(book),
        "tuning": picture.tuning_panel(book),
        "asking": picture.asking_panel(book),
    }
    task_scores = _scores_by_task(book)
    style, script = source("figure.css") + source("style.css"), scripts()
    names = examples_json.names_of(book)
    item_names, cards = names.in_words(book), examples_json.pack(book, names)
    page = environment().get_template("page.html.j2").render(
        policy=policy(script, style), style=Markup(style), script=Markup(script),
        study=book.study, numbers=picture.numbers(book), panels=panels, shortfall=provenance.shortfall(book.planned),
        sections=sections, short=findings.in_short(sections), map=findings.verdict_map(sections),
        tally=Counter(finding.verdict for finding in book.findings), verdicts=formatting.VERDICTS,
        evidence=formatting.EVIDENCE,
        flags=provenance.flags_by_name(book), task_scores=task_scores, overviews=_by_series(book, _overviews),
        all_tasks=findings.ALL_TASKS, reach=findings.reach(book, sections), score_formats=_formats(book),
        score_places=_places(book),
        forgetting=_by_series(book, forgetting_tables), examples=examples_plain.first_cards(cards, item_names),
        cards_shown=len(cards), item_names=item_names,
        change_table=examples_plain.change_table(book, names, item_names),
        transitions=examples.TRANSITIONS, right=examples.RIGHT,
        kinds={kind: examples.TRANSITIONS[kind] for kind in examples.KINDS},
        data=embedded_json(examples_json.data(book, names, cards)), facts=provenance.facts(book),
        ledger=provenance.cost(book), audits=book.audits, holes=provenance.holes(book), **LIMITS,
    )  # fmt: skip
    return page, _figures(panels, sections, task_scores)


def environment() -> Environment:
    """Returns the template environment, which escapes everything that is not Markup."""
    environment = Environment(
        loader=PackageLoader("amuro.report.html"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(plain=formatting.plain, count=formatting.count, number=formatting.number)
    return environment


def _figures(
    panels: Mapping[str, Markup], sections: Sequence[findings.FindingSection], task_scores: Sequence[TaskScores]
) -> dict[str, Markup]:
    """Returns the figures by name, without empty ones."""
    figures = {f"study-{name}": panel for name, panel in panels.items()}
    for scores in task_scores:
        figures |= {f"scores-{formatting.slug(title)}": figure for title, figure in scores.figures}
    figures |= {card.anchor: card.figure for section in sections for card in section.cards}
    return {name: figure for name, figure in figures.items() if figure}


def _series(book: ReportData) -> list[str]:
    return book.scores["series"].unique().sort().to_list() if book.scores.height else []


def _by_series(book: ReportData, tables: Callable[[ReportData, str], list[Table]]) -> list[tuple[str, list[Table]]]:
    """Returns (name, tables) of each series with tables; the name is '' if there is only one series."""
    names = _series(book)
    pairs = [(name if len(names) > 1 else "", tables(book, name)) for name in names]
    return [pair for pair in pairs if pair[1]]


def _formats(book: ReportData) -> list[str]:
    """Returns the formats in words, the default one first."""
    names = set(book.scores["format"]) if book.scores.height else set()
    return [formatting.plain(name) for name in sorted(names, key=lambda name: (name != "default", name))]


def _places(book: ReportData) -> list[str]:
    """Returns the column heads of all score tables, in order."""
    return list(dict.fromkeys(step_name(*pair) for pair in steps_of(book.scores))) if book.scores.height else []


def _overviews(book: ReportData, series: str) -> list[Table]:
    table = overview(book, series)
    return [table] if table else []


def _scores_by_task(book: ReportData) -> list[TaskScores]:
    """Returns the scores of each task; tasks that a recipe trains on come first."""
    if not book.scores.height:
        return []
    names = book.scores.filter(pl.col("split") != "dev")["task"].unique().sort().to_list()
    tuned_on = set(book.scores["tuned_on"])
    return [_scores_of(book, name) for name in sorted(names, key=lambda name: name not in tuned_on)]


def _scores_of(book: ReportData, task: str) -> TaskScores:
    split = main_split(book.scores, task)
    series, title = _series(book), formatting.plain(task)
    drawn = [
        (f"{title}, {name}" if len(series) > 1 else title, draw(task_chart(book, name, task, split))) for name in series
    ]
    instruction = book.tasks[task].instruction if task in book.tasks else ""
    figures = tuple(pair for pair in drawn if pair[1])
    return TaskScores(task, title, instruction, figures, tuple(score_tables(book, task)))
