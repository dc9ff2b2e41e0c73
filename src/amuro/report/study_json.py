"""study.json: what a study states and how large it is, for indexes and comparisons."""

from __future__ import annotations

import json
from typing import Any

from amuro.report.compare.saved_report import Kept
from amuro.report.files import as_json_value
from amuro.report.formatting import higher_is_better
from amuro.report.html.overview import numbers
from amuro.report.model import ReportData

SCHEMA = 1
"""Version of study.json."""


def facts(book: ReportData) -> dict[str, Any]:
    """Returns the study's statements, its size, the digests of its checkpoints, each task's primary metric, and the
    metrics for which lower is better (a custom metric may not be installed where the report is read).
    """
    tasks = book.scores["task"].unique().sort().to_list() if book.scores.height else []
    metrics = book.scores["metric"].unique().sort().to_list() if book.scores.height else []
    stated: dict[str, Any] = as_json_value(
        {
            "schema": SCHEMA,
            **book.study,
            "numbers": numbers(book),
            "weights": {row["checkpoint"]: row["weights"] for row in book.series if row.get("weights")},
            "metrics": {task: book.metric(task) for task in tasks},
            "lower_is_better": [name for name in metrics if not higher_is_better(name)],
        }
    )
    return stated


def study_json(book: ReportData) -> str:
    """Returns the facts as JSON."""
    return json.dumps(facts(book), indent=1, ensure_ascii=False) + "\n"


def kept(book: ReportData) -> Kept:
    """Returns a report's data as if loaded from its folder."""
    stated = facts(book)
    environment: dict[str, Any] = as_json_value(book.environment)
    return Kept(str(book.study["name"]), stated, tuple(book.findings), book.scores, environment)
