"""The next checkpoint is located and advised while the present one is worked on, and never in its way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from amuro.core.errors import WeightsError
from amuro.run.prefetch import read_ahead


def test_all_weight_files_are_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is told of every file of weights, and every file is closed again."""
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in shards:
        (tmp_path / name).write_bytes(b"weights")
    index = {"weight_map": dict(zip(("a", "b"), shards, strict=True))}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    told: list[str] = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda number, *_: told.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )
    opened = _open_files()
    read_ahead(lambda: tmp_path).join()
    assert sorted(Path(path).name for path in told) == shards
    assert _open_files() == opened


@pytest.mark.parametrize("place", [None, Path("/nowhere")], ids=["no folder", "not made yet"])
def test_what_is_not_there_is_left_alone(place: Path | None) -> None:
    """An engine without weights, or a checkpoint that is still being pre-trained, is no error."""
    read_ahead(lambda: place).join()


def test_a_failed_fetch_is_left_to_the_load() -> None:
    """What cannot be fetched now is said when it is needed, not in the background."""

    def locate() -> Path:
        raise WeightsError("no such revision", "look at the list of revisions")

    read_ahead(locate).join()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
