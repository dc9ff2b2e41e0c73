"""Real rows in a real hub cache: served from loopback as Parquet, read by the real clients, and once more offline."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import stub_data_hub
from conftest import toy_table
from test_data import hub_process

from amuro.core import hub as hub_client
from amuro.core.errors import HubError, StudyError
from amuro.core.hashing import digest
from amuro.core.types import Example
from amuro.data import sources
from amuro.study import config as studies
from amuro.study import lock_file
from amuro.study import plan as planning
from amuro.tasks import load_task

CACHE = Path(os.environ.get("AMURO_REAL", "~/.cache/amuro-real")).expanduser()
REPOSITORIES = {
    "lighteval/siqa": {"": "socialiqa"},
    "allenai/sciq": {"": "sciq"},
    "google/boolq": {"": "boolq"},
    "allenai/ai2_arc": {"ARC-Easy": "arc_easy", "ARC-Challenge": "arc_challenge"},
    "allenai/openbookqa": {"main": "openbookqa"},
    "Rowan/hellaswag": {"": "hellaswag"},
    "nyu-mll/glue": {"rte": "rte"},
}
"""Repository → configuration → folder of rows."""
SETS = {
    "socialiqa_question/train": "socialiqa",
    "socialiqa_question/test": "socialiqa",
    "sciq_choice/test": "sciq",
    "boolq/test": "boolq",
    "arc_easy/test": "arc_easy",
    "arc_challenge/test": "arc_challenge",
    "openbookqa/test": "openbookqa",
    "hellaswag/test": "hellaswag",
    "rte/test": "rte",
}
SCRIPT = """
import sys
from amuro.data import sources
from amuro.tasks import load_task
from test_hub_rows import told
for name, _, split in (text.partition("/") for text in sys.argv[1:]):
    task = load_task(name)
    print(*told(sources.examples(task, split, task.revision)))
"""


def told(examples: list[Example]) -> tuple[str, str]:
    """How many there are, and a digest of all their words in order."""
    words = [[e.id, e.cluster, dict(e.inputs), e.answer, list(e.options)] for e in examples]
    return str(len(examples)), digest(words)


def publish(hub: Path) -> None:
    """The real rows as the hub has them: Parquet files, and a card where there are configurations."""
    for repository, configurations in REPOSITORIES.items():
        card = []
        for configuration, folder in configurations.items():
            place = hub / repository / (configuration or "data")
            place.mkdir(parents=True)
            splits = []
            for rows in sorted((CACHE / "rows" / folder).glob("*.jsonl")):
                table = pl.read_ndjson(rows, infer_schema_length=None)
                table.write_parquet(place / f"{rows.stem}-00000-of-00001.parquet")
                splits.append({"split": rows.stem, "path": f"{place.name}/{rows.stem}-*"})
            card.append({"config_name": configuration or "default", "data_files": splits})
        text = f"---\nconfigs: {json.dumps(card)}\n---\n"
        (hub / repository / "README.md").write_text(text)


def ask(home: Path, url: str, offline: bool) -> list[list[str]]:
    here = str(Path(__file__).parent)
    environment = {
        **os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline)),
        "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    command = [sys.executable, "-c", SCRIPT, *SETS]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.skipif(
    not all((CACHE / "rows" / folder).is_dir() for folder in SETS.values()),
    reason=f"no real material in {CACHE}: make real",
)
def test_real_rows_come_through_the_real_clients_and_again_offline(tmp_path: Path) -> None:
    """Nine sets at their pinned revisions: what arrives from the hub, and offline from the cache that the clients
    wrote, is every word of the rows that were published.
    """
    pytest.importorskip("datasets")
    hub, home = tmp_path / "hub", tmp_path / "home"
    home.mkdir()
    publish(hub)
    expected = []
    for text, folder in SETS.items():
        name, _, split = text.partition("/")
        task = replace(load_task(name), source=f"file:{CACHE}/rows/{folder}")
        expected.append(list(told(sources.examples(task, split))))
    with hub_process(hub) as url:
        assert ask(home, url, offline=False) == expected
    assert ask(home, url, offline=True) == expected


# -- what the hub may change is pinned


def hub_study(**changes: Any) -> dict[str, Any]:
    """A study of sets whose revision is a branch (XSum), a commit (BoolQ), and none at all (a set of one's own)."""
    block = {"models": ["base"], "sets": ["xsum/test", "boolq/test"]}
    return toy_table(evaluate=[block], tune=[], **changes)


def test_a_branch_is_resolved_once_and_a_commit_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock file remembers which commit a branch was on first use; later the hub is not asked, whatever it has."""
    asked: list[Mapping[str, str]] = []

    def data_commit(repository: str, revision: str) -> str:
        asked.append({"repository": repository, "revision": revision})
        return f"{len(asked):040x}"

    monkeypatch.setattr(hub_client, "data_commit", data_commit)
    path = tmp_path / "news.toml"
    unlocked = studies.parse(hub_study())
    assert planning.make(unlocked).revision("xsum") == "refs/convert/parquet"
    first = planning.make(lock_file.lock(unlocked, path))
    assert asked == [{"repository": "EdinburghNLP/xsum", "revision": "refs/convert/parquet"}]
    assert first.revision("xsum") == f"{1:040x}"
    assert first.revision("boolq") == load_task("boolq").revision
    locked = lock_file.with_lock(unlocked, lock_file.lock_path(path))
    assert planning.make(lock_file.lock(locked, path)).revision("xsum") == f"{1:040x}"
    assert len(asked) == 1
    assert json.loads(path.with_suffix(".lock").read_text())["data sets"]["xsum"]["commit"] == f"{1:040x}"


def test_a_lock_of_another_repository_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit is a commit of one repository: where the study reads another one, the lock says nothing about it."""
    monkeypatch.setattr(hub_client, "data_commit", lambda repository, revision: "a" * 40)
    path = tmp_path / "news.toml"
    lock_file.lock(studies.parse(hub_study()), path)
    elsewhere = studies.parse(hub_study(sources={"xsum": "hub:acme/news"}))
    assert lock_file.with_lock(elsewhere, lock_file.lock_path(path)).revisions == {}
    copied = studies.parse(hub_study(sources={"xsum": "file:/somewhere"}))
    assert planning.make(lock_file.lock(copied, path)).revision("xsum") is None
    stated = studies.parse(hub_study(revisions={"xsum": "b" * 40}))
    assert planning.make(lock_file.lock(stated, path)).revision("xsum") == "b" * 40


def test_a_commit_is_asked_of_the_real_client_and_offline_of_its_cache(tmp_path: Path) -> None:
    """Online the hub says which commit a branch is, offline the cache does; where neither can, it is one sentence."""
    path = tmp_path / "hub" / "acme" / "news" / "english" / "test" / "0000.parquet"
    path.parent.mkdir(parents=True)
    pl.DataFrame({"id": ["1"]}).write_parquet(path)
    script = (
        "import sys\nfrom amuro.core import hub\nfrom amuro.core.errors import AmuroError\n"
        "from amuro.data import sources\n"
        "for revision in sys.argv[1:]:\n"
        "    try: print(hub.data_commit('acme/news', revision))\n"
        "    except AmuroError as error: print(error)\n"
        "    else: sources.rows('hub:acme/news/english', 'test', revision)\n"
    )

    def said(url: str, *revisions: str, offline: bool = False) -> list[str]:
        environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": str(int(offline))}
        command = [sys.executable, "-c", script, *revisions]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()

    with hub_process(tmp_path / "hub") as url:
        assert said(url, "refs/convert/parquet") == [stub_data_hub.COMMIT]
    commit, refused = said(url, "refs/convert/parquet", "main", offline=True)
    assert commit == stub_data_hub.COMMIT
    assert "hf download acme/news --repo-type dataset --revision main" in refused


def test_a_study_may_not_name_a_task_that_the_paper_lacks() -> None:
    """With the paper's protocol, a set that the paper did not have is refused where the study is read."""
    with pytest.raises((StudyError, HubError), match="is not in the paper"):
        studies.parse(
            toy_table(protocol="paper", tune=[], evaluate=[{"models": ["base"], "sets": ["world_facts/test"]}])
        )
