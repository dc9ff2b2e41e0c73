"""The store keeps its promise: whole or absent, and what was damaged is never read as a number."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core import disk
from amuro.core.errors import StoreError
from amuro.study.result_keys import key_of
from amuro.study.store import MANIFEST, Store

FRAME = pl.DataFrame({"value": [1.0, 2.0, 3.0]})


def decided(address: str = "a", edition: int = 0) -> dict[str, Any]:
    """What decides the key of a cell's result."""
    return {"address": address, "declared": {"edition": edition}, "ids": "0", "model_key": "m"}


KEY = key_of("cells", decided())


def filled(store: Store, address: str = "a", edition: int = 0, **facts: Any) -> Path:
    made_of = decided(address, edition)
    key = key_of("cells", made_of)
    store.commit("cells", key, {**made_of, **facts}, {"predictions.parquet": FRAME})
    return store.root / "cells" / key[:2] / key


def files_of(root: Path) -> set[Path]:
    return set(root.rglob("*")) if root.exists() else set()


def test_what_is_committed_comes_back(store: Store) -> None:
    """Facts and frame are read as they were written."""
    filled(store, note="x")
    manifest = store.manifest("cells", KEY)
    assert manifest is not None
    assert manifest["note"] == "x"
    frame = store.frame(manifest, "predictions.parquet")
    assert frame is not None
    assert frame.equals(FRAME)


@settings(max_examples=25, deadline=None)
@given(position=st.floats(0, 0.999), flip=st.integers(1, 255))
def test_no_flipped_bit_survives(tmp_path_factory: pytest.TempPathFactory, position: float, flip: int) -> None:
    """Whatever byte of a result changes, in data or manifest, the result is absent and lies in quarantine."""
    for name in ("predictions.parquet", MANIFEST):
        store = Store(tmp_path_factory.mktemp("store"))
        path = filled(store) / name
        content = bytearray(path.read_bytes())
        content[int(position * len(content))] ^= flip
        path.write_bytes(bytes(content))
        manifest = store.manifest("cells", KEY)
        assert manifest is None or store.frame(manifest, "predictions.parquet") is None
        assert any((store.root / "quarantine").iterdir())


KILLED = """
import os, sys
from pathlib import Path
from amuro.study.result_keys import key_of
from amuro.study.store import Store

store = Store(Path(sys.argv[1]))
store.prepare()
left = 0


def deadly(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return function(*args, **kwargs)
    return call


# Each child is forked before polars has started a thread, and dies at the n-th of the calls that make a commit.
for n in range(1, 40):
    pid = os.fork()
    if pid == 0:
        import polars
        frame = polars.DataFrame({"value": [1.0]})
        for module, name in ((os, "fsync"), (os, "open"), (Path, "open"), (Path, "mkdir"), (Path, "rename")):
            setattr(module, name, deadly(getattr(module, name)))
        left = n
        facts = {"address": str(n), "declared": {}, "ids": "", "model_key": ""}
        store.commit("cells", key_of("cells", facts), facts, {"predictions.parquet": frame})
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        print(n)
        break
"""


def test_a_kill_at_any_call_leaves_whole_or_nothing(store: Store) -> None:
    """A process that dies at any write, sync or rename of a commit leaves no visible part of a result."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(store.root)], check=True, capture_output=True, text=True)
    calls = int(done.stdout)
    assert calls > 8, "the commit was never interrupted"
    found = list(store.manifests("cells"))
    assert str(calls) in {m["address"] for m in found}, "the uninterrupted commit is there"
    assert all(store.frame(m, "predictions.parquet") is not None for m in found)
    assert not any((store.root / "quarantine").iterdir()), "no partial result was ever visible"


def test_the_first_commit_wins(store: Store) -> None:
    """Two runners with the same key: the second finds the first one's result and changes nothing."""
    place = filled(store, runner=1)
    before = (place / MANIFEST).read_bytes()
    filled(store, runner=2)
    assert (place / MANIFEST).read_bytes() == before
    assert not any((store.root / "tmp").iterdir())


def test_all_results_of_an_address_are_kept(store: Store) -> None:
    """An address whose inputs changed has two keys; both are given, in the order of their keys, whichever is newer."""
    filled(store, edition=2)
    filled(store, edition=1)
    found = store.cells()["a"]
    assert sorted(result["declared"]["edition"] for result in found) == [1, 2]
    assert [result["key"] for result in found] == sorted(result["key"] for result in found)


def test_a_store_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """A file in the place of the folder stops with the cure, before any compute."""
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError, match="--store"):
        Store(tmp_path / "store")


def test_a_newer_layout_is_refused(store: Store) -> None:
    """An older amuro does not guess at a store of a newer one."""
    store.prepare()
    (store.root / "format.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(StoreError, match="upgrade"):
        Store(store.root)


def test_two_runners_that_publish_the_same_at_once_both_succeed(tmp_path: Path) -> None:
    """Whoever comes second finds a whole result: no error, no quarantine, one copy."""
    store, start = Store(tmp_path), threading.Barrier(2)
    errors: list[Exception] = []

    def publish() -> None:
        for number in range(300):
            start.wait()
            try:
                store.manifest("prompts", f"{number:08x}")
                store.commit("prompts", f"{number:08x}", {"number": number}, {})
            except Exception as error:  # collected: a thread's own exception would be lost
                errors.append(error)

    runners = [threading.Thread(target=publish) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert errors == []
    assert len(list(store.manifests("prompts"))) == 300
    assert list((tmp_path / "quarantine").iterdir()) == []


# -- what lies in the wrong place, or is not what it says


def other_cell(place: Path, other: Path) -> None:
    """The folder of one cell is copied over another's."""
    shutil.rmtree(place)
    shutil.copytree(other, place)


def other_address(place: Path, _other: Path) -> None:
    """A manifest claims another cell's address, and its checksum is right."""
    body = disk.checked((place / MANIFEST).read_bytes())
    assert body is not None
    (place / MANIFEST).write_bytes(disk.checksummed({**body, "address": "b"}))


def other_kind(place: Path, _other: Path) -> None:
    """A result of another kind lies in the place of a cell, under its key."""
    body = disk.checked((place / MANIFEST).read_bytes())
    assert body is not None
    (place / MANIFEST).write_bytes(disk.checksummed({**body, "kind": "models"}))


@pytest.mark.parametrize("forge", [other_cell, other_address, other_kind])
def test_a_result_is_never_read_as_another(store: Store, forge: Any) -> None:
    """What lies in another result's place is set aside by name, and the result that belongs there can be made anew."""
    place, other = filled(store), filled(store, address="b", note="of b")
    forge(place, other)
    assert store.manifest("cells", KEY) is None
    assert [m["note"] for m in store.manifests("cells")] == ["of b"], "nothing else is read as b"
    told = store.told()
    assert len(told) == 1
    assert f"cells/{KEY[:2]}/{KEY}" in told[0]
    assert "quarantine/" in told[0]
    assert store.told() == [], "each is told once"
    filled(store, note="again")
    again = store.manifest("cells", KEY)
    assert again is not None
    assert again["note"] == "again"


def test_a_commit_replaces_a_result_with_a_flipped_bit(store: Store) -> None:
    """The manifest is whole, a byte of the table is not: the next commit makes it anew."""
    path = filled(store) / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-9] + b"?" + path.read_bytes()[-8:])
    fresh = Store(store.root)
    filled(fresh)
    manifest = fresh.manifest("cells", KEY)
    assert manifest is not None
    assert fresh.frame(manifest, "predictions.parquet") is not None
    assert "predictions.parquet" in fresh.told()[0]


# -- reading


def test_reading_writes_nothing(tmp_path: Path) -> None:
    """A store that is not there yet, or that holds damage, is read without a trace."""
    absent = Store(tmp_path / "none")
    assert list(absent.manifests("cells")) == absent.notes("ledger") == []
    assert files_of(tmp_path) == set()
    store = Store(tmp_path / "store")
    (filled(store) / MANIFEST).write_bytes(b"{")
    store.note("ledger", {"n": 1})
    next((store.root / "ledger").iterdir()).write_bytes(b'{"n"')
    before = files_of(tmp_path)
    reader = Store(store.root)
    assert list(reader.manifests("cells")) == reader.notes("ledger") == []
    assert files_of(tmp_path) == before
    told = reader.told()
    assert len(told) == 2
    assert all("amuro run" in text for text in told)


@settings(max_examples=20, deadline=None)
@given(cut=st.floats(0, 0.999))
def test_a_cut_note_is_set_aside(tmp_path_factory: pytest.TempPathFactory, cut: float) -> None:
    """Wherever a note ends too early, the others are read, and the next run puts it into quarantine."""
    store = Store(tmp_path_factory.mktemp("store"))
    for n in range(3):
        store.note("attempts", {"cell": "a", "n": n})
    path = sorted((store.root / "attempts").iterdir())[1]
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    assert [note["n"] for note in store.notes("attempts")] == [0, 2]
    assert path.name in store.told()[0]
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"x"', "null", '{"version": "one"}'])
def test_a_damaged_layout_is_one_sentence(store: Store, content: str) -> None:
    """A format.json that names no version is refused with the place and the cure."""
    store.prepare()
    (store.root / "format.json").write_text(content)
    with pytest.raises(StoreError, match=r"format\.json is damaged.*--store"):
        Store(store.root)


def test_what_a_killed_start_left_locks_nobody_out(tmp_path: Path) -> None:
    """A draft of format.json under this very process number is no obstacle."""
    (tmp_path / f"format.{os.getpid()}").write_bytes(b"")
    Store(tmp_path).prepare()
    assert json.loads((tmp_path / "format.json").read_text())["version"] == 1


# -- a disk that refuses


def test_a_full_disk_is_told_in_numbers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed and what is free stand in the sentence, and no draft is left."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.prepare()
    monkeypatch.setattr(os, "fsync", full)
    for act in (lambda: filled(store), lambda: store.note("ledger", {})):
        with pytest.raises(StoreError, match=r"disk of the store .* is full: .* [GMk]B are free"):
            act()
    assert not [path for path in (store.root / "tmp").iterdir() if path.is_dir()]
    assert list(store.manifests("cells")) == []


def test_a_store_that_went_away_is_not_made_anew(store: Store) -> None:
    """A store renamed while a run writes to it ends in one sentence; nothing is begun in its old place."""
    filled(store)
    store.root.rename(store.root.with_name("elsewhere"))
    for act in (lambda: filled(store, address="b"), lambda: store.note("ledger", {})):
        with pytest.raises(StoreError, match="is gone"):
            act()
    assert not store.root.exists()
