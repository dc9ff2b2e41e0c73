"""A study is read strictly: what it asks for exists, or the error says where and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import toy_table

from amuro.core.errors import AmuroError, StudyError
from amuro.study import config as studies


def test_a_written_study_comes_back_equal() -> None:
    """Study → JSON → study loses nothing, which is how a worker receives it."""
    study = studies.parse(toy_table())
    assert studies.Study.model_validate_json(study.model_dump_json()) == study


def test_every_shipped_study_can_be_read() -> None:
    """No file under studies/ names a key, task, split or format that does not exist."""
    found = sorted((Path(__file__).parents[1] / "studies").glob("*.toml"))
    assert {path.stem for path in found} >= {"demo", "smoke"}
    for path in found:
        assert studies.load(path).name == path.stem


@pytest.mark.parametrize(
    ("changes", "place", "cure"),
    [
        ({"evalute": []}, "evalute", "evaluate"),
        ({"tune": [{**toy_table()["tune"][0], "lerning_rate": 1}]}, "tune.0.lerning_rate", "learning_rate"),
        ({"tune": [{**toy_table()["tune"][0], "tasks": ["world_inferense"]}]}, "tune[0].tasks", "world_inference"),
        ({"tune": [{**toy_table()["tune"][0], "format": "instrct"}]}, "tune[0].format", "instruct"),
        ({"evaluate": [{"models": ["bse"], "sets": ["in_domain"]}]}, "evaluate[0].models", "base"),
        ({"evaluate": [{"models": ["base"], "sets": ["world_inference/tst"]}]}, "evaluate[0].sets", "test_ood"),
        ({"series": {"toy": {"kind": "tory"}}}, "series.toy.kind", "toy"),
        ({"precision": "float16"}, "precision", "init"),
        ({"name": "../evil"}, "name", "init"),
    ],
)
def test_an_unknown_word_is_answered_with_place_and_cure(changes: dict[str, object], place: str, cure: str) -> None:
    """Each mistake is named where it stands, with the nearest known word or the way to see a right study."""
    with pytest.raises(StudyError) as error:
        studies.parse(toy_table(**changes))
    assert place in str(error.value)
    assert cure in str(error.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """A wrong path gives a `StudyError`, not a traceback from the file system."""
    with pytest.raises(AmuroError, match="no study at"):
        studies.load(tmp_path / "none.toml")


def test_one_number_shifts_world_pretraining_and_tuning_seeds() -> None:
    """`--seed 7` gives a fresh replicate in which nothing of the old randomness is left."""
    table = toy_table(series={"world": {"kind": "world", "pretrain_seed": 1, "steps": [0, 10]}})
    table["tune"][0] = {**table["tune"][0], "replicate_seeds_at": []}
    study = studies.changed(studies.parse(table), seeds=7)
    assert study.world_seed == 7
    assert study.series["world"].options["pretrain_seed"] == 7
    assert study.tune[0].tune_seeds == (7,)
