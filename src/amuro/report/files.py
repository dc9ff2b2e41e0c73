"""The files beside the page: findings and scores as JSON, CSV and Parquet, figures as SVG. Each is complete or
absent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from amuro.core.types import Finding
from amuro.report.html.csp import without_formulas

SCHEMA = 1
"""Version of findings.json; grows when a field changes its meaning or goes away."""
_LISTS = ("cells", "points")


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a temporary file and renames it: a reader sees the old file or the new one."""
    draft_finding = path.with_name(f".{path.name}.draft")
    write(draft_finding)
    draft_finding.replace(path)


def put_text(path: Path, content: str) -> None:
    """Writes text as UTF-8; a lone surrogate becomes a question mark instead of an error at the end
    of a long study.
    """
    data = content.encode("utf-8", "replace")
    replace_file(path, lambda draft_finding: draft_finding.write_bytes(data))


def findings_json(study: str, findings: Sequence[Finding]) -> str:
    """Returns all findings with all their fields as JSON; numbers that are not finite become null."""
    records = [as_json_value(asdict(finding)) for finding in findings]
    return json.dumps({"schema": SCHEMA, "study": study, "findings": records}, indent=1, ensure_ascii=False) + "\n"


def environment_json(environment: Mapping[str, Any]) -> str:
    """Returns machine and versions of the cells as JSON; if cells differ, every value that occurs."""
    return json.dumps(as_json_value(environment), indent=1, ensure_ascii=False) + "\n"


def as_json_value(value: Any) -> Any:
    """Returns the value with null for numbers that JSON cannot represent (NaN, infinities)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json_value(inner) for inner in value]
    return value


def findings_frame(findings: Sequence[Finding]) -> pl.DataFrame:
    """Returns one row per finding, with the number of its cells and without its points."""
    rows = [
        {key: value for key, value in asdict(finding).items() if key not in _LISTS} | {"cells": len(finding.cells)}
        for finding in findings
    ]
    schema = dict.fromkeys(("effect", "low", "high", "delta", "p_adjusted"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None) if rows else pl.DataFrame()


def put_tables(folder: Path, findings: Sequence[Finding], scores: pl.DataFrame, items: pl.DataFrame) -> None:
    """Writes scores.csv, scores.parquet, items.parquet and findings.csv."""
    replace_file(folder / "scores.parquet", scores.write_parquet)
    replace_file(folder / "items.parquet", items.write_parquet)
    put_text(folder / "scores.csv", without_formulas(scores).write_csv())
    put_text(folder / "findings.csv", without_formulas(findings_frame(findings)).write_csv())


def standalone(figure: Markup, style: str, figure_style: str) -> str:
    """Returns an inline figure as a separate SVG file: namespace and style included, in the page's light colours."""
    light = dict(re.findall(r"(--[\w-]+):\s*light-dark\(([^,]+),", style))
    rules = re.sub(r"var\((--[\w-]+)\)", lambda match: light.get(match[1], "currentColor").strip(), figure_style)
    head, rest = str(figure).split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{rules}</style>{rest}\n'
