"""The page of a table of released scores: claims, warnings, the paper's figures and numbers, and what is ambiguous."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from amuro.core.errors import StoreError
from amuro.core.types import Finding
from amuro.paper.figures import Figure, Panel
from amuro.report import formatting
from amuro.report.files import findings_frame, findings_json, put_text, replace_file, standalone
from amuro.report.html import findings as sections
from amuro.report.html.csp import policy, without_formulas
from amuro.report.html.page import environment, scripts, source
from amuro.report.model import ReportData
from amuro.report.plots.chart import NO_DIFFERENCE, Chart, Line, Point, Reference
from amuro.report.plots.specs import AXES, draw, line_looks
from amuro.report.tables import Square, Table
from amuro.results.analyses.base import Analysis
from amuro.results.importers.base import TableNote

DIGITS = 3
TINY = 5e-6
"""Numbers below are learning rates, which three decimals would lose."""


@dataclass(frozen=True, slots=True)
class Released:
    """Contents of the page of released scores."""

    title: str
    lead: Sequence[str]
    findings: Sequence[Finding]
    analyses: Sequence[Analysis]
    warnings: Sequence[TableNote]
    remarks: Sequence[TableNote]
    figures: Sequence[Figure]
    tables: Mapping[str, pl.DataFrame]
    scores: pl.DataFrame
    sources: Sequence[tuple[str, str]]


TABLES = {
    "out_of_domain_families": "Out of domain by family (figure 5)",
    "cross_task_directions": "Class and generation (equation 1): the paper's mean of ratios, and the ratio of sums",
    "average_change": "Average change by checkpoint (table 6, as far as the sets reach)",
    "replicate_spread": "How far near-replicate checkpoints differ",
    "replicates": "The same, set by set, against the printed errors",
    "out_of_domain_change": "Out of domain: tuned − base",
    "cross_task_ratios": "Cross-task: (tuned − base) / base",
    "in_domain_change": "In domain: tuned − base",
    "shots": "The same model and set under several numbers of shots",
    "base_scores": "All base scores",
    "tuned_scores": "All tuned scores",
}
"""Table → its heading on the page, in reading order."""


def write_released(released: Released, out: Path) -> Path:
    """Writes paper.html, findings.json and .csv, scores.csv and .parquet, remarks.csv, tables/*.csv and figures/*.svg.

    Returns the path of the page. Raises `StoreError` where `out` cannot be written.
    """
    page, figures = render_released(released)
    try:
        for folder in ("tables", "figures"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        put_text(out / "findings.json", findings_json(released.title, released.findings))
        put_text(out / "findings.csv", _csv(findings_frame(released.findings)))
        write_scores(released.scores, [*released.warnings, *released.remarks], out)
        for name, table in released.tables.items():
            put_text(out / "tables" / f"{name}.csv", _csv(table))
        for name, figure in figures.items():
            put_text(out / "figures" / f"{name}.svg", standalone(figure, source("style.css"), source("figure.css")))
        put_text(out / "paper.html", page)
    except OSError as bad:
        raise StoreError(f"the page cannot be written to {out}: {bad}", "choose another folder with --out") from bad
    return out / "paper.html"


def write_scores(scores: pl.DataFrame, remarks: Sequence[TableNote], out: Path) -> None:
    """Writes scores.csv, scores.parquet and remarks.csv."""
    out.mkdir(parents=True, exist_ok=True)
    put_text(out / "scores.csv", _csv(scores))
    replace_file(out / "scores.parquet", scores.write_parquet)
    rows = [{"kind": r.kind, "where": r.where, "detail": r.detail} for r in remarks]
    put_text(
        out / "remarks.csv", _csv(pl.DataFrame(rows, schema=dict.fromkeys(("kind", "where", "detail"), pl.String)))
    )


def _csv(table: pl.DataFrame) -> str:
    return without_formulas(table).write_csv()


def render_released(released: Released) -> tuple[str, dict[str, Markup]]:
    """Returns (the page as HTML, its figures as SVG by name)."""
    report_sections = sections.sections_of(_book(released))
    drawn = [
        (figure, [(panel, _draw(figure, panel, k)) for k, panel in enumerate(figure.panels)])
        for figure in released.figures
    ]
    style, script = source("figure.css") + source("style.css"), scripts()
    shown = [(name, TABLES[name], as_table(released.tables[name])) for name in TABLES if released.tables[name].height]
    page = environment().get_template("released.html.j2").render(
        policy=policy(script, style), style=Markup(style), script=Markup(script), title=released.title,
        lead=released.lead,
        sections=report_sections, short=[], map=None, task_scores=[],
        tally=Counter(finding.verdict for finding in released.findings), verdicts=formatting.VERDICTS,
        evidence=formatting.EVIDENCE,
        all_tasks=sections.ALL_TASKS, reach=sections.reach(_book(released), report_sections), unfolded=1,
        cells_shown=24,
        warnings=grouped(released.warnings), remarks=grouped(released.remarks), figures=drawn,
        tables=shown, sources=released.sources,
    )  # fmt: skip
    pictures = {
        f"figure-{formatting.slug(f.number)}-{formatting.slug(panel.title)}": svg
        for f, pairs in drawn
        for panel, svg in pairs
    }
    cards = {card.anchor: card.figure for section in report_sections for card in section.cards}
    return page, {name: picture for name, picture in (pictures | cards).items() if picture}


def _book(released: Released) -> ReportData:
    empty = pl.DataFrame()
    return ReportData(
        study={"name": released.title}, series=[], findings=released.findings, analyses=released.analyses, flags=[],
        scores=released.scores, items=empty, examples=empty, ledger=empty, planned=empty, environment={},
    )  # fmt: skip


def grouped(remarks: Sequence[TableNote]) -> list[tuple[str, list[TableNote]]]:
    """Returns the remarks by kind, in the order in which the kinds first occur."""
    kinds = dict.fromkeys(remark.kind for remark in remarks)
    return [(kind, [remark for remark in remarks if remark.kind == kind]) for kind in kinds]


def _draw(figure: Figure, panel: Panel, k: int) -> Markup:
    """Draws a panel over tokens, or in rows where its points have an `x` name."""
    named = any("x" in point for point in panel.points)
    categories = tuple(dict.fromkeys(str(p["x"]) for p in panel.points)) if named else ()
    names = list(dict.fromkeys(str(p["line"]) for p in panel.points))
    lines = tuple(
        Line(
            formatting.plain(name),
            css,
            tuple(_point(p, categories) for p in panel.points if p["line"] == name),
            dashed=dashed,
        )
        for name, (css, dashed) in zip(names, line_looks(names), strict=True)
    )
    return draw(Chart(
        name=f"paper-{formatting.slug(figure.number)}-{formatting.slug(figure.title)}-{k}",
        title=f"{figure.title}: {panel.title}",
        lines=lines, references=_references(panel, named), x_label="" if named else AXES["tokens"],
        y_label=panel.y_label, categories=categories, logarithmic=not named,
    )) if lines else Markup("")  # fmt: skip


def _references(panel: Panel, named: bool) -> tuple[Reference, ...]:
    """Returns the reference line: no difference for changes, the best constant answer for scores."""
    if named:
        return (Reference(NO_DIFFERENCE, 0.0),)
    return () if panel.majority is None else (Reference("majority", panel.majority),)


def _point(point: Mapping[str, Any], categories: tuple[str, ...]) -> Point:
    x = float(categories.index(str(point["x"]))) if categories else float(point["tokens"])
    return Point(x, point["value"], point["low"], point["high"], tuple(point.get("seeds", ())))


def as_table(frame: pl.DataFrame) -> Table:
    """Returns a frame as a table of the page; its text columns become the row heads."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    heads = [name for name in texts if frame[name].n_unique() > 1 or frame.height == 1] or texts[:1]
    heads = [name for name in heads if name != "state"]
    rest = [name for name in frame.columns if name not in texts or name == "state"]
    rows = tuple(
        (" · ".join(formatting.plain(str(row[name])) for name in heads if row[name] not in (None, "")),
         tuple(_square(row[name]) for name in rest))
        for row in frame.iter_rows(named=True)
    )  # fmt: skip
    return Table("", tuple(formatting.plain(name) for name in rest), rows)


def _square(value: Any) -> Square:
    if value is None:
        return Square("–", "hole", "No such row in the table.")
    if isinstance(value, float):
        return Square(f"{value:.0e}" if 0 < abs(value) < TINY else formatting.number(value, DIGITS))
    return Square(("yes" if value else "") if isinstance(value, bool) else str(value))
