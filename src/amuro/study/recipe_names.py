"""How a tuning is named: by what it was tuned on, and by its recipe where several recipes tune the same.

Sentences, tables and figures all ask here, so that no two tunings of a study share a name.
"""

from __future__ import annotations

import polars as pl

from amuro.core.coordinates import RECIPE


def tuned_by_several(scores: pl.DataFrame) -> frozenset[str]:
    """What (a task, or tasks joined by +) these scores have several recipes for."""
    recipes = scores.lazy().filter(pl.col("tuned_on") != "none").select(RECIPE).unique()
    counts = recipes.group_by("tuned_on").len().filter(pl.col("len") > 1).collect()
    return frozenset(counts["tuned_on"].cast(pl.String))


def training_words(tuned_on: str, recipe: str, method: str, tune_format: str, several: bool) -> str:
    """What was learned, with the recipe's name where there are several, and with what is unusual about how."""
    how = [recipe] * several + [method] * (method != "full")
    how += [f"worded as {tune_format}"] * (tune_format != "default")
    return f"{tuned_on} ({', '.join(how)})" if how else tuned_on
