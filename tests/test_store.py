"""The waist keeps its promise: whole or absent, and what was damaged is never read as a number."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.errors import StoreError
from amuro.store import MANIFEST, Store

FRAME = pl.DataFrame({"value": [1.0, 2.0, 3.0]})
KEY = "ab" + "0" * 62


def filled(store: Store, key: str = KEY, **facts: Any) -> Path:
    store.commit("cells", key, {"address": "a", **facts}, {"predictions.parquet": FRAME})
    return store.root / "cells" / key[:2] / key


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
from amuro.store import Store

store = Store(Path(sys.argv[1]))
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
        store.commit("cells", f"{n:02x}" + "0" * 62, {"address": str(n)}, {"predictions.parquet": frame})
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


def test_the_newest_result_of_an_address_counts(store: Store) -> None:
    """An address whose inputs changed has two keys; the later one is what is read."""
    filled(store, key="aa" + "0" * 62, edition=1)
    filled(store, key="bb" + "0" * 62, edition=2)
    assert store.cells()["a"]["edition"] == 2


def test_a_store_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """A file in the place of the folder stops with the cure, before any compute."""
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError, match="--store"):
        Store(tmp_path / "store")


def test_a_newer_layout_is_refused(store: Store) -> None:
    """An older amuro does not guess at a store of a newer one."""
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
