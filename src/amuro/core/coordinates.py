"""The coordinates that identify a cell, in groups. All lists of coordinates elsewhere are combinations of these groups.

Addresses of models and cells are built from coordinates, and no coordinate is read out of them.
"""

from __future__ import annotations

from typing import Any

from amuro.core.types import Cell

RECIPE = ("tuned_on", "recipe", "method", "tune_format")
"""Identify how a model was tuned; `none` for a base model."""
TUNING = (*RECIPE, "tune_seed")
MODEL = ("series", "checkpoint", "step", *TUNING, "learning_rate")
EVALUATION = ("task", "split")
PROMPT = ("format", "shots", "shot_seed")
SETTING = ("decoding", "protocol", "precision", "device", "limit")
"""Settings in which compared cells must agree, besides the prompt."""
FACTS = ("tokens", "role", "family", "kind")
"""Descriptions of a cell by study, plan or task. They are no coordinates: they may change without a new run."""


def of_cell(cell: Cell) -> dict[str, Any]:
    """Name → value of every coordinate, and the model's address, as plain data for manifests and tidy rows."""
    model, recipe = cell.model, cell.model.recipe
    return {
        "series": model.checkpoint.series, "checkpoint": model.checkpoint.address, "step": model.checkpoint.step,
        "model": model.address,
        "tuned_on": recipe.tuned_on if recipe else "none", "recipe": recipe.name if recipe else "none",
        "method": recipe.method if recipe else "none", "tune_format": recipe.format if recipe else "none",
        "control": recipe.control if recipe else "none",
        "tune_seed": -1 if model.tune_seed is None else model.tune_seed, "learning_rate": model.learning_rate,
        "task": cell.eval_set.task, "split": cell.eval_set.split, "format": cell.format,
        "instruction": cell.instruction, "shots": cell.shots, "shot_seed": cell.shot_seed,
        "decoding": cell.decoding, "protocol": cell.protocol, "limit": cell.limit, "precision": cell.precision,
        "device": cell.device,
    }  # fmt: skip
