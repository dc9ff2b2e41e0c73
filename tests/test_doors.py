"""Every door takes an ordinary thing or refuses it: what never ends, is far too large, or looks like another."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro import disk, files, ordinary
from amuro.errors import DataError, WeightsError
from amuro.safetensors_header import read_header
from amuro.store import MANIFEST, Store
from amuro.types import Checkpoint, Model, Recipe


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_and_never_waited_for(store: Store) -> None:
    """A pipe in place of a manifest, a note, a listed file or a part of a data set is told at once."""
    place = store.root / "cells" / "aa" / "aaaa"
    saved = store.root.parent / "saved"
    for folder in (place, saved, store.root / "ledger"):
        folder.mkdir(parents=True, exist_ok=True)
    for pipe in (place / MANIFEST, saved / "state.json", store.root / "ledger" / "1.json"):
        os.mkfifo(pipe)
    assert store.cells() == {}
    assert store.notes("ledger") == []
    assert disk.sha256(saved / "state.json") == ""
    with pytest.raises(DataError, match=r"state\.json"):
        files.read(str(saved), "all")
    with pytest.raises(OSError, match="no ordinary file"):
        ordinary.content(saved / "state.json")
