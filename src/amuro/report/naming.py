"""Names of recipes and evaluation sets, for every table, figure and finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from amuro.core.coordinates import RECIPE
from amuro.report.formatting import plain
from amuro.study.recipe_names import training_words, tuned_by_several

HOME, AWAY = "in_domain", "out_of_domain"
Roles = Mapping[tuple[str, str], str]


class Recipe(NamedTuple):
    """The coordinates that distinguish recipes (columns `RECIPE`)."""

    tuned_on: str
    recipe: str
    method: str
    tune_format: str

    def taught(self, task: str) -> bool:
        """Whether the recipe trains on the task."""
        return task in self.tuned_on.split("+")


def recipes_of(rows: pl.DataFrame) -> list[Recipe]:
    """Returns every recipe in these rows, without the base."""
    recipes = rows.filter(pl.col("tuned_on") != "none").select(pl.col(RECIPE).cast(pl.String)).unique()
    return [Recipe(*row) for row in recipes.sort(RECIPE).rows()]


def of_recipe(recipe: Recipe) -> pl.Expr:
    """Returns an expression that selects the rows of one recipe."""
    return pl.all_horizontal(pl.col(name) == value for name, value in zip(RECIPE, recipe, strict=True))


def recipe_words(scores: pl.DataFrame) -> dict[Recipe, str]:
    """Returns recipe → its name in words, to follow *tuned on*."""
    several = tuned_by_several(scores)
    return {recipe: plain(training_words(*recipe, several=recipe.tuned_on in several)) for recipe in recipes_of(scores)}


def model_words(recipe: Recipe, task: str, words: Mapping[Recipe, str]) -> str:
    """Returns the name of a tuned model in a view of one task: `tuned`, with the recipe if there are several."""
    if not recipe.taught(task):
        return f"after {words[recipe]}"
    if recipe.tuned_on != task:
        return f"tuned on {words[recipe]}"
    alone = sum(other.tuned_on == task for other in words) == 1
    return "tuned" if alone else f"tuned {words[recipe].removeprefix(plain(task)).strip()}"


def short_model(recipe: Recipe, task: str, words: Mapping[Recipe, str]) -> str:
    """Returns a short name for the end of a line if the recipe must be named; '' if `model_words` is short enough."""
    several = sum(other.tuned_on == recipe.tuned_on for other in words) > 1
    return f"{'tuned' if recipe.taught(task) else 'after'} {plain(recipe.recipe)}" if several else ""


def roles_of(scores: pl.DataFrame) -> dict[tuple[str, str], str]:
    """Returns (task, split) → in or out of domain, where all recipes that list the set agree."""
    if not scores.height:
        return {}
    listed = scores.filter(pl.col("role").is_in([HOME, AWAY])).select(pl.col("task", "split", "role").cast(pl.String))
    agreed = listed.unique().filter(pl.len().over("task", "split") == 1)
    return {(task, split): role for task, split, role in agreed.rows()}


def main_split(scores: pl.DataFrame, task: str) -> str:
    """Returns the split that represents a task: one in domain, else `test`, else the first."""
    splits: list[str] = sorted(set(scores.filter((pl.col("task") == task) & (pl.col("split") != "dev"))["split"]))
    roles = roles_of(scores)
    return min(splits, key=lambda split: (roles.get((task, split)) != HOME, split != "test", split))
