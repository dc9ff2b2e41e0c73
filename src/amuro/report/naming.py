"""How the page calls recipes and evaluation sets: what every table, figure and card asks."""

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
    """What tells one recipe from another (columns `RECIPE`)."""

    tuned_on: str
    recipe: str
    method: str
    tune_format: str

    def taught(self, task: str) -> bool:
        """Whether the task is what was learned, or a part of the mixture."""
        return task in self.tuned_on.split("+")


def recipes_of(rows: pl.DataFrame) -> list[Recipe]:
    """Every recipe of these rows, the base aside."""
    found = rows.filter(pl.col("tuned_on") != "none").select(pl.col(RECIPE).cast(pl.String)).unique()
    return [Recipe(*row) for row in found.sort(RECIPE).rows()]


def of_recipe(recipe: Recipe) -> pl.Expr:
    """Which rows are of one recipe."""
    return pl.all_horizontal(pl.col(name) == value for name, value in zip(RECIPE, recipe, strict=True))


def recipe_words(scores: pl.DataFrame) -> dict[Recipe, str]:
    """Recipe → its name in words, behind *tuned on*."""
    several = tuned_by_several(scores)
    return {recipe: plain(training_words(*recipe, several=recipe.tuned_on in several)) for recipe in recipes_of(scores)}


def model_words(recipe: Recipe, task: str, words: Mapping[Recipe, str]) -> str:
    """What a tuned model is called where one task is looked at: `tuned`, with the recipe where there are several."""
    if not recipe.taught(task):
        return f"after {words[recipe]}"
    if recipe.tuned_on != task:
        return f"tuned on {words[recipe]}"
    alone = sum(other.tuned_on == task for other in words) == 1
    return "tuned" if alone else f"tuned {words[recipe].removeprefix(plain(task)).strip()}"


def short_model(recipe: Recipe, task: str, words: Mapping[Recipe, str]) -> str:
    """What fits beside a line where the recipe must be named; empty where `model_words` is short enough."""
    several = sum(other.tuned_on == recipe.tuned_on for other in words) > 1
    return f"{'tuned' if recipe.taught(task) else 'after'} {plain(recipe.recipe)}" if several else ""


def roles_of(scores: pl.DataFrame) -> dict[tuple[str, str], str]:
    """(task, split) → in or out of domain, where those recipes that call it one of the two agree."""
    if not scores.height:
        return {}
    told = scores.filter(pl.col("role").is_in([HOME, AWAY])).select(pl.col("task", "split", "role").cast(pl.String))
    agreed = told.unique().filter(pl.len().over("task", "split") == 1)
    return {(task, split): role for task, split, role in agreed.rows()}


def main_split(scores: pl.DataFrame, task: str) -> str:
    """The split of a task that stands for it: one in domain, else `test`, else the first."""
    splits: list[str] = sorted(set(scores.filter((pl.col("task") == task) & (pl.col("split") != "dev"))["split"]))
    roles = roles_of(scores)
    return min(splits, key=lambda split: (roles.get((task, split)) != HOME, split != "test", split))
