"""What cannot be meant is refused before anything runs, in one sentence that names it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_table
from typer.testing import CliRunner

from amuro.cli.main import app
from amuro.core.errors import AmuroError, StudyError
from amuro.study import config as studies
from amuro.study import lock_file
from amuro.study import plan as planning
from amuro.study.plan import Plan


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The toy study with values set at dotted places."""
    table = copy.deepcopy(toy_table(tasks={}, toy={}, sources={}))
    for place, value in changes.items():
        *above, last = [int(part) if part.isdecimal() else part for part in place.split(".")]
        holder: Any = table
        for key in above:
            holder = holder[key]
        holder[last] = value
    return table


def planned(**changes: Any) -> Plan:
    return planning.make(studies.parse(changed({key.replace("__", "."): value for key, value in changes.items()})))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        *[("tune.0.learning_rate", bad, "learning_rate") for bad in (0, -1e-3, 1e30, [], [1e-3, -1], True, "1e-3")],
        *[("tune.0.learning_rate", [1e-3, 1e-3], "twice")],
        *[("tune.0.tasks", bad, "tasks") for bad in ({"world_inference": 0}, {"world_inference": -1}, {}, [], 3)],
        ("tune.0.tasks", {"world_inference": 1, "world_summary": 1e-6}, "leaves none"),
        *[("tune.0.tasks", {"world_inference": bad}, "finite") for bad in (float("nan"), float("inf"))],
        *[("tune.0.rows", bad, "rows") for bad in (0, 1e30, 10**12, "100", True)],
        *[("tune.0.max_grad_norm", bad, "max_grad_norm") for bad in (0, -1.0)],
        ("tune.0.tune_seeds", [], "empty"),
        ("tune.0.tune_seeds", [-1], "tune_seeds"),
        ("tune.0.tune_seeds", [0, 0], "twice"),
        *[("tune.0.name", bad, "mean something else") for bad in ("base", "tuned", "none")],
        ("tune.0.replicate_seeds_at", [5], "replicate_seeds_at names step 5|names step 5"),
        *[("evaluate.0.shots", bad, "shots") for bad in ([], [-1], [10**6], -1)],
        *[(f"evaluate.0.{key}", [], "empty") for key in ("models", "sets", "formats")],
        ("evaluate.0.checkpoints", [12345], "12345.*1000"),
        ("evaluate.0.tune_seeds", [9], "tune_seed 9"),
        ("evaluate.0.limit", 0, "limit"),
        ("evaluate", [], "evaluate"),
        ("series", {}, "series"),
        *[("device", bad, "device") for bad in ("gpu", "mps", "cuda:x", "")],
        *[("workers", bad, "workers") for bad in (-1, 10**9)],
        ("world_seed", -1, "world_seed"),
        *[("toy", {"gain": bad}, "gain") for bad in (5, -0.1, float("nan"), "1")],
        ("toy", {"gian": 0.5}, "gain"),
        *[("sources", bad, "sources") for bad in ("x", [1], {"mnli": 3}, {"mnlii": "file:x"})],
        ("series.toy.steps", 10**18 * 10, "steps"),
        ("series.toy", {"kind": "world", "layers": 10**7}, "weights"),
        ("series.toy", {"kind": "world", "steps": [0, 10**15]}, "tokens"),
        ("series.toy", {"kind": "world", "layres": 2}, "layers"),
        ("series.toy.alow_duplicates", True, "allow_duplicates"),
        ("tune.0.recpie", "lora", "recipe"),
        ("question", 5, "question"),
        ("question", "a\0b", "U.0000"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(place: str, value: Any, said: str) -> None:
    """A number out of bounds, of the wrong kind or without effect, an empty list, a taken name: one sentence each."""
    with pytest.raises(StudyError, match=said):
        planning.make(studies.parse(changed({place: value})))


@pytest.mark.parametrize(
    ("place", "one"), [("shots", 2), ("formats", "instruct"), ("sets", "in_domain"), ("models", "base")]
)
def test_one_value_is_a_list_of_one(place: str, one: Any) -> None:
    """`shots = 4` means [4], as a single learning rate always did."""
    alone, listed = (planned(**{f"evaluate__0__{place}": value}) for value in (one, [one]))
    assert [cell.address for cell in alone.cells] == [cell.address for cell in listed.cells]


def test_all_faults_of_a_study_are_named_at_once() -> None:
    """Three bad values in three tables: the first in full, the places of the others behind it."""
    with pytest.raises(StudyError, match=r"and 2 more: .*evaluate\.1\.shots"):
        planned(tune__0__rows=0, evaluate__0__limit=0, evaluate__1__shots=-4)


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"1" * 5000, b"x = " + b"[" * 5000 + b"]" * 5000, b"x = nan", b"x = 2024-01-01", b"\xff", b"x = 'a",
        b"[a" + b".a" * 20_000 + b"]", b"[series.toy]\nkind = 'toy'\nx = " + b"[" * 40 + b"]" * 40,
    ],
)  # fmt: skip
def test_a_hostile_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Thousands of digits or of brackets, dates, no UTF-8: never a traceback."""
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"study\.toml"):
        studies.load(path)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    """Editors of some systems begin every file with one."""
    path = tmp_path / "study.toml"
    studies.write_first(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert studies.load(path).name == "study"


@pytest.mark.parametrize(
    "lock", ["[]", "{}x", '{"data sets": 3}', '{"toy": 5}', '{"data sets": {"mnli": []}}', "[" * 9999]
)
def test_a_damaged_lock_is_one_sentence(tmp_path: Path, lock: str) -> None:
    """What is no lock is named with the cure, which is to delete it."""
    path = tmp_path / "study.toml"
    studies.write_first(path)
    lock_file.lock_path(path).write_text(lock, encoding="utf-8")
    with pytest.raises(StudyError, match=r"study\.lock.*delete"):
        studies.load(path)


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_of_no_rows_is_refused(limit: int) -> None:
    """What the command line changes is checked as what the file says."""
    with pytest.raises(StudyError, match="limit"):
        studies.changed(studies.parse(toy_table()), limit=limit)


def test_a_role_gives_bases_the_sets_of_all_recipes() -> None:
    """`in_domain` of a base is the union over the recipes that the block names, so base and tuned can be compared."""
    other = {**toy_table()["tune"][0], "name": "other", "tasks": "world_summary", "in_domain": "world_summary/test"}
    table = toy_table(tune=[toy_table()["tune"][0], other])
    for models, sets in (("tuned", {"world_inference/test", "world_summary/test"}), ("other", {"world_summary/test"})):
        table["evaluate"] = [{"models": ["base", models], "sets": "in_domain"}]
        cells = planning.make(studies.parse(table)).cells
        asked = {str(c.eval_set) for c in cells if c.model.recipe is None and c.eval_set.split != "dev"}
        assert asked == sets


def test_two_limits_of_one_set_are_refused() -> None:
    """Cells of other limits cannot be compared; a limit of the command line makes them equal."""
    table = toy_table()
    table["evaluate"][0]["limit"] = 50
    table["evaluate"] += [{"models": ["base"], "sets": ["world_summary/test"], "limit": 30}]
    study = studies.parse(table)
    with pytest.raises(StudyError, match=r"world_summary/test.*50 and 30"):
        planning.make(study)
    assert planning.make(studies.changed(study, limit=10)).cells


def test_dev_rows_have_one_limit_too() -> None:
    """A block that asks a dev split must ask as many rows as dev_limit says."""
    with pytest.raises(StudyError, match="dev_limit"):
        planned(evaluate__0__sets=["world_inference/test", "world_inference/dev"], evaluate__0__limit=50)


def test_a_block_without_cells_is_refused() -> None:
    """Bases alone, asked for roles that no recipe has, would be an empty block."""
    with pytest.raises(StudyError, match=r"evaluate\[0\] evaluates no model"):
        planned(tune=[], evaluate=[{"models": "base", "sets": "in_domain"}])


def test_a_grid_that_nobody_can_mean_is_refused_by_its_number() -> None:
    """Seeds × shots × checkpoints of more than 100,000 cells are counted, not listed."""
    with pytest.raises(StudyError, match="plans 1,2"):
        planned(tune__0__tune_seeds=list(range(400)), evaluate__0__shots=list(range(500)))


@pytest.mark.parametrize(("name", "called"), [("étude 1.toml", "etude-1"), ("日本.toml", "study"), ("_X.toml", "x")])
def test_init_writes_what_can_be_planned(tmp_path: Path, name: str, called: str) -> None:
    """The study is named after its file by letters that a name may have."""
    path = tmp_path / name
    assert CliRunner().invoke(app, ["init", str(path)]).exit_code == 0
    assert studies.load(path).name == called


@pytest.mark.parametrize("name", ["none/such/x.toml", "x.lock", "there.toml"])
def test_init_refuses_where_it_cannot_write(tmp_path: Path, name: str) -> None:
    """A missing folder, a name that is no TOML, a file that is there: a sentence, and nothing is overwritten."""
    (tmp_path / "there.toml").write_text("kept", encoding="utf-8")
    with pytest.raises(AmuroError):
        studies.write_first(tmp_path / name)
    assert (tmp_path / "there.toml").read_text(encoding="utf-8") == "kept"
