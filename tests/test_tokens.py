"""The one encoder: what a tokenizer does by itself at a text's beginning and end, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from amuro.core.errors import DataError, WeightsError
from amuro.prompts.tokenizer import Encoder


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
    assert encoder.answers(["no"], ["yes"]) == [(2,)]


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


MARK = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
"""As in the tokenizers of Llama 2 and Mistral."""


def trained(texts: list[str], mark: bool) -> Encoder:
    """Letters joined wherever they were frequent, across spaces, too. mark: every text begins with one of its own."""
    tokenizer = Tokenizer(models.BPE())
    if mark:
        tokenizer.normalizer = MARK
    trainer = trainers.BpeTrainer(vocab_size=60, initial_alphabet=list("ab:\n ▁"), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return Encoder(tokenizer, (), 0)


def pair_by_lm_eval(encoder: Encoder, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """`TemplateLM._encode_pair` of lm_eval 0.4.13 for a context that ends with no space."""
    whole = encoder.tokenizer.encode(context + continuation, add_special_tokens=False).ids
    alone = encoder.tokenizer.encode(context, add_special_tokens=False).ids
    return alone, whole[len(alone) :]


words = st.text("ab:\n ", min_size=1, max_size=12)
asked = words.map(lambda text: text.rstrip(" ") + ":")


@settings(max_examples=150, deadline=None)
@given(
    corpus=st.lists(words, min_size=1, max_size=8),
    mark=st.booleans(),
    pairs=st.lists(st.tuples(asked, words), min_size=1, max_size=4),
)
def test_prompts_and_answers_are_parted_as_lm_eval_parts_them(
    corpus: list[str], mark: bool, pairs: list[tuple[str, str]]
) -> None:
    """Whatever a tokenizer joins across the border of prompt and answer; where nothing is left of an answer, it is
    refused by name.
    """
    encoder = trained([*corpus, *(f"{prompt} {answer}" for prompt, answer in pairs)], mark)
    expected = [pair_by_lm_eval(encoder, prompt, f" {answer}") for prompt, answer in pairs]
    prompts, answers = zip(*pairs, strict=True)
    if all(answer for _, answer in expected):
        got = zip(encoder.prompts(prompts), encoder.answers(prompts, answers), strict=True)
        assert [(list(prompt), list(answer)) for prompt, answer in got] == expected
    else:
        with pytest.raises(DataError, match="joins the answer"):
            encoder.answers(prompts, answers)


def test_a_mark_at_the_beginning_of_a_text_stands_before_no_answer() -> None:
    """A tokenizer that begins every text with a mark puts one before prompts alone: the ids are those of joint text."""
    tokenizer = Tokenizer(models.BPE({"▁": 0, "a": 1, "b": 2, ":": 3, "▁b": 4}, [("▁", "b")]))
    tokenizer.normalizer = MARK
    encoder = Encoder(tokenizer, (), 0)
    assert encoder.prompts([" b"]) == [(0, 4)]
    assert encoder.answers(["a:", "b:"], ["b", "b"]) == [(4,), (4,)]
    assert encoder.disagreements(["a:", "b:"], ["b", "b"]) == 0
