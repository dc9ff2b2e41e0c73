"""The paper's study from plan to report: its file, its 18 data sets, tiny OLMo checkpoints as revisions of a hub."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from real_rows import PAPER_ROWS, ROWS
from stub_hub import Repository, StubHub, read_folder, serve
from tiny_models import save_byte_olmo

from amuro.tasks import load_task

STUDIES = Path(__file__).parents[1] / "studies"
ROWS_LEFT = 40
"""Rows of a split beyond what a task cuts off for dev."""
SMALL = "rows = 16\\nepochs = 1\\nmax_length = 512\\nlearning_rate = 1e-3"
UNCHANGED = {"id", "label", "answerKey", "role"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubHub]:
    """Two tiny checkpoints of OLMo's architecture, named as the published ones are."""
    with serve() as stub:
        olmo = Repository()
        for at, revision in enumerate(("step1000-tokens4B", "main")):
            folder = tmp_path_factory.mktemp(revision)
            save_byte_olmo(folder, at, context_length=2048)
            olmo.revisions[revision] = read_folder(folder)
        stub.repositories["allenai/OLMo-1B-hf"] = olmo
        yield stub


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a task and protocol: every split of its source, of invented rows that differ."""
    root = tmp_path_factory.mktemp("rows")
    for name, known in ROWS.items():
        for protocol, shapes in (("corrected", known), ("paper", PAPER_ROWS.get(name, known))):
            task = load_task(name, protocol)
            folder = root / protocol / name
            folder.mkdir(parents=True)
            cuts = [int(digits) for source in task.splits.values() for digits in re.findall(r"\d+", source)]
            for split in {source.partition("[")[0] for source in task.splits.values()}:
                count = max(cuts, default=0) + ROWS_LEFT
                lines = [json.dumps(_other(shapes[i % len(shapes)], i, split)) for i in range(count)]
                (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return root


def _other(row: Any, number: int, split: str, key: str = "") -> Any:
    """The row with a number behind each of its texts, so that no two rows ask the same."""
    if isinstance(row, dict):
        told = {k: v if k in UNCHANGED else _other(v, number, split, k) for k, v in row.items() if k != "id"}
        return told | ({} if key else {"id": f"{split}-{number}"})
    if isinstance(row, list) and key != "label":
        return [_other(value, number, split, key) for value in row]
    return f"{row} {split[0]}{number}" if isinstance(row, str) and row else row


def written(study: str, rows: Path, folder: Path, limit: int, tuned: tuple[str, ...] = ()) -> Path:
    """The shipped study with two checkpoints, few rows and a small device; sources are the invented rows.

    `tuned` keeps only those of its recipes.
    """
    text = (STUDIES / f"{study}.toml").read_text()
    for table in re.findall(r"^\[\[tune\]\].*?(?=^\[\[|^# )", text, flags=re.M | re.S) if tuned else ():
        text = text if re.search(r'name = "([\w-]+)"', table)[1] in tuned else text.replace(table, "")
    protocol = "paper" if 'protocol = "paper"' in text else "corrected"
    text = text.replace('device = "cuda"', 'device = "cpu"').replace('"bfloat16"', '"float32"')
    text = text.replace('kind = "olmo_1b"', 'kind = "olmo_1b"\nat = "step1000,main"')
    text = re.sub(r"^(replicate_seeds|replicate_seeds_at|checkpoints|learning_rate) = .*\n", "", text, flags=re.M)
    text = re.sub(r'recipe = "\w+"', r"\g<0>\n" + SMALL, text)
    text = re.sub(r"^limit = [\d_]+", f"limit = {limit}", text, flags=re.M)
    text = re.sub(r"^dev_limit = \d+", f"dev_limit = {limit}", text, flags=re.M)
    sources = "\n".join(f'{name} = "file:{rows / protocol / name}"' for name in ROWS)
    path = folder / f"{study}.toml"
    path.write_text(f"{text}\n[sources]\n{sources}\n")
    return path


def amuro(hub: StubHub, home: Path, *words: str, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    proxies = {"HTTP_PROXY": "", "HTTPS_PROXY": "", "http_proxy": "", "https_proxy": "", "NO_PROXY": "127.0.0.1"}
    env = {**os.environ, **proxies, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0",
           "HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "amuro", *words], cwd=home, env=env, capture_output=True, text=True, timeout=timeout,
        check=False,
    )  # fmt: skip


def _walk(hub: StubHub, rows: Path, folder: Path, study: str, limit: int, *tuned: str) -> pl.DataFrame:
    """Runs the study to its report; returns its scores."""
    path = written(study, rows, folder, limit, tuned)
    done = amuro(hub, folder, "run", str(path), "--yes", timeout=3000)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = amuro(hub, folder, "report", str(path), "--out", str(folder / "out"))
    assert told.returncode == 0, told.stderr
    assert (folder / "out" / "report.html").stat().st_size > 10_000
    return pl.read_parquet(folder / "out" / "scores.parquet")


def test_the_papers_study_runs_from_plan_to_report(hub: StubHub, rows: Path, tmp_path: Path) -> None:
    """amuro_olmo1b.toml with two checkpoints, two of its recipes and eight rows a set: every cell is filled, and the
    revisions are locked."""
    scores = _walk(hub, rows, tmp_path, "amuro_olmo1b", 8, "mnli", "tulu")
    assert set(scores["task"]) == set(ROWS) - {"tulu"}
    assert set(scores["protocol"]) == {"corrected"}
    assert set(scores["tuned_on"]) >= {"none", "tulu", "mnli"}
    lock = json.loads((tmp_path / "amuro_olmo1b.lock").read_text())
    assert set(lock["olmo"]["revisions"]) == {"step1000-tokens4B", "main"}


@pytest.mark.long
@pytest.mark.parametrize("study", ["amuro_olmo1b", "amuro_olmo1b_paper"])
def test_both_protocols_run_whole(study: str, hub: StubHub, rows: Path, tmp_path: Path) -> None:
    """Forty rows a set, in the sound protocol and to the paper's letter; hidden golds stay visible as degenerate."""
    scores = _walk(hub, rows, tmp_path, study, 40)
    protocol = "paper" if study.endswith("paper") else "corrected"
    assert set(scores["protocol"]) == {protocol}
    if protocol == "paper":
        hidden = scores.filter(pl.col("task").is_in(["qqp", "stsb"]) & (pl.col("metric") == "accuracy"))
        assert set(hidden["evidence"]) == {"degenerate"}
