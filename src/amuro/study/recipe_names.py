"""Names of tunings in texts: by what was tuned on, and by the recipe if several recipes tune on the same tasks.

Sentences, tables and figures all use this module, so that no two tunings of a study share a name.
"""

from __future__ import annotations

import polars as pl

from amuro.core.coordinates import RECIPE


def tuned_by_several(scores: pl.DataFrame) -> frozenset[str]:
    """Returns the values of `tuned_on` (a task, or tasks joined by +) for which the scores have several recipes."""
    recipes = scores.lazy().filter(pl.col("tuned_on") != "none").select(RECIPE).unique()
    counts = recipes.group_by("tuned_on").len().filter(pl.col("len") > 1).collect()
    return frozenset(counts["tuned_on"].cast(pl.String))


def training_words(tuned_on: str, recipe: str, method: str, tune_format: str, several: bool) -> str:
    """Returns the name of a tuning: its tasks, with the recipe if `several`, a method other than full and a format
    other than default in brackets.
    """
    how = [recipe] * several + [method] * (method != "full")
    how += [f"in the {tune_format} format"] * (tune_format != "default")
    return f"{tuned_on} ({', '.join(how)})" if how else tuned_on
