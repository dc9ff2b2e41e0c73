"""The verbs as a person types them: clear words, exit codes, and no torch where none is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def amuro(*words: str, cwd: Path = ROOT, python: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys; from amuro.cli.main import main; sys.argv = ['amuro', *{list(words)!r}]\n"
    code += "try: main()\nfinally: " + (python or "pass")
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the finished smoke study."""
    store = tmp_path_factory.mktemp("smoke") / "store"
    done = amuro("run", "studies/smoke.toml", "--store", str(store), python="assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
    return store


def test_the_smoke_study_walks_the_whole_way_without_torch(smoke: Path, tmp_path: Path) -> None:
    """run → report: findings in the terminal, page and tables in the folder, no deep-learning library imported."""
    done = amuro("report", "studies/smoke.toml", "--store", str(smoke), "--out", str(tmp_path),
                 python="assert 'torch' not in sys.modules")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Report:" in done.stdout
    assert any(word in done.stdout for word in ("supported", "open", "refuted"))
    findings = json.loads((tmp_path / "findings.json").read_text())
    assert findings["findings"]
    for name in ("report.html", "scores.csv", "scores.parquet", "items.parquet"):
        assert (tmp_path / name).stat().st_size > 0


def test_a_second_run_does_nothing(smoke: Path) -> None:
    """Finished cells are not touched again, and the command says so."""
    done = amuro("run", "studies/smoke.toml", "--store", str(smoke))
    assert done.returncode == 0
    assert "0 cells filled" in done.stdout


def test_plan_and_status_answer_in_json(smoke: Path) -> None:
    """Machine-readable forms agree with each other about what is done."""
    plan = json.loads(amuro("plan", "studies/smoke.toml", "--store", str(smoke), "--json").stdout)
    status = json.loads(amuro("status", "studies/smoke.toml", "--store", str(smoke), "--json").stdout)
    assert len(plan["cells"]) == status["cells"] == status["done"]
    assert all(cell["done"] for cell in plan["cells"])


def test_one_model_job_in_a_process_of_its_own(tmp_path: Path) -> None:
    """`run-model` makes the one model that is named, which is what a cluster job calls."""
    plan = json.loads(amuro("plan", "studies/smoke.toml", "--store", str(tmp_path), "--json").stdout)
    model = plan["cells"][0]["cell"].partition("|")[0]
    done = amuro("run-model", "studies/smoke.toml", "--model", model, "--store", str(tmp_path))
    assert done.returncode == 0, done.stderr
    own = [c for c in plan["cells"] if c["cell"].startswith(model + "|")]
    assert f"{len(own)} cells filled" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("rn",), 2, "Did you mean 'run'"),
        (("run", "none.toml"), 2, "no study at none.toml"),
        (("run", "studies/smoke.toml", "--only", "taks=x"), 2, "did you mean 'task'"),
        (("run", "studies/smoke.toml", "--only", "task=x"), 2, "world_inference"),
        (("list", "taks"), 2, "did you mean 'tasks'"),
        (("export", "studies/smoke.toml", "--to", "latx"), 2, "did you mean 'latex'"),
        (("report", "results/demo_full"), 2, "name a second one to compare it with"),
        (("report", "results/demo_full", "docs"), 3, "docs holds no findings.json"),
        (("report",), 2, "no study is named"),
        (("run-model", "studies/smoke.toml", "--model", "x"), 2, "has no model x"),
        (("report", "studies/smoke.toml", "--store", "{empty}"), 3, "no cell of study smoke is finished"),
        (("run", "studies/smoke.toml", "--store", "{file}"), 5, "--store DIR"),
        (("run", "studies/amuro_olmo1b.toml", "--device", "cpu", "--store", "{empty}"), 2, "weeks of core time"),
        (("plan", "studies/demo.toml", "--gpu", "A100"), 2, "A100-80GB"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    """No traceback: what is wrong, the nearest cure, and the documented exit code."""
    (tmp_path / "file").write_text("")
    places = {"empty": str(tmp_path / "empty"), "file": str(tmp_path / "file")}
    done = amuro(*(word.format(**places) for word in words))
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


PAPERS = ("amuro_olmo1b", "amuro_olmo1b_paper", "amuro_llama3_8b", "pythia_410m",
          "first_domains", "first_checkpoints", "first_formats")  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_studies_are_planned_without_a_network(name: str, tmp_path: Path) -> None:
    """Models, cells, tokens, FLOPs, GPU hours, disk and downloads of every shipped study, offline; none is refused."""
    planned = amuro("plan", f"studies/{name}.toml", "--gpu", "H100-80GB", "--store", str(tmp_path))
    assert planned.returncode == 0, planned.stderr
    for word in (
        "tuned models",
        "cells",
        "prompt tokens",
        "FLOPs",
        "hours on one H100-80GB",
        "predictions",
        "download",
    ):
        assert word in planned.stdout
    assert "refused" not in planned.stdout


def test_init_writes_a_study_that_can_be_planned(tmp_path: Path) -> None:
    """The commented template is valid as it stands, and is not overwritten."""
    assert amuro("init", "mine.toml", cwd=tmp_path).returncode == 0
    planned = amuro("plan", "mine.toml", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "mine" in planned.stdout
    assert amuro("init", "mine.toml", cwd=tmp_path).returncode == 2


def test_every_verb_helps_with_an_example() -> None:
    """`--help` of each verb shows a command that can be typed."""
    for verb in ("demo", "init", "plan", "run", "status", "report", "list", "run-model", "check"):
        assert f"amuro {verb}" in amuro(verb, "--help").stdout.replace("\n", " ")


def test_an_export_and_a_comparison_walk_without_torch_and_plotting(smoke: Path, tmp_path: Path) -> None:
    """export → the kinds that were named; report with two studies → one page; neither loads what it need not."""
    lean = "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    out, store = tmp_path / "export", str(smoke)
    done = amuro("export", "studies/smoke.toml", "--store", store, "--to", "latex", "--to", "markdown", "--out",
                 str(out), python=lean)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"findings.tex", "tables.tex", "summary.md"} <= {path.name for path in out.iterdir()}
    amuro("report", "studies/smoke.toml", "--store", store, "--out", str(tmp_path / "reports" / "smoke"))
    done = amuro("report", "studies/smoke.toml", str(tmp_path / "reports" / "smoke"), "--store", store, "--out",
                 str(tmp_path / "both"), python=lean)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Comparison:" in done.stdout
    assert "0</b>verdicts that differ" in (tmp_path / "both" / "compare.html").read_text()
    done = amuro("report", "--index", str(tmp_path / "reports"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reports" / "index.html").is_file()


def test_an_export_of_everything_draws_figures_and_holds_lm_eval_back(smoke: Path, tmp_path: Path) -> None:
    """Without `--to` every kind but the large one is written; named, it holds each kept prediction of a model."""
    done = amuro("export", "studies/smoke.toml", "--store", str(smoke), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "figures").glob("*.pdf"))
    assert not (tmp_path / "lm_eval").exists()
    done = amuro("export", "studies/smoke.toml", "--store", str(smoke), "--out", str(tmp_path), "--to", "lm_eval")
    assert done.returncode == 0, done.stderr
    samples = [path.read_text().splitlines() for path in (tmp_path / "lm_eval").glob("*/samples_*.jsonl")]
    assert samples
    assert all(
        {"doc_id", "target", "filtered_resps"} <= set(json.loads(line)) for lines in samples for line in lines[:2]
    )
