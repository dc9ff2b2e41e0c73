"""The whole way with a tiny real model through the real engine, killed once in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.status import states
from amuro.study.store import Store

STUDY = """
name = "journey"
question = "Does a tiny model survive the whole way, and a kill?"
world_seed = 5
dev_limit = 20
[series.world]
kind = "world"
pretrain_seed = 5
steps = [0, 8, 16]
hidden_size = 32
layers = 2
heads = 2
intermediate_size = 64
copy_steps = 4
[[tune]]
name = "inference"
tasks = ["world_inference"]
rows = 32
epochs = 1
batch_size = 16
learning_rate = 1e-3
in_domain = ["world_inference/test"]
out_of_domain = ["world_inference/test_ood"]
[[evaluate]]
models = ["base", "tuned"]
sets = ["world_inference/test", "world_inference/test_ood", "world_question/test", "world_corpus/test"]
limit = 20
[[evaluate]]
models = ["base"]
sets = ["world_inference/test"]
shots = [2]
limit = 20
"""


def amuro(*words: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "amuro", *words], cwd=cwd, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    return said


def test_from_nothing_to_a_report_with_a_kill_on_the_way(tmp_path: Path) -> None:
    """Killed after the first cells, the run goes on where it was: no finished cell runs again, no half one is seen,
    the checkpoints load in plain transformers, and the report stands on every planned cell.
    """
    (tmp_path / "journey.toml").write_text(STUDY)
    first = amuro("run", "journey.toml", "--store", "store", cwd=tmp_path)
    store = Store(tmp_path / "store")
    deadline = time.monotonic() + 300
    while not list(store.manifests("cells")):
        assert time.monotonic() < deadline, "no cell was ever filled"
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    time.sleep(0.5)  # the kernel ends the workers with their driver
    before = {address: [m["created_ns"] for m in results] for address, results in store.cells().items()}

    finished(amuro("run", "journey.toml", "--store", "store", cwd=tmp_path))
    plan = planning.make(studies.load(tmp_path / "journey.toml"))
    assert all(state.done for state in states(plan, store))
    after = {address: [m["created_ns"] for m in results] for address, results in store.cells().items()}
    assert before
    assert {address: after[address] for address in before} == before
    assert not list((store.root / "quarantine").iterdir())
    assert "0 cells filled" in finished(amuro("run", "journey.toml", "--store", "store", cwd=tmp_path))

    said = finished(amuro("report", "journey.toml", "--store", "store", "--out", "out", cwd=tmp_path))
    assert "Report:" in said
    findings = json.loads((tmp_path / "out" / "findings.json").read_text())["findings"]
    assert findings
    shown = pl.read_parquet(tmp_path / "out" / "scores.parquet")
    assert set(shown["cell"]) == {cell.address for cell in plan.cells}

    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = next(path for path in (store.root / "series").rglob("step-*16") if path.is_dir())
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = AutoTokenizer.from_pretrained(folder)("somebody lives here.", return_tensors="pt").input_ids
    assert model(ids).logits.shape[:2] == ids.shape
