"""All charts of a study by the names they have beside the report, not yet drawn."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from amuro.report.formatting import plain, slug
from amuro.report.model import ReportData
from amuro.report.naming import main_split
from amuro.report.plots.chart import Chart
from amuro.report.plots.specs import finding_chart, task_chart


def charts(book: ReportData) -> dict[str, Chart]:
    """Returns name → chart: scores of each task in each series over pre-training, then each finding with points."""
    found = {name: chart for name, chart in (*_of_scores(book), *_of_findings(book)) if chart is not None}
    return {name: chart for name, chart in found.items() if not chart.empty}


def _of_scores(book: ReportData) -> Iterator[tuple[str, Chart]]:
    rows = book.scores.filter(pl.col("split") != "dev") if book.scores.height else book.scores
    series = rows["series"].unique().sort().to_list() if rows.height else []
    for task in rows["task"].unique().sort().to_list() if rows.height else []:
        split = main_split(book.scores, task)
        for name in series:
            title = f"{plain(task)}, {name}" if len(series) > 1 else plain(task)
            yield f"scores-{slug(title)}", task_chart(book, name, task, split)


def _of_findings(book: ReportData) -> Iterator[tuple[str, Chart | None]]:
    for place, finding in enumerate(book.findings, 1):
        name = f"finding-{place}-{slug(finding.id)}"
        yield name, finding_chart(book, finding, name)
