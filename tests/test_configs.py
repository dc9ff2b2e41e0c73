"""The small JSON files of a checkpoint: nothing in them fetches or runs something, or ends in a traceback."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import amuro.engine
from amuro.core.configs import COMPUTED, DEPTH, FETCHING, LAYERS
from amuro.core.errors import StudyError, WeightsError
from amuro.core.weights import vocabulary_size
from amuro.series import load_series_kind

KEPT = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GOOD = {"model_type": "llama", "vocab_size": 30, "num_hidden_layers": 2, "attn_implementation": "sdpa"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound checkpoint of three tensors, whose small files the tests replace."""
    found = tmp_path_factory.mktemp("series") / "step1"
    found.mkdir()
    tensors = {name: np.ones((30, 4), np.float32) for name in ("model.embed_tokens.weight", "a.weight", "b.weight")}
    save_file(tensors, found / "model.safetensors")
    (found / "tokenizer.json").write_text("{}")
    return found


def planned(folder: Path, text: str, name: str = "config.json") -> None:
    """Plans the series of `folder`, whose file `name` holds `text`."""
    (folder / "config.json").write_text(json.dumps(GOOD))
    path = folder / name
    path.write_text(text)
    try:
        load_series_kind("folder").checkpoints("mine", {"path": str(folder.parent)})
    finally:
        path.unlink()


def refusal(folder: Path, text: str, name: str = "config.json") -> str:
    with pytest.raises((WeightsError, StudyError)) as caught:
        planned(folder, text, name)
    assert caught.value.cure
    return str(caught.value)


def test_a_usual_configuration_is_planned(folder: Path) -> None:
    """Proves that what sound configurations hold is accepted: the rest of this file does not refuse everything."""
    usual = {"rms_norm_eps": 1e-5, "time_step_limit": [0.0, float("inf")], "num_key_value_heads": [0, 2],
             "n_inner": None, "cache_implementation": "hybrid",
             "_attn_implementation": "eager", "quantization_config": None,
             "trust_remote_code": False, "rope_scaling": {"factor": 2.0}}  # fmt: skip
    planned(folder, json.dumps(GOOD | usual))
    planned(folder, json.dumps({"eos_token_id": [1, 2], "cache_implementation": "static"}), "generation_config.json")


IMPLEMENTATIONS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation",
                   "_attn_implementation_internal", "cache_implementation")  # fmt: skip


@pytest.mark.parametrize("key", IMPLEMENTATIONS)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("value", ["evil/kernel", {"": "evil/kernel@main:fn"}, "paged|evil/kernel"])
def test_code_from_the_hub_is_refused_by_name(folder: Path, key: str, nested: bool, value: Any) -> None:
    """Proves that no key lets transformers fetch the code that it computes with, at any level and in any form."""
    asking = {"text_config": {key: value}} if nested else {key: value}
    said = refusal(folder, json.dumps(GOOD | asking))
    assert key in said
    assert "evil/kernel" in said or isinstance(value, dict)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("key", FETCHING)
def test_what_comes_from_elsewhere_is_refused_by_name(folder: Path, name: str, key: str) -> None:
    """Proves for each key that fetches, runs or loads something else that it is refused wherever it stands."""
    said = refusal(folder, json.dumps(GOOD | {"parts": [{key: {"quant_method": "x--y.Z"}}]}), name)
    assert f"parts.0.{key}" in said
    assert FETCHING[key] in said


def test_an_implementation_of_another_package_is_refused(folder: Path) -> None:
    """Proves that a name is refused which transformers may replace by code from the hub, though it is no repository."""
    assert "flash_attention_2" not in COMPUTED
    assert "flash_attention_2" in refusal(folder, json.dumps(GOOD | {"attn_implementation": "flash_attention_2"}))


def test_transformers_is_told_to_take_no_kernels_from_the_hub() -> None:
    """Proves that with the engine the switch is set by which transformers asks the hub for code of its own accord."""
    assert amuro.engine
    assert os.environ["USE_HUB_KERNELS"] == "NO"


def test_an_adapter_beside_weights_is_refused(folder: Path) -> None:
    """Proves that transformers is never led to another folder or repository by an adapter's configuration."""
    said = refusal(folder, json.dumps({"base_model_name_or_path": "../other"}), "adapter_config.json")
    assert "adapter of '../other'" in said
    assert "merge" in said


DEEP = 900 * '{"a":' + "1" + 900 * "}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is no JSON object: a list"),
        ("null", "is no JSON object: None"),
        (DEEP, "names no model_type"),
        (f'{{"model_type": "llama", "a": {DEEP}}}', f"nested more than {DEPTH} levels"),
        (100_000 * "[" + 100_000 * "]", "is no valid JSON"),
        ('{"model_type": "llama", "a": ' + 5000 * "1" + "}", "is no valid JSON"),
    ],
)
def test_configs_that_are_no_object_are_refused(folder: Path, text: str, message: str) -> None:
    """Proves that lists, words, endless nesting and endless numbers each end in a sentence with the file's name."""
    said = refusal(folder, text)
    assert message in said
    assert "config.json" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": "many"}, "vocab_size in {} is 'many'"),
        ({"vocab_size": 10**9}, "vocab_size 1,000,000,000, its weights hold 30 rows of embedding"),
        ({"max_position_embeddings": "a"}, "max_position_embeddings in {} is 'a'"),
        ({"max_position_embeddings": True}, "max_position_embeddings in {} is True"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps in {} is NaN"),
        ({"rms_norm_eps": -1}, "rms_norm_eps in {} is -1"),
        ({"num_hidden_layers": -1}, "num_hidden_layers in {} is -1"),
        ({"num_hidden_layers": 10**7}, "num_hidden_layers 10,000,000, its weights hold 3 tensors"),
        ({"num_key_value_heads": [1, -2]}, "num_key_value_heads in {} is -2"),
        ({"text_config": {"hidden_size": 4.5}}, "text_config.hidden_size in {} is 4.5"),
        ({"logit_scale": [float("nan")]}, "logit_scale"),
    ],
)
def test_sizes_that_no_model_has_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    """Proves for each impossible number that the plan names key, value and file."""
    assert message.format(folder / "config.json") in refusal(folder, json.dumps(GOOD | changes))


@pytest.mark.parametrize("text", ["[]", "5", '"text"', "{", "[1, 2]"])
@pytest.mark.parametrize("name", ["generation_config.json", "adapter_config.json", "trainer_state.json"])
def test_other_small_files_must_be_objects(folder: Path, name: str, text: str) -> None:
    """Proves that a small file of another form is named before anything reads it."""
    assert name in refusal(folder, text, name)


@pytest.mark.parametrize(
    "index", [5, [], {}, {"weight_map": []}, {"weight_map": None}, {"weight_map": {}}, {"weight_map": {"a": 3}}]
)
def test_an_index_of_another_form_is_refused(folder: Path, tmp_path: Path, index: Any) -> None:
    """Proves that numbers, lists and empty maps as a weight index end in a sentence that names it."""
    there = tmp_path / "step2"
    there.mkdir()
    for name in ("tokenizer.json", "config.json"):
        (there / name).write_text('{"model_type": "llama"}')
    (there / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"model\.safetensors\.index\.json lists no files"):
        load_series_kind("folder").checkpoints("mine", {"path": str(tmp_path)})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("folder = 5\nstep = 1", "has folder = 5"),
        ('folder = ""\nstep = 1', "has folder = ''"),
        ('folder = "../step1"\nstep = 1', "leaves its own folder: '../step1'"),
        ('folder = "step1/../../x"\nstep = 1', "leaves its own folder"),
        ('folder = "/etc"\nstep = 1', "leaves its own folder: '/etc'"),
        ('folder = "gone"\nstep = 1', "lists 'gone': there is no such folder"),
        (f'folder = "{"x" * 300}"\nstep = 1', "there is no such folder"),
        ('folder = "a\\u0000b"\nstep = 1', "there is no such folder"),
        ('folder = "step1"\nstep = "one"', "step of series 'mine' is 'one'"),
        ('folder = "step1"\nstep = 1\ntokens = -3', "tokens of series 'mine' is -3"),
    ],
)
def test_a_listing_names_folders_within_its_own(folder: Path, entry: str, message: str) -> None:
    """Proves that a series.toml that came with a folder cannot name what lies elsewhere, or a folder that is none."""
    assert message in refusal(folder, f"[[checkpoint]]\n{entry}", "../series.toml")


def test_a_listing_of_words_is_refused(folder: Path) -> None:
    """Proves that entries which are no tables end in a sentence."""
    assert "lists 'early'" in refusal(folder, 'checkpoint = ["early"]', "../series.toml")
    assert "is no valid TOML" in refusal(folder, f"a = {100_000 * '['}", "../series.toml")


ATOMS = (
    st.none() | st.booleans() | st.integers() | st.integers(10**15, 10**40) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["NaN", "../x", "/", "step1", "evil/kernel", "\0", "\ud800", "x" * 300])
)  # fmt: skip
NAMES = st.sampled_from([*GOOD, *FETCHING, *LAYERS, "eos_token_id", "text_config", "rms_norm_eps", "folder", "step",
                         "tokens", "schedule", "checkpoint", "weight_map", "tokens_per_step"])  # fmt: skip
ANY = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4)
)


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "trainer_state.json", "tokenizer_config.json", "../series.json"]
)
@KEPT
@given(value=ANY | st.builds(lambda found: GOOD | found, st.dictionaries(NAMES, ANY)))
def test_any_small_file_is_planned_or_refused_in_a_sentence(folder: Path, name: str, value: Any) -> None:
    """Proves that whatever JSON a small file holds, there is a plan or one sentence, and never a traceback."""
    with suppress(WeightsError, StudyError):
        planned(folder, json.dumps(value), name)


@KEPT
@given(entry=st.fixed_dictionaries({"folder": ANY, "step": ANY}, optional={"tokens": ANY, "schedule": ANY}))
def test_any_entry_of_a_listing_is_planned_or_refused_in_a_sentence(folder: Path, entry: Any) -> None:
    """Proves the same of what a listing says of one checkpoint."""
    with suppress(WeightsError, StudyError):
        planned(folder, json.dumps({"checkpoint": [entry]}), "../series.json")


@KEPT
@given(value=ANY | st.builds(lambda found: {"weight_map": found}, ANY))
def test_any_index_is_refused_in_a_sentence(tmp_path: Path, value: Any) -> None:
    """Proves the same of a weight index."""
    there = tmp_path / "step2"
    there.mkdir(exist_ok=True)
    (there / "model.safetensors.index.json").write_text(json.dumps(value))
    with pytest.raises(WeightsError):
        load_series_kind("folder").checkpoints("mine", {"path": str(tmp_path)})


@KEPT
@given(
    value=ANY
    | st.fixed_dictionaries({}, optional={"model": ANY | st.fixed_dictionaries({"vocab": ANY}), "added_tokens": ANY})
)
def test_any_tokenizer_has_a_number_of_ids(value: Any) -> None:
    """Proves that counting the ids of a tokenizer.json never ends in a traceback, whatever it holds."""
    assert vocabulary_size(value) >= 0
