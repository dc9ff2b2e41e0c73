"""Digests of plain data and of weights, and the check of a safetensors header."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from amuro.core import hashing
from amuro.core.errors import WeightsError
from amuro.core.hashing import canonical, digest, sample_digest, tensor_digest
from amuro.core.safetensors_header import HEADER_LIMIT, read_header

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(PLAIN)
def test_canonical_json_is_a_fixed_point(value: Any) -> None:
    """Proves that reading canonical JSON and writing it again changes nothing, so a digest survives the disk."""
    text = canonical(value)
    assert canonical(json.loads(text)) == text


@given(st.dictionaries(st.text(alphabet="abcdef"), st.integers()), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_enter(table: dict[str, int], random: Any) -> None:
    """Proves that mappings with equal entries have equal digests however they were built."""
    items = list(table.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(table)


def test_values_that_mean_the_same_have_one_text() -> None:
    """Proves the normal forms: -0.0 as 0.0, tuples as lists; and that 1 is not 1.0, nor é its decomposed form."""
    assert canonical([-0.0]) == canonical([0.0]) == b"[0.0]"
    assert canonical("e\u0301") != canonical("\u00e9"), "other letters are other tokens"
    assert canonical((1, 2)) == canonical([1, 2])
    assert canonical(1) != canonical(1.0)
    assert canonical(True) != canonical(1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_without_a_text_are_refused(value: Any) -> None:
    """Proves that NaN and infinity have no digest."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(value)


@pytest.mark.parametrize("value", [{1, 2}, np.float64(2e-5), np.float32(2e-5), np.int64(3), Path("x"), b"x", {1: 2}])
def test_what_is_no_plain_data_is_refused(value: Any) -> None:
    """Proves that sets (no order), numpy scalars (rounded), paths and bytes cannot slip into a digest."""
    with pytest.raises(TypeError, match="is no plain data"):
        canonical([value])


def test_a_digest_is_the_same_in_every_process() -> None:
    """Proves that neither the hash seed nor the working folder enters a digest."""
    code = "from amuro.core.hashing import digest; print(digest({'b': [1, 2.5, None], 'a': {'x': 'y'}}))"
    seen = set()
    for seed, folder in (("1", "/"), ("2", "/tmp")):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        seen.add(
            subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, check=True).stdout
        )
    assert len(seen) == 1


def tensors(values: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(values)
    return {f"layer.{i}.weight": random.normal(size=(7, 5 + i)).astype(np.float32) for i in range(4)}


def save(folder: Path, tensors: dict[str, np.ndarray], shards: int = 1, metadata: dict[str, str] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata=metadata)
        return folder
    weight_map = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(tensors)}
    for file in set(weight_map.values()):
        save_file({n: tensors[n] for n in tensors if weight_map[n] == file}, folder / file, metadata=metadata)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_sharding_names_and_metadata_do_not_enter_the_tensor_digest(tmp_path: Path) -> None:
    """Proves that one file, two shards, another order of tensors and metadata of any kind give one digest."""
    turned = dict(reversed(tensors().items()))
    folders = [
        save(tmp_path / "one", tensors()),
        save(tmp_path / "two", tensors(), shards=2),
        save(tmp_path / "turned", turned, metadata={"format": "pt", "by": "me"}),
    ]
    assert len({tensor_digest(folder) for folder in folders}) == 1


def test_every_bit_name_shape_and_dtype_enters_the_tensor_digest(tmp_path: Path) -> None:
    """Proves that the smallest change of a value, a name, a shape or a dtype changes the digest."""
    base = tensors()
    first = next(iter(base))
    flipped = {**base, first: base[first].copy()}
    flipped[first].view(np.uint8)[0, 0] ^= 1
    renamed = {("other" if name == first else name): value for name, value in base.items()}
    reshaped = {**base, first: base[first].reshape(5, 7)}
    retyped = {**base, first: base[first].view(np.int32)}
    variants = {"base": base, "flipped": flipped, "renamed": renamed, "reshaped": reshaped, "retyped": retyped}
    found = {tensor_digest(save(tmp_path / name, variant)) for name, variant in variants.items()}
    assert len(found) == len(variants)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    """Proves that an ambiguous checkpoint has no digest."""
    folder = save(tmp_path / "two", tensors(), shards=2)
    save_file(tensors(), folder / "model-00002-of-00002.safetensors")
    with pytest.raises(WeightsError, match="in two files"):
        tensor_digest(folder)


def test_a_file_that_shrinks_while_it_is_read_has_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that a file cut between the check of its header and the reading of its data is an error."""
    file = save(tmp_path / "m", tensors()) / "model.safetensors"
    entries = read_header(file)
    monkeypatch.setattr(hashing, "read_header", lambda path: entries)
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(WeightsError, match="became shorter while it was read"):
        tensor_digest(tmp_path / "m")


def test_the_memo_is_used_and_never_trusted_beyond_its_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that a remembered digest is returned while the files' stamps stand, and dropped when a file is exchanged
    for one of the same size and the same time of change: ctime tells.
    """
    folder, memo = save(tmp_path / "m", tensors()), tmp_path / "memo" / "digests.json"
    memo.parent.mkdir()
    file = folder / "model.safetensors"
    _age(file)
    monkeypatch.setattr(hashing, "_SETTLED_NS", -1)
    true, before = tensor_digest(folder, memo), file.stat()
    known = hashing._read_memo(memo)
    (name,) = known
    hashing._write_memo(memo, {name: [known[name][0], ["from the memo", {}]]})
    assert tensor_digest(folder, memo) == "from the memo"
    save_file(tensors(1), file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert tensor_digest(folder, memo) == tensor_digest(folder) != true


@pytest.mark.parametrize("content", [b'{"torn', b"[" * 100_000, b"[]", b'{"known": {}, "check": "00"}', b"\xff"])
def test_a_memo_that_is_none_is_not_believed(tmp_path: Path, content: bytes) -> None:
    """Proves that a memo of which a byte has changed, or that is another file, remembers nothing."""
    folder, memo = save(tmp_path / "m", tensors()), tmp_path / "digests.json"
    memo.write_bytes(content)
    assert tensor_digest(folder, memo) == tensor_digest(folder)
    assert hashing._read_memo(memo) == {}


def test_a_fresh_file_is_not_remembered_and_a_torn_memo_is_no_error(tmp_path: Path) -> None:
    """Proves that a file that may still be changing is not remembered, and that a broken memo only costs time."""
    folder, memo = save(tmp_path / "m", tensors()), tmp_path / "digests.json"
    memo.write_text('{"torn')
    assert tensor_digest(folder, memo) == tensor_digest(folder)
    assert memo.read_text() == '{"torn'


def test_the_sample_tells_other_weights_apart_and_not_other_places(tmp_path: Path) -> None:
    """Proves that the cheap digest follows the bytes: equal for a copy, different for other values."""
    here, there = save(tmp_path / "here", tensors()), save(tmp_path / "there", tensors())
    assert sample_digest(here) == sample_digest(there) != sample_digest(save(tmp_path / "other", tensors(1)))


def _age(file: Path, seconds: float = 100) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


def build(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: tuple[Any, ...] = (2,), offsets: tuple[Any, ...] = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


UNSOUND = {
    "an empty file": b"",
    "a header beyond the file": build({}, length=2**60),
    "a header that is no JSON": build(b"{not json"),
    "a header that is no object": build([1]),
    "a name that stands twice": build(b'{"a":%(e)s,"a":%(e)s}' % {b"e": json.dumps(entry()).encode()}, b"x" * 8),
    "an entry without shape": build({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, b"x" * 8),
    "an unknown dtype": build({"a": entry("F31")}, b"x" * 8),
    "a shape that does not fit": build({"a": entry(shape=(3,))}, b"x" * 8),
    "a negative shape": build({"a": entry(shape=(-1, -2))}, b"x" * 8),
    "a size beyond counting": build({"a": entry(shape=(0, 10**300), offsets=(0, 0))}),
    "metadata that is no table": build({"__metadata__": 5}),
    "metadata that is no text": build({"__metadata__": {"format": 5}}),
    "a fractional offset": build({"a": entry(offsets=(0.0, 8.0))}, b"x" * 8),
    "overlapping tensors": build({"a": entry(), "b": entry(offsets=(4, 12))}, b"x" * 12),
    "a gap": build({"a": entry(), "b": entry(offsets=(12, 20))}, b"x" * 20),
    "trailing bytes": build({"a": entry()}, b"x" * 9),
    "a file cut short": build({"a": entry()}, b"x" * 7),
}


@pytest.mark.parametrize("fault", sorted(UNSOUND))
def test_unsound_headers_are_refused_with_the_name_of_the_file(fault: str, tmp_path: Path) -> None:
    """Proves for each known fault of a header that it is found before any library reads the file."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(UNSOUND[fault])
    with pytest.raises(WeightsError, match=r"model\.safetensors is no sound safetensors file"):
        read_header(path)


def test_a_header_above_the_cap_is_not_even_read(tmp_path: Path) -> None:
    """Proves that a huge header that the file does hold is refused by its length alone."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", HEADER_LIMIT + 1))
    os.truncate(path, 2 * HEADER_LIMIT)
    with pytest.raises(WeightsError, match="the header claims 100,000,001 bytes"):
        read_header(path)


@given(
    shapes=st.dictionaries(
        st.text(alphabet="abc.xyz", min_size=1), st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=5
    )
)
def test_the_header_check_agrees_with_the_library(shapes: dict[str, list[int]], tmp_path_factory: Any) -> None:
    """Proves that what the library writes passes, with the same names, shapes and bytes."""
    path = tmp_path_factory.mktemp("h") / "model.safetensors"
    save_file(
        {name: np.arange(np.prod(shape, dtype=int), dtype=np.int16).reshape(shape) for name, shape in shapes.items()},
        path,
    )
    loaded, raw = load_file(path), path.read_bytes()
    found = {e.name: e for e in read_header(path)}
    assert {n: e.shape for n, e in found.items()} == {n: v.shape for n, v in loaded.items()}
    assert all(raw[e.start : e.start + e.length] == loaded[n].tobytes() for n, e in found.items())


@given(content=st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_else(content: bytes, tmp_path_factory: Any) -> None:
    """Proves that a random file ends in our error or in a valid reading, never in another exception."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    path.write_bytes(content)
    with suppress(WeightsError):
        read_header(path)
