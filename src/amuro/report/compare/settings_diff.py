"""Differences of two studies besides their results: statements, coordinates and environment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from amuro.core.coordinates import EVALUATION, SETTING
from amuro.report.compare.saved_report import Kept

ASKED = ("series", "checkpoint", "tuned_on", "recipe", "method", *EVALUATION, "format", "shots", *SETTING, "metric")
"""Coordinates whose values are compared."""
OWN = ("schema", "name", "question", "description", "numbers", "metrics", "checkpoints")
"""Of study.json: what is shown elsewhere, or is each study's own."""


@dataclass(frozen=True, slots=True)
class Stated:
    """One statement of the studies; a dash if a study does not have it."""

    name: str
    left: str
    right: str

    @property
    def same(self) -> bool:
        return self.left == self.right


@dataclass(frozen=True, slots=True)
class Asked:
    """Values of one coordinate: in both studies, and in one alone."""

    coordinate: str
    both: tuple[str, ...]
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.only_left and not self.only_right


def stated(left: Kept, right: Kept) -> list[Stated]:
    """Returns the statements about studies and machines, different ones first."""
    rows = [*_side_by_side(left.study, right.study), *_side_by_side(left.environment, right.environment)]
    return sorted(rows, key=lambda row: row.same)


def _side_by_side(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[Stated]:
    for name in dict.fromkeys([*left, *right]):
        if name not in OWN:
            yield Stated(name, *(_told(each.get(name)) for each in (left, right)))


def _told(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_told(inner)}" for key, inner in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def asked(left: pl.DataFrame, right: pl.DataFrame) -> list[Asked]:
    """Returns the values of each coordinate that both studies or only one have, different ones first."""
    rows = []
    for name in ASKED:
        mine, others = (set(frame[name].drop_nulls().cast(pl.String).to_list()) for frame in (left, right))
        rows.append(Asked(name, *(tuple(sorted(found)) for found in (mine & others, mine - others, others - mine))))
    return sorted(rows, key=lambda row: row.same)
