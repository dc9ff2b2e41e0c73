"""Recipes are data: what a study takes from one, and that the paper's are what the paper says."""

import datasets
import pytest

from amuro.core.errors import StudyError
from amuro.core.types import Example, Recipe
from amuro.run.request_cache import training_rows
from amuro.study import config as studies
from amuro.study.tables import Tune

BASE = {
    "name": "s",
    "series": {"t": {"kind": "toy", "steps": [1]}},
    "evaluate": [{"models": ["base"], "sets": ["world_inference/test"]}],
}


def tuned(**keys: object) -> Tune:
    return studies.parse({**BASE, "tune": [{"name": "t", "tasks": ["world_inference"], **keys}]}).tune[0]


def test_a_table_takes_the_recipe_and_its_own_keys_hold() -> None:
    """Every key of the recipe arrives; one that the study states itself wins."""
    tune = tuned(recipe="paper_sft", learning_rate=2e-7)
    assert (tune.rows, tune.epochs, tune.weighting, tune.learning_rate) == (6000, 3, "example", (2e-7,))


@pytest.mark.parametrize("name", sorted(studies.recipes()))
def test_each_shipped_recipe_is_a_valid_table(name: str) -> None:
    """No shipped recipe has a key or a value that a study would refuse."""
    assert tuned(recipe=name).max_length == 2048


def test_the_papers_recipes_take_its_number_of_steps() -> None:
    """2,250 steps for OLMo, 750 for Llama, 10,195 on a twentieth of Tülu: the paper's optimiser steps."""
    steps = {
        name: tune.epochs * -(-tune.rows // tune.batch_size)
        for name in ("paper_sft", "paper_llama", "paper_tulu")
        for tune in [tuned(recipe=name)]
    }
    assert steps == {"paper_sft": 2250, "paper_llama": 750, "paper_tulu": 10195}


def test_a_misspelt_recipe_is_taught() -> None:
    """The nearest known recipe stands in the message."""
    with pytest.raises(StudyError, match="paper_sft"):
        tuned(recipe="paper_stf")


def test_the_papers_rows_are_those_of_the_datasets_shuffle() -> None:
    """`shuffle(seed=42).select(range(k))` of the real client and our draw name the same rows in the same order."""
    pool = [Example(str(i), "c", {}, "yes") for i in range(500)]
    recipe = Recipe("r", (("t", 1.0),), 60, 1, (1e-5,), protocol="paper", row_seed=42)
    told = datasets.Dataset.from_dict({"id": [e.id for e in pool]}).shuffle(seed=42).select(range(60))["id"]
    assert [e.id for e in training_rows(pool, 60, recipe)] == list(told)
