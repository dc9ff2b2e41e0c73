"""The tables of a study: one series, one recipe, one block of the grid. Checks here need no other table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from amuro.core import toml_values
from amuro.core.limits import Count, Many, Name, Rate, Seed, Share, Shots, Some, Step, Weight

ROLES = ("in_domain", "out_of_domain")
"""Keys of a recipe that list evaluation sets by their relation to its domain."""
GROUPS = ("base", "tuned")
"""What `models` may name besides recipes."""
_TAKEN = (*GROUPS, "none")
"""Names that no recipe can have, because tables and findings use them."""


class Table(BaseModel):
    """Base of the tables: unknown keys are refused, values are immutable, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Series(BaseModel):
    """One pre-training run. Keys besides `kind` are the plugin's own (`amuro list series`)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str
    """Where the checkpoints come from: a name that `amuro list series` prints."""
    allow_duplicates: bool = False
    """Accept two checkpoints with equal weights (Pythia's step 0 equals its step 1)."""
    allow_known_bad: bool = False
    """Accept checkpoints that the table of known-bad revisions or the series audit refuses (docs/series.md)."""

    @property
    def options(self) -> dict[str, Any]:
        """The keys of the table that belong to its series kind."""
        return dict(self.model_extra or {})


class Tune(Table):
    """A recipe, the checkpoints that it tunes, and its evaluation sets in and out of domain."""

    name: Name
    """Name of the recipe, in `models` and in the report."""
    tasks: dict[str, Weight] = Field(min_length=1)
    """Task → weight in the training mixture. A name or a list of names means equal weights."""
    rows: Count = 6000
    """Training examples of a run, sampled once by `row_seed`."""
    epochs: Count = 3
    """Passes over the training examples."""
    learning_rate: Some[Rate]
    """One rate, or a list: the best on the dev split, chosen for each checkpoint."""
    batch_size: Count = 8
    """Training examples of one optimiser step."""
    format: str = "default"
    """The format of training examples: a name that `amuro list formats` prints."""
    method: Literal["full", "lora"] = "full"
    """Whether all weights are trained (full) or low-rank adapters beside them (lora)."""
    warmup_ratio: Share = 0.03
    """Share of the optimiser steps over which the rate rises."""
    schedule: Literal["linear", "constant"] = "linear"
    """The learning rate after warm-up: it falls linearly to 0, or stays constant."""
    weight_decay: float = Field(0.0, ge=0, le=10)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients with a larger norm are clipped to it."""
    max_length: int = Field(2048, gt=1, le=10**8)
    """Most tokens of a training example; longer ones are truncated."""
    weighting: Literal["token", "example"] = "token"
    """What has the same weight within an optimiser step: each answer token, or (as in the paper) each example."""
    row_seed: Seed = 42
    """Seed by which the training examples are sampled."""
    lora_rank: int = Field(16, gt=0, le=65_536)
    """Rank of the adapters."""
    lora_alpha: int = Field(32, gt=0, le=65_536)
    """Adapters are scaled by lora_alpha / lora_rank."""
    lora_targets: Many[str] = ()
    """Linear layers that get an adapter, such as `q_proj`; empty means all but the head."""
    tune_seeds: Some[Seed] = (0,)
    """Seeds of tuning; each makes one model per checkpoint."""
    replicate_seeds: Many[Seed] = ()
    """Further tuning seeds, used only at the steps in `replicate_seeds_at`."""
    replicate_seeds_at: Many[Step] = ()
    """Steps of the checkpoints that are also tuned with `replicate_seeds`."""
    checkpoints: Many[Step] = ()
    """Steps of the checkpoints that are tuned; empty means every checkpoint of every series."""
    in_domain: Many[str] = ()
    """Evaluation sets, as TASK/SPLIT, that count as in domain for this recipe."""
    out_of_domain: Many[str] = ()
    """Evaluation sets, as TASK/SPLIT, that count as out of domain for this recipe."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _equal_weights(cls, value: Any) -> Any:
        """Turns a task name or a list of names into a table of equal weights."""
        names = [value] if isinstance(value, str) else value
        return dict.fromkeys(map(_text, names), 1.0) if isinstance(names, list) else names

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        """Refuses names of recipes that mean something else in tables and findings."""
        if value in _TAKEN:
            raise ValueError(f"{', '.join(_TAKEN)} mean something else: name the recipe after what it teaches")
        return value

    @model_validator(mode="after")
    def _each_part_has_rows(self) -> Tune:
        """Refuses a mixture in which rounding leaves a task without rows."""
        for task, wanted in parts(self.rows, tuple(self.tasks.items())).items():
            if not wanted:
                raise ValueError(f"of rows = {self.rows} the weight of {task} leaves none: give more rows or weight")
        return self


class Evaluate(Table):
    """A block of the grid: the product of models, sets, formats and numbers of shots."""

    models: Some[str]
    """Which models are evaluated: `base`, `tuned`, or names of recipes."""
    sets: Some[str]
    """Evaluation sets: TASK/SPLIT, or a role. `in_domain` and `out_of_domain` mean the sets of each recipe; for a
    base model, the sets of all recipes.
    """
    formats: Some[str] = ("default",)
    """Formats of the prompts: names that `amuro list formats` prints."""
    shots: Some[Shots] = (0,)
    """Numbers of solved examples before the question."""
    limit: Count = 500
    """Most rows of a set that are evaluated: the first ones of the split."""
    checkpoints: Many[Step] = ()
    """Steps of the checkpoints that are evaluated; empty means all."""
    tune_seeds: Many[Seed] = ()
    """Tuning seeds whose models are evaluated; empty means all."""


def parts(rows: int, mixture: Sequence[tuple[str, float]]) -> dict[str, int]:
    """Returns task → its number of training rows: `rows` divided by weight, rounded to the nearest integer."""
    total = sum(weight for _, weight in mixture)
    return {task: round(rows * weight / total) for task, weight in mixture}


def _text(value: Any) -> str:
    """Returns the value if it is text. Raises ValueError otherwise."""
    if not isinstance(value, str):
        raise ValueError(f"{toml_values.shown(value)} is no name")
    return value
