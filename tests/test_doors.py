"""Every door takes an ordinary thing or refuses it: what never ends, is far too large, or looks like another."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core import disk, registry, regular_files, toml_values
from amuro.core.errors import DataError, SeriesError, StoreError, StudyError, WeightsError
from amuro.core.safetensors_header import read_header
from amuro.core.types import Checkpoint, Model, Recipe
from amuro.data import files
from amuro.run.claims import Claims
from amuro.series import folder
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.store import MANIFEST, Store


def tuned(rates: tuple[float, ...], rate: float) -> Model:
    recipe = Recipe("r", (("t", 1.0),), rows=1, epochs=1, learning_rates=rates)
    return Model(Checkpoint("s", 0, None, None, "unknown", ""), recipe, "digest", 0, rate)


_RATES = st.floats(1e-9, 100, exclude_min=True)


@settings(max_examples=60, deadline=None)
@given(rate=_RATES, apart=st.floats(1e-12, 1e-3))
def test_different_rates_have_different_addresses(rate: float, apart: float) -> None:
    """Two rates of one rule never share an address, however near they are; a short one is written short."""
    rates = (rate, rate * (1 + apart))
    addresses = {tuned(rates, one).address for one in rates}
    assert len(addresses) == len(set(rates))
    assert tuned((0.001, 1e-05), 0.001).address.endswith("/lr0.001")


@pytest.mark.parametrize("shape", [[2] * 200_000, [10**300] * 20_000, [2**62] * 20_000, [2.0], [-1]])
def test_a_shape_that_no_tensor_has_is_refused_at_once(tmp_path: Path, shape: list[float]) -> None:
    """Rank and sizes of a safetensors header are bounded before anything is multiplied, and the sentence is short."""
    header = json.dumps({"w": {"dtype": "U8", "shape": shape, "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    with pytest.raises(WeightsError, match="does not fit its bytes") as refused:
        read_header(path)
    assert len(str(refused.value)) < 500 + len(str(path))


@pytest.mark.parametrize("place", ["claims", "tmp", "cells", "prompts", "quarantine"])
def test_a_file_in_place_of_a_folder_is_named(store: Store, place: str) -> None:
    """A store one of whose folders is a file is refused as it is opened, by the path: it would look empty."""
    store.prepare()
    (store.root / place).rmdir()
    (store.root / place).write_text("", encoding="ascii")
    with pytest.raises(StoreError, match=f"{place} is a file where a folder belongs; move it away"):
        Store(store.root)


def test_a_folder_in_place_of_a_file_is_named(store: Store) -> None:
    """A run that finds a folder where its claims keep a file names it, and does not send the user to another store."""
    store.prepare()
    (store.root / "claims" / "arrivals").mkdir()
    with pytest.raises(StoreError, match="arrivals is a folder where a file belongs; move it away"), Claims(store.root):
        pass


def test_data_that_cannot_be_named_or_followed_is_a_data_error(tmp_path: Path) -> None:
    """A state nested without end and a path longer than any file system bears are told of as data."""
    (tmp_path / "state.json").write_text("[" * 100_000, encoding="ascii")
    with pytest.raises(DataError, match="cannot be read as a saved data set"):
        files.read(str(tmp_path), "all")
    with pytest.raises(DataError, match="does not exist"):
        files.read("d" * 5000, "all")


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 in the name of a checkpoint's folder are shown escaped, in one sentence."""
    (tmp_path / os.fsdecode(b"step1\xff")).mkdir()
    with pytest.raises(SeriesError, match=r"'step1\\udcff'; rename it"):
        folder.checkpoints("s", {"path": str(tmp_path)})


@pytest.mark.parametrize(
    ("content", "said"),
    [("# é\nname = 1".encode("latin-1"), "line 1 is not UTF-8; save"), ("name = 1".encode("utf-16"), "save the file"),
     (b'name = "\0"', "NUL bytes"), (b"name = " + b"1" * 5000, "give one of at most 18 digits")],
)  # fmt: skip
def test_a_study_file_is_refused_with_a_cure_that_can_be_followed(tmp_path: Path, content: bytes, said: str) -> None:
    """No cure speaks of a line that is not named, or of Python."""
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    with pytest.raises(StudyError, match=said):
        toml_values.toml(path)


@pytest.mark.parametrize("name", ["../toy", "a..b", ".a", "a.", "/etc/x.y"])
def test_a_name_that_is_no_module_is_not_imported(name: str) -> None:
    """A path as the name of a plugin is refused as a name; no file is to be mended for it."""
    with pytest.raises(StudyError, match="is no name among series"):
        registry.plugin("series", name)


def test_data_that_are_there_and_no_data_leave_nothing_done(tmp_path: Path) -> None:
    """Rows that are gone contradict no result; two files for one split, in which no rows can be read, do."""
    series = {"kind": "world", "steps": [0]}
    task = {"source": f"file:{tmp_path}", "fields": {"q": "Q"}, "answer": "a", "splits": {"test": "test"}}
    table = {"name": "s", "engine": "toy", "series": {"w": series}, "tasks": {"mine": task}}
    plan = planning.make(studies.parse({**table, "evaluate": [{"models": ["base"], "sets": ["mine/test"]}]}))
    store = Store(tmp_path / "store")
    assert Inputs(plan, store).rows("mine", "test") == UNKNOWN
    for suffix in ("csv", "jsonl"):
        (tmp_path / f"test.{suffix}").write_text("", encoding="ascii")
    assert "keep one" in Inputs(plan, store).rows("mine", "test")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_and_never_waited_for(store: Store) -> None:
    """A pipe in place of a manifest, a note, a listed file or a part of a data set is told at once."""
    place = store.root / "cells" / "aa" / "aaaa"
    saved = store.root.parent / "saved"
    for parent in (place, saved, store.root / "ledger"):
        parent.mkdir(parents=True, exist_ok=True)
    for pipe in (place / MANIFEST, saved / "state.json", store.root / "ledger" / "1.json"):
        os.mkfifo(pipe)
    assert store.cells() == {}
    assert store.notes("ledger") == []
    assert disk.sha256(saved / "state.json") == ""
    with pytest.raises(DataError, match=r"state\.json"):
        files.read(str(saved), "all")
    with pytest.raises(OSError, match="no ordinary file"):
        regular_files.content(saved / "state.json")
