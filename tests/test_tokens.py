"""The one encoder: what a tokenizer does by itself at a text's beginning and end, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from amuro.errors import WeightsError
from amuro.tokens import Encoder


def folder(path: Path, bos: bool, config: dict[str, object]) -> Path:
    """A word-level tokenizer that may put <s> before a text, with a tokenizer_config as given."""
    words = {"<s>": 0, "</s>": 1, "yes": 2, "no": 3, "is": 4, "it": 5, "<unk>": 6}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(("bos", "expected"), [(True, (0,)), (False, ())])
def test_the_tokenizer_decides_about_bos(tmp_path: Path, bos: bool, expected: tuple[int, ...]) -> None:
    """A post-processor's first token is the BOS policy; it stands apart and is in no encoded piece."""
    encoder = Encoder.from_folder(folder(tmp_path, bos, {"eos_token": "</s>"}))
    assert encoder.bos == expected
    assert encoder.eos == 1
    assert encoder.prompts(["it is"]) == [(5, 4)]
    assert encoder.answers(["yes"]) == [(2,)]


@pytest.mark.parametrize("config", [{"eos_token": {"content": "</s>"}}, {"eos_token": "</s>"}])
def test_end_of_text_is_read_in_both_spellings(tmp_path: Path, config: dict[str, object]) -> None:
    """Older tokenizer configurations hold a table where newer ones hold a string."""
    assert Encoder.from_folder(folder(tmp_path, False, config)).eos == 1


def test_the_model_configuration_names_end_of_text_where_the_tokenizer_does_not(tmp_path: Path) -> None:
    """config.json's eos_token_id is the second place that is looked at; of a list the first counts."""
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": [1, 0]}))
    assert Encoder.from_folder(folder(tmp_path, False, {})).eos == 1


def test_a_folder_without_tokenizer_or_end_is_refused(tmp_path: Path) -> None:
    """Both errors say what to save where."""
    with pytest.raises(WeightsError, match="save_pretrained"):
        Encoder.from_folder(tmp_path)
    with pytest.raises(WeightsError, match="eos_token"):
        Encoder.from_folder(folder(tmp_path, False, {}))


@given(text=st.text(max_size=40))
def test_bytes_come_back(text: str) -> None:
    """The tokenizer of single bytes loses nothing, whatever the text."""
    encoder = Encoder.of_bytes()
    assert encoder.decode(encoder.prompts([text])[0]) == text


def test_equal_tokenizers_have_equal_digests(tmp_path: Path) -> None:
    """The digest follows the vocabulary, not the object."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = Encoder.from_folder(folder(tmp_path / "a", True, {"eos_token": "</s>"}))
    second = Encoder.from_folder(folder(tmp_path / "b", False, {"eos_token": "</s>"}))
    assert first.digest == Encoder.from_folder(tmp_path / "a").digest != second.digest
