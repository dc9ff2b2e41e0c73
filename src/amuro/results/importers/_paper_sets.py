"""The facts of the paper's evaluation and training sets, read from the file beside this module."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from amuro.results.importers.base import SetFacts

TABLES = ("sft", "choice", "instruct")
"""The three released tables: supervised tuning, the multiple-choice evaluation, and further instruction benchmarks."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a training set of the paper is called here, and what it makes of an evaluation set."""

    task: str
    in_domain: tuple[str, ...]
    out_of_domain: tuple[str, ...]
    instructed: tuple[str, ...] = ()

    def role(self, task: str) -> str:
        """in_domain, out_of_domain, instructed (asked after instruction tuning), else cross_task."""
        roles = {"in_domain": self.in_domain, "out_of_domain": self.out_of_domain, "instructed": self.instructed}
        return next((role for role, tasks in roles.items() if task in tasks), "cross_task")


@cache
def _file() -> Mapping[str, Any]:
    return tomllib.loads(files("amuro.results.importers").joinpath("paper_sets.toml").read_text(encoding="utf-8"))


@cache
def sets(table: str) -> Mapping[str, SetFacts]:
    """Name in one of the released tables → facts."""
    return {name: _facts(stated) for name, stated in _file()[table].items()}


@cache
def scale(table: str, name: str) -> float:
    """What a full score is written as: 1, or 100 where the table has percents."""
    return float(_file()[table][name].get("scale", 1))


@cache
def trainings() -> Mapping[str, Training]:
    """Name in a model id → training set."""
    return {
        name: Training(stated["task"], *(tuple(stated.get(role, ())) for role in _ROLES))
        for name, stated in _file()["training"].items()
    }


_ROLES = ("in_domain", "out_of_domain", "instructed")


def _facts(stated: Mapping[str, Any]) -> SetFacts:
    return SetFacts(**{"rows": None, **{key: value for key, value in stated.items() if key != "scale"}})
