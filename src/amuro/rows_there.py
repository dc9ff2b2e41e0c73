"""Whether the data hold what a study asks for: as many rows to learn, and as many shots."""

from __future__ import annotations

from collections.abc import Mapping

from amuro.errors import DataError
from amuro.study_tables import parts
from amuro.types import Recipe


def enough_to_learn(recipe: Recipe, there: Mapping[str, int]) -> dict[str, int]:
    """Task → the rows of it that a recipe teaches. Raises DataError where fewer are there."""
    wanted = parts(recipe.rows, recipe.mixture)
    for task, rows in wanted.items():
        if rows > there[task]:
            most = recipe.rows * there[task] // rows
            raise DataError(
                f"recipe {recipe.name} asks for {rows:,} training rows of {task}, which has {there[task]:,}",
                f"set rows = {most} or fewer",
            )
    return wanted
