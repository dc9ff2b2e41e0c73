"""Reads an earlier report from its folder: findings, scores, the study's statements and environment."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import polars as pl

from amuro.core import regular_files
from amuro.core.errors import DataError
from amuro.core.types import EvidenceState, Finding, Verdict
from amuro.results.scoring import no_scores

SCHEMA = 1
"""The version of findings.json that is understood."""
PAGES = ("report.html", "paper.html")
YOUNGER = ("provenance", "truncated", "shots_shown")
"""Columns that reports of earlier versions lack; unknown there."""
CURE = "make it anew with `amuro report STUDY`"
_NUMBERS = ("effect", "low", "high", "p_adjusted")
_CHOICES = {"verdict": get_args(Verdict), "evidence": get_args(EvidenceState)}


@dataclass(frozen=True)
class Kept:
    """One study as its report has it. What the folder lacks is empty."""

    name: str
    study: Mapping[str, Any]
    """question, engine, precision, seeds, numbers, metrics …: study.json."""
    findings: tuple[Finding, ...]
    scores: pl.DataFrame
    environment: Mapping[str, Any]
    page: Path | None = None
    folder: str = ""
    """Name of the folder that it was read from: what tells two runs of one study apart."""

    def fact(self, name: str) -> Any:
        """Returns a statement of the study, or None."""
        return self.study.get(name)


def load(folder: Path) -> Kept:
    """Reads the report in `folder`. Raises DataError if there is none or a file cannot be read."""
    told = _json(folder / "findings.json")
    if told is None:
        raise DataError(f"{folder} holds no findings.json", cure=f"name the folder of a report, or {CURE}")
    if not isinstance(told, Mapping) or told.get("schema") != SCHEMA or not isinstance(told.get("findings"), list):
        raise DataError(f"{folder}/findings.json is not of schema {SCHEMA}", cure=CURE)
    findings = tuple(_finding(record, k, folder) for k, record in enumerate(told["findings"], 1))
    _refuse_twice(findings, folder)
    return Kept(
        name=str(told.get("study", folder.name)), study=_object(folder / "study.json"), findings=findings,
        scores=_scores(folder / "scores.parquet"), environment=_object(folder / "environment.json"),
        page=next((folder / name for name in PAGES if (folder / name).is_file()), None), folder=folder.resolve().name,
    )  # fmt: skip


def _json(path: Path) -> Any:
    try:
        return json.loads(regular_files.content(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as bad:
        raise DataError(f"{path} cannot be read ({bad})", cure=CURE) from bad


def _object(path: Path) -> Mapping[str, Any]:
    found = _json(path)
    return found if isinstance(found, Mapping) else {}


def _finding(record: Any, place: int, folder: Path) -> Finding:
    """Returns a record as a finding; unknown fields of later versions are left out."""
    names = {field.name: field for field in fields(Finding)}
    values = {key: value for key, value in record.items() if key in names} if isinstance(record, Mapping) else {}
    for name, value in values.items():
        if not _fits(name, value):
            raise DataError(f"{folder}/findings.json, finding {place}: {name} is {str(value)[:40]!r}", cure=CURE)
    try:
        return Finding(**values | {"cells": tuple(values["cells"]), "points": tuple(values["points"])})
    except (KeyError, TypeError) as bad:
        raise DataError(f"{folder}/findings.json, finding {place} lacks fields ({bad})", cure=CURE) from bad


def _fits(name: str, value: Any) -> bool:
    if name in _CHOICES:
        return value in _CHOICES[name]
    if name in _NUMBERS or name == "delta":
        return (value is None and name != "delta") or _real(value)
    if name in ("cells", "points"):
        return isinstance(value, list) and all(isinstance(v, str if name == "cells" else Mapping) for v in value)
    return isinstance(value, int) if name == "n" else isinstance(value, str)


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse_twice(findings: tuple[Finding, ...], folder: Path) -> None:
    seen: set[str] = set()
    for finding in findings:
        if finding.id in seen:
            raise DataError(f"{folder}/findings.json has the id {finding.id} twice", cure=CURE)
        seen.add(finding.id)


def _scores(path: Path) -> pl.DataFrame:
    """Returns the scores with every coordinate in its type; empty if the file is missing."""
    wanted = no_scores()
    if not path.is_file():
        return wanted
    try:
        found = pl.read_parquet(path)
        lacking = [name for name in wanted.columns if name not in (*found.columns, *YOUNGER)]
        if lacking:
            raise DataError(f"{path} has no column {lacking[0]}", cure=CURE)
        found = found.with_columns(_unknown(name, wanted) for name in YOUNGER if name not in found.columns)
        return found.select(pl.col(name).cast(kind) for name, kind in wanted.schema.items())
    except (OSError, pl.exceptions.PolarsError) as bad:
        raise DataError(f"{path} cannot be read as scores ({bad})", cure=CURE) from bad


def _unknown(name: str, wanted: pl.DataFrame) -> pl.Expr:
    """Returns the value of a column that an earlier version lacks: 'unknown', or null for numbers."""
    kind = wanted.schema[name]
    return pl.lit("unknown" if kind == pl.String else None, kind).alias(name)
