"""What is damaged or lost in a store is found by the next run, set aside by name and made anew; a report says so."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import small_study
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from amuro.core import disk, owners
from amuro.core.errors import StoreError, WeightsError
from amuro.report.build import book, source
from amuro.report.html.provenance import shortfall
from amuro.results.analyze import results
from amuro.run import checkpoint_loader, upkeep
from amuro.run import runner as running
from amuro.run.executors import inline, processes
from amuro.run.executors.base import Job
from amuro.run.runner import Outcome, run
from amuro.run.worker import Worker
from amuro.series._pretrain_world import PretrainConfig
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.estimates import of_missing
from amuro.study.plan import Plan
from amuro.study.series_audits import faults_of
from amuro.study.status import failures, states
from amuro.study.store import Store

Events = list[Mapping[str, Any]]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """44 cells of four bases and four models that a rule chooses."""
    path = small_study.write(tmp_path_factory.mktemp("rows"), small_study.TUNE)
    return planning.make(studies.load(path))


@pytest.fixture(scope="module")
def whole(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store, to be copied."""
    root = tmp_path_factory.mktemp("whole") / "store"
    outcome = run(plan, Store(root), lambda event: None)
    assert outcome.failures == []
    return root


def copy(whole: Path, to: Path) -> Store:
    return Store(Path(shutil.copytree(whole, to / "store")))


def fill(plan: Plan, root: Path) -> tuple[Outcome, Events]:
    """One run in a process that has seen nothing of the store."""
    running._store.cache_clear()
    running._worker.cache_clear()
    events: Events = []
    return run(plan, Store(root), events.append), events


def held(root: Path) -> dict[str, Any]:
    """All that a report stands on: keys, and digests of the files; of audits their facts."""
    store = Store(root)
    found: dict[str, Any] = {}
    for kind in ("cells", "prompts"):
        found |= {m["key"]: m["files"] for m in store.manifests(kind) if store.verify(m)}
    return found | {m["key"]: m["audit"] for m in store.manifests("audits")}


# -- the ways in which a result can be damaged


def flip(place: Path, at: float) -> None:
    """One byte of one of its files."""
    files = sorted(place.iterdir())
    path = files[int(at * len(files))]
    content = bytearray(path.read_bytes())
    content[int(at * 997) % len(content)] ^= 1
    path.write_bytes(content)


def cut(place: Path, at: float) -> None:
    """The end of one of its files is lost."""
    files = sorted(place.iterdir())
    path = files[int(at * len(files))]
    path.write_bytes(path.read_bytes()[: int(at * path.stat().st_size)])


def lose(place: Path, at: float) -> None:
    """The whole folder is gone."""
    shutil.rmtree(place)


def copy_over(place: Path, at: float) -> None:
    """Another result of its kind lies in its place."""
    others = [other for other in sorted(place.parent.parent.glob("??/*")) if other != place]
    other = others[int(at * len(others))]
    shutil.rmtree(place)
    shutil.copytree(other, place)


@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(
    kind=st.sampled_from(["cells", "prompts", "audits"]), harm=st.sampled_from([flip, cut, lose, copy_over]),
    which=st.floats(0, 0.999), at=st.floats(0, 0.999),
)  # fmt: skip
def test_whatever_is_damaged_is_made_anew(
    plan: Plan, whole: Path, tmp_path_factory: pytest.TempPathFactory, kind: str, harm: Any, which: float, at: float
) -> None:
    """After any damage to any result one run restores exactly what was there; what is set aside is named."""
    store = copy(whole, tmp_path_factory.mktemp("copy"))
    places = sorted((store.root / kind).glob("??/*"))
    place = places[int(which * len(places))]
    harm(place, at)
    outcome, events = fill(plan, store.root)
    assert outcome.failures == []
    assert held(store.root) == held(whole)
    assert outcome.filled == (1 if kind == "cells" else 0), "nothing else runs again"
    told = [event["text"] for event in events if event["event"] == "damaged"]
    aside = list((store.root / "quarantine").iterdir())
    assert len(told) == len(aside) == (harm is not lose)
    assert all(place.name in text and aside[0].name in text for text in told)
    assert fill(plan, store.root)[1] == [], "and then all is well"


def test_lost_prompts_and_audits_are_made_anew_though_all_cells_are_done(
    plan: Plan, whole: Path, tmp_path: Path
) -> None:
    """Both folders removed: the same texts, baselines and encoding counts come back, and no cell runs again."""
    store = copy(whole, tmp_path)
    for kind in ("prompts", "audits"):
        shutil.rmtree(store.root / kind)
    outcome, _events = fill(plan, store.root)
    assert (outcome.filled, outcome.failures) == (0, [])
    assert held(store.root) == held(whole)


# -- what a report says


def test_a_report_on_fewer_cells_says_so_at_its_head(plan: Plan, whole: Path, tmp_path: Path) -> None:
    """A flipped byte in one table, of the same size: the first report leaves the cell out and says so, as of a hole."""
    store = copy(whole, tmp_path)
    assert shortfall(results(plan, store).evidence.planned) == ""
    first, second = sorted((store.root / "cells").glob("??/*"))[:2]
    path = first / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-9] + b"?" + path.read_bytes()[-8:])
    shutil.rmtree(second)
    reader = Store(store.root)
    planned = results(plan, reader).evidence.planned
    said = shortfall(planned)
    total = len(plan.cells)
    assert said.startswith(f"This report stands on {total - 2} of {total} planned cells: ")
    assert "1 not run" in said
    assert "1 damaged and left out" in said
    assert first.name in reader.told()[0]
    assert path.exists(), "to read a store changes nothing in it"


def test_reading_verbs_leave_a_store_as_it_is(plan: Plan, whole: Path, tmp_path: Path) -> None:
    """Status, estimate and results of a finished store: no file or folder appears, changes or goes."""
    store = copy(whole, tmp_path)
    before = stamps(tmp_path)
    reader = Store(store.root)
    found = states(plan, reader)
    of_missing(plan, found, reader, "A100-80GB")
    failures(found, reader)
    faults_of(plan, reader)
    read = results(plan, reader)
    book(plan, reader, read)
    source(plan, reader, read)
    assert before == stamps(tmp_path)


def stamps(root: Path) -> dict[Path, int]:
    """Every file below and when it changed, but for the memo of digests, which spares time and may go at any time."""
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and path.name != "digests.json"}


# -- drafts


def test_only_the_drafts_of_the_gone_are_cleared(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A living process keeps its draft; another machine's goes after a lease in which it did not grow."""
    store.prepare()
    machine, number, start = owners.me().split("-")
    mine, gone, elsewhere = (
        store.draft("a"),
        f"a.{machine}-{number}-{int(start) + 1}.1",
        f"a.0-{number}-{start}.1",
    )
    for path in (mine, *(store.root / "tmp" / name for name in (gone, elsewhere))):
        path.mkdir()
        (path / "part").write_bytes(b"1")
    drafts = upkeep.Drafts(store)
    drafts.clear()
    assert {path.name for path in (store.root / "tmp").iterdir()} == {mine.name, elsewhere}
    later = time.monotonic() + upkeep.LEASE_SECONDS + 1
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: later)
    (store.root / "tmp" / elsewhere / "part").write_bytes(b"12")
    drafts.clear()
    assert len(list((store.root / "tmp").iterdir())) == 2, "it grew"
    again = upkeep.Drafts(store)
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: later + upkeep.LEASE_SECONDS + 1)
    again.clear()
    assert [path.name for path in (store.root / "tmp").iterdir()] == [mine.name]


# -- a disk that refuses during a run


def test_a_full_disk_ends_a_run_at_once(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the 40th write on the disk is full: one StoreError, no cell after cell failing, and a later run ends it."""
    sync, calls, events = os.fsync, [0], list[Mapping[str, Any]]()

    def filling(handle: int) -> None:
        calls[0] += 1
        if calls[0] > 40:
            raise OSError(28, os.strerror(28))
        sync(handle)

    monkeypatch.setattr(os, "fsync", filling)
    with pytest.raises(StoreError, match="is full"):
        run(plan, Store(tmp_path / "store"), events.append)
    assert [event for event in events if event["event"] in ("failed", "lost")] == []
    monkeypatch.setattr(os, "fsync", sync)
    assert fill(plan, tmp_path / "store")[0].failures == []
    assert all(state.done for state in states(plan, Store(tmp_path / "store")))


def test_a_store_renamed_during_a_run_is_one_sentence(plan: Plan, tmp_path: Path) -> None:
    """After the third cell the store is elsewhere: the run ends with that, and makes no new one in its place."""
    root, filled = tmp_path / "store", [0]

    def on_event(event: Mapping[str, Any]) -> None:
        filled[0] += event["event"] == "cell"
        if filled[0] == 3 and root.exists():
            root.rename(tmp_path / "elsewhere")

    with pytest.raises(StoreError, match="is gone"):
        run(plan, Store(root), on_event)
    assert filled[0] == 3
    assert not root.exists()
    assert len(list(Store(tmp_path / "elsewhere").manifests("cells"))) == 3


# -- executors


def jobs(*numbers: int) -> list[Job]:
    return [Job(f"job {n}", {"n": n}, lambda: True) for n in numbers]


def test_a_worker_that_is_killed_while_idle_is_replaced() -> None:
    """Killed after its job was done and before the next: all other jobs are done, and nothing is reported as lost."""
    events: Events = []

    def on_event(event: Mapping[str, Any]) -> None:
        events.append(event)
        if event["event"] == "done" and event["job"] == "job 0":
            os.kill(events[0]["pid"], 9)
            time.sleep(0.1)

    processes.execute(jobs(0, 1, 2), "acts:act", 1, on_event)
    assert [event["cell"] for event in events if event["event"] == "cell"] == ["0", "1", "2"]
    assert [event for event in events if event["event"] == "lost"] == []


@pytest.mark.parametrize("execute", [inline.execute, processes.execute])
def test_a_store_that_refuses_ends_all_jobs(execute: Any) -> None:
    """The first StoreError of a job is raised, whichever process it came from, and no further job begins."""
    events: Events = []
    with pytest.raises(StoreError, match="the disk is full; free some space"):
        execute(jobs(13, 1, 2), "acts:act", 1, events.append)
    assert events == []


# -- what was pre-trained here


def test_weights_that_pretraining_did_not_write_are_refused(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever loads a checkpoint that was made here reads it whole first: one flipped byte, and nothing is scored."""
    folder = tmp_path / "step-00000010"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    checkpoint = plan.checkpoints[0]
    disk.list_files(folder, {"identity": checkpoint.identity, "step": checkpoint.step})
    worker = Worker(plan, Store(tmp_path / "store"), running.engine(plan.study), lambda event: None)
    monkeypatch.setattr(checkpoint_loader, "folder_of", lambda *_: folder)
    made_here = SimpleNamespace(pretraining=PretrainConfig.from_options)
    monkeypatch.setattr(checkpoint_loader, "load_series_kind", lambda kind: made_here)
    worker._checkpoint.folder = folder
    worker._checkpoint.refuse_damaged(checkpoint)
    (folder / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(WeightsError, match="no longer what pre-training wrote"):
        worker._checkpoint.load(checkpoint)


def test_notes_are_json_that_proves_itself(store: Store) -> None:
    """A note is read as it was written, with its checksum taken off."""
    store.note("attempts", {"cell": "a"})
    (path,) = (store.root / "attempts").iterdir()
    assert json.loads(path.read_text(encoding="utf-8"))["cell"] == "a"
    assert store.notes("attempts") == [{"cell": "a"}]
