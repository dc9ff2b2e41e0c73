"""What a command says of failures, of other people's code and of other limits. In this process, so quickly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import small_study
import weight_files
from test_cli import ROOT

from amuro.cli import main
from amuro.core.errors import AmuroError
from amuro.core.requests import RequestBatch
from amuro.engine.toy import ToyEngine
from amuro.study import config as studies
from amuro.study import plan as planning


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return small_study.write(tmp_path / "study", small_study.TUNE.replace("[1e-3, 1e-2]", "1e-3"))


@pytest.fixture
def amuro(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a verb on the store of this test; gives its exit code and what it said."""

    def call(*words: str | Path) -> tuple[int, str]:
        stored = () if words[0] == "list" else ("--store", str(tmp_path / "store"))
        monkeypatch.setattr(sys, "argv", ["amuro", *map(str, words), *stored])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main.main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.err + said.out

    return call


def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the four checkpoints cannot be asked for lack of memory, and one cannot be tuned."""
    real_score, real_tune = ToyEngine.score, ToyEngine.tune

    def score(self: ToyEngine, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        if request_batch.cell.model.checkpoint.step < 3000 and request_batch.cell.model.recipe is None:
            raise MemoryError
        return real_score(self, request_batch)

    def tune(self: ToyEngine, sequences: Any, model: Any, *rest: Any) -> Any:
        if model.checkpoint.step == 10000:
            raise ValueError("the adapter does not fit\nsecond line")
        return real_tune(self, sequences, model, *rest)

    monkeypatch.setattr(ToyEngine, "score", score)
    monkeypatch.setattr(ToyEngine, "tune", tune)


def test_every_command_tells_why_cells_failed(
    study: Path, tmp_path: Path, amuro: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """run, status, report and work: each distinct reason once with the number of its cells, a cure for lack of memory,
    all cells of a lost model job counted; when the cause is gone nothing of it is told.
    """
    broken(monkeypatch)
    code, said = amuro("run", study)
    plan = planning.make(studies.load(study))
    asked = [c for c in plan.cells if c.model.recipe is None and c.model.checkpoint.step < 3000]
    learned = [c for c in plan.cells if c.model.recipe is not None and c.model.checkpoint.step == 10000]
    assert code == 1
    assert f"{len(asked) + len(learned)} failed" in said
    code, status = amuro("status", study)
    code, report = amuro("report", study, "--out", tmp_path / "out")
    for words in (said, status, report):
        assert f"{len(asked)} × out of memory" in words
        assert words.count("workers = 1") == (2 if words is said else 1)  # as it happens, and in the end
        assert f"{len(learned)} × ValueError: the adapter does not fit" in words
        assert "Traceback" not in words
    code, work = amuro("run-model", study, "--model", asked[0].model.address)
    assert code == 1
    assert "× out of memory" in work
    code, work = amuro("run-model", study, "--model", learned[0].model.address)
    assert "the adapter does not fit" in work
    assert "Traceback" not in work
    told = json.loads(amuro("status", study, "--json")[1])
    assert set(told["failures"]) == {c.address for c in (*asked, *learned)}
    assert told["models"][asked[0].model.address]["failed"] == len([c for c in asked if c.model == asked[0].model])
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", [])
    assert amuro("run", study)[0] == 0
    assert "failed" not in amuro("status", study)[1]


def test_cells_of_another_limit_are_pointed_at(study: Path, tmp_path: Path, amuro: Any) -> None:
    """After `run --limit 4`, report and status name the limit to say, and status takes it."""
    amuro("run", study, "--limit", "4")
    assert "--limit 4" in amuro("report", study, "--out", tmp_path / "out")[1]
    assert "--limit 4" in amuro("status", study)[1]
    told = json.loads(amuro("status", study, "--limit", "4", "--json")[1])
    assert told["done"] == told["cells"] > 0


def test_a_plan_can_be_narrowed_by_all_that_it_tells(study: Path, amuro: Any) -> None:
    """`--only role=base` works as plan counts by role, two values of one coordinate are both meant, the headline counts
    what is selected, and the JSON names each cell's model.
    """
    told = json.loads(amuro("plan", study, "--only", "role=base", "--json")[1])
    assert {cell["role"] for cell in told["cells"]} == {"base"}
    assert {cell["cell"].partition("|")[0] for cell in told["cells"]} == {cell["model"] for cell in told["cells"]}
    assert "2 checkpoints, 0 tuned models" in amuro("plan", study, "--only", "role=base", "--only", "step=10",
                                                    "--only", "step=1000")[1]  # fmt: skip


@pytest.mark.parametrize("where", ["task", "format", "metric", "series"])
def test_foreign_code_is_named_before_it_runs(
    where: str, tmp_path: Path, amuro: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a study may name a module, `plan` says so, and before the module's first line runs."""
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "thing.py").write_text("raise RuntimeError('it runs')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    path = small_study.write(tmp_path / "study")
    text = path.read_text(encoding="utf-8")
    changes = {
        "task": ('sets = ["mood/test"]', 'sets = ["stranger.thing/test"]'),
        "format": ('"instruct"', '"stranger.thing"'),
        "metric": ('answer_prefix = "Mood:"', 'answer_prefix = "Mood:"\nmetric = "stranger.thing"'),
        "series": ('kind = "toy"', 'kind = "stranger.thing"'),
    }
    path.write_text(text.replace(*changes[where]), encoding="utf-8")
    _code, said = amuro("plan", path)
    named, ran = said.find("runs code that is not amuro's: stranger.thing"), said.find("it runs")
    assert named >= 0
    assert ran < 0 or named < ran


def test_the_metric_of_a_task_outside_is_named(tmp_path: Path, amuro: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric outside the package that only a task's own file names is told, and before its first line runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("labtask", "labmetric"):
        (tmp_path / name).mkdir()
    (tmp_path / "labmetric" / "say.py").write_text("raise RuntimeError('it runs')\n", encoding="utf-8")
    (tmp_path / "labtask" / "say.py").write_text(
        "from dataclasses import replace\nfrom amuro.tasks.rte import TASK\n"
        "TASK = replace(TASK, name='labtask.say', paper=None, metric='labmetric.say')\n", encoding="utf-8"
    )  # fmt: skip
    path = small_study.write(tmp_path / "study")
    path.write_text(path.read_text(encoding="utf-8").replace('sets = ["mood/test"]', 'sets = ["labtask.say/test"]'))
    _code, said = amuro("plan", path)
    assert 0 <= said.find("not amuro's: labmetric.say") < said.find("it runs")


@pytest.mark.parametrize("place", ["source", "path"])
def test_no_value_of_the_environment_is_in_a_message(
    place: str, tmp_path: Path, amuro: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that a study names in a source or a path is filled in where files are opened; messages, and the notes
    in the store, show it as it is written.
    """
    secret = "hf_very_secret"
    monkeypatch.setenv("MY_TOKEN", secret)
    path = small_study.write(tmp_path / "study")
    text = path.read_text(encoding="utf-8")
    if place == "source":
        text = text.replace(f'"file:{tmp_path}/study"', '"file:$MY_TOKEN"')
    else:
        text = text.replace('kind = "toy"\nsteps = [10, 1000, 3000, 10000]', 'kind = "folder"\npath = "${MY_TOKEN}/x"')
    path.write_text(text, encoding="utf-8")
    code, said = amuro("run", path)
    assert code in (3, 4)
    assert "MY_TOKEN" in said
    kept = [file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert secret not in said
    assert not [content for content in kept if secret.encode() in content]
    assert secret not in str(AmuroError(f"what else says {secret}", cure=secret))


def test_shelves_are_listed_whole(amuro: Any) -> None:
    """An unknown kind names recipes among the known ones; every plugin has words, and no sentence is cut at a line."""
    assert "recipes" in amuro("list", "foo")[1]
    for kind in ("recipes", "tasks"):
        lines: Sequence[str] = amuro("list", kind)[1].splitlines()
        assert all(len(line.split(None, 1)) == 2 for line in lines)
        assert all(line.rstrip().endswith((".", ":", "`", "}")) or "," in line for line in lines), lines
    assert "chosen from" in amuro("list", "recipes")[1]


def test_an_error_that_nobody_foresaw_is_one_sentence(
    study: Path, tmp_path: Path, amuro: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kind and words on the screen, where it happened in a file that can be sent; code 1."""

    def faulty(*_: Any) -> None:
        raise KeyError("tokens")

    monkeypatch.setattr("amuro.study.status.failures", faulty)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, said = amuro("status", study)
    (kept,) = tmp_path.glob("amuro-*.txt")
    assert code == 1
    assert said.startswith("amuro: KeyError: 'tokens'")
    assert str(kept) in said
    assert len(said.splitlines()) == 1
    assert "Traceback" in kept.read_text(encoding="utf-8")


LEAN = """
import socket, sys
def refuse(*_): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
from amuro.cli import main as cli
for words in {commands!r}:
    sys.argv = ["amuro", *words]
    try:
        cli.main()
    except SystemExit as left:
        assert not left.code, (words, left.code)
assert not {{"torch", "transformers", "datasets"}} & set(sys.modules), "a library of the engine was loaded"
"""


def test_help_plan_and_status_load_no_torch_and_ask_no_network(tmp_path: Path) -> None:
    """Of a study with a folder of checkpoints (its weights are digested), of a study on the hub, and of every help."""
    weight_files.write(
        tmp_path / "made" / "step1", weight_files.files(weight_files.pretrained()[weight_files.STEPS[-1]])
    )
    study = small_study.write(tmp_path / "study", small_study.TUNE)
    text = study.read_text(encoding="utf-8").replace('engine = "toy"\n', "")
    series = 'kind = "toy"\nsteps = [10, 1000, 3000, 10000]'
    study.write_text(text.replace(series, f'kind = "folder"\npath = "{tmp_path}/made"'), encoding="utf-8")
    given = (str(study), "--store", str(tmp_path / "store"))
    hub = ("studies/pythia_410m.toml", "--store", str(tmp_path / "store"))
    commands = [("--help",), ("run", "--help"), ("plan", *given), ("status", *given), ("plan", *hub), ("status", *hub)]
    done = subprocess.run([sys.executable, "-c", LEAN.format(commands=commands)], cwd=ROOT, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
