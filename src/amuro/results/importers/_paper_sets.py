"""Facts of the paper's evaluation and training sets, from `paper_sets.toml`."""

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
    """Name of a training set of the paper as a task, and the roles of evaluation sets for it."""

    task: str
    in_domain: tuple[str, ...]
    out_of_domain: tuple[str, ...]
    instructed: tuple[str, ...] = ()

    def role(self, task: str) -> str:
        """Returns the role: in_domain, out_of_domain, instructed (after instruction tuning), else cross_task."""
        roles = {"in_domain": self.in_domain, "out_of_domain": self.out_of_domain, "instructed": self.instructed}
        return next((role for role, tasks in roles.items() if task in tasks), "cross_task")


@cache
def _file() -> Mapping[str, Any]:
    return tomllib.loads(files("amuro.results.importers").joinpath("paper_sets.toml").read_text(encoding="utf-8"))


@cache
def sets(table: str) -> Mapping[str, SetFacts]:
    """Returns name in a released table → facts of that set."""
    return {name: _facts(stated) for name, stated in _file()[table].items()}


@cache
def scale(table: str, name: str) -> float:
    """Returns the full score of a set in a table: 1, or 100 where it is in percent."""
    return float(_file()[table][name].get("scale", 1))


@cache
def trainings() -> Mapping[str, Training]:
    """Returns name in a model id → training set."""
    return {
        name: Training(stated["task"], *(tuple(stated.get(role, ())) for role in _ROLES))
        for name, stated in _file()["training"].items()
    }


_ROLES = ("in_domain", "out_of_domain", "instructed")


def _facts(stated: Mapping[str, Any]) -> SetFacts:
    return SetFacts(**{"rows": None, **{key: value for key, value in stated.items() if key != "scale"}})
