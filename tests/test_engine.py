"""The engine with weights reads, speaks, loads and saves as plain transformers: `model(ids)`, `model.generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_models import (
    CHECKPOINT,
    CONFIGS,
    CONTEXT,
    EOS,
    SHARING,
    VOCABULARY,
    make_ask,
    plain,
    training_pairs,
    tuned,
    words,
)

from amuro.core.errors import AmuroError, WeightsError
from amuro.core.hashing import tensor_digest
from amuro.core.requests import Request, RequestBatch
from amuro.engine.base import Engine
from amuro.engine.inference import batching
from amuro.engine.inference import generate as generating
from amuro.engine.inference import loglikelihood as scoring
from amuro.engine.torch import TorchEngine


def ragged_ask(seed: int, prefix: tuple[int, ...], **more: Any) -> RequestBatch:
    rng = np.random.default_rng(seed)
    requests = [
        Request(str(i), words(rng, 1, 20), tuple(words(rng, 1, 6) for _ in range(rng.integers(1, 5)))) for i in range(9)
    ]
    return make_ask(requests, prefix, **more)


@torch.no_grad()
def plain_scores(model: Any, request_batch: RequestBatch) -> list[list[float]]:
    """One option at a time, no cache, no batch."""
    return [
        [
            float(_answer_log_probabilities(model, [*request_batch.prefix, *request.context], list(option)).sum())
            for option in request.options
        ]
        for request in request_batch.requests
    ]


def _answer_log_probabilities(model: Any, context: list[int], answer: list[int]) -> torch.Tensor:
    ids = torch.tensor([context + answer[:-1]])  # a token that is only predicted lengthens no row
    log_probabilities = model(ids).logits[0].log_softmax(-1)[len(context) - 1 :]
    return log_probabilities.gather(1, torch.tensor(answer)[:, None])[:, 0]


def largest_difference(got: list[tuple[float, ...]], wanted: list[list[float]]) -> float:
    assert [len(row) for row in got] == [len(row) for row in wanted]
    return max(abs(a - b) for left, right in zip(got, wanted, strict=True) for a, b in zip(left, right, strict=True))


def decode(ids: Any) -> str:
    return "".join(f" {token}" for token in ids if token != EOS)


# -- scores


@pytest.mark.parametrize("prefix", [(), (0, 5, 9, 5, 33, 2, 7)], ids=["bare", "prefix"])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_scores_equal_plain_reading(
    name: str, prefix: tuple[int, ...], folders: dict[str, Path], engine_of: Callable[[str], TorchEngine]
) -> None:
    """Shared prefixes and branches give each option the log-probability that it has alone, in every architecture."""
    request_batch = ragged_ask(1, prefix)
    assert (
        largest_difference(engine_of(name).score(request_batch), plain_scores(plain(folders[name]), request_batch))
        <= 1e-4
    )


def test_only_known_attention_shares_contexts(engine_of: Callable[[str], TorchEngine]) -> None:
    """Soft-capped and sliding attention take the plain path, the listed architectures do not."""
    shares = {name: engine_of(name)._live().supports_packing(20) for name in CONFIGS}
    assert shares == {name: name in SHARING for name in CONFIGS}
    assert engine_of("mistral_window")._live().supports_packing(6)


def test_a_plain_way_is_told_of(engine_of: Callable[[str], TorchEngine]) -> None:
    """Whose rows are read one by one, always or beyond a window, is said by name; nothing is said of the others."""
    remarks = {name: " ".join(engine_of(name).remarks()) for name in CONFIGS}
    assert {name for name, remark in remarks.items() if remark} == CONFIGS.keys() - SHARING
    assert "longrope" in remarks["llama_longrope"]
    assert all(name in remarks[name] for name in ("gemma2", "gpt2"))
    assert "6 tokens" in remarks["mistral_window"]


ids_strategy = st.lists(st.integers(2, VOCABULARY - 1), min_size=1, max_size=8).map(tuple)
query_strategy = st.builds(
    Request, st.just("q"), ids_strategy, st.lists(ids_strategy, min_size=1, max_size=4).map(tuple)
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(query_strategy, min_size=1, max_size=6), prefix=st.just(()) | ids_strategy)
def test_any_ask_is_scored_as_alone(
    engine: TorchEngine, folders: dict[str, Path], requests: list[Request], prefix: tuple[int, ...]
) -> None:
    """No mixture of lengths, options and prefix changes a score."""
    request_batch = make_ask(requests, prefix)
    assert largest_difference(engine.score(request_batch), plain_scores(engine._live().model, request_batch)) <= 1e-4


@pytest.mark.parametrize(
    "limit", [("_TOKENS", {"cpu": 1}), ("_LOGITS", {"cpu": 1})], ids=["one row a batch", "one logit row"]
)
def test_scores_do_not_depend_on_batches(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, Any]
) -> None:
    """The batch budget and the size of the logit pieces change no score and no order."""
    request_batch = ragged_ask(2, (0, 4, 4))
    before = engine.score(request_batch)
    monkeypatch.setattr(scoring, *limit)
    assert largest_difference(engine.score(request_batch), [list(row) for row in before]) <= 1e-4


def test_document_is_scored_from_beginning_of_text(engine: TorchEngine) -> None:
    """A whole text after BOS alone has the summed log-probability of all its tokens."""
    text = words(np.random.default_rng(5), 40, 40)
    request_batch = make_ask([Request("d", (0,), (text,))])
    assert engine.score(request_batch)[0][0] == pytest.approx(
        plain_scores(engine._live().model, request_batch)[0][0], abs=1e-4
    )


@pytest.mark.parametrize(
    ("refused", "words_of_error"),
    [
        (Request("q7", (), ((3,),)), "q7"),
        (Request("q7", (3,), ((),)), "q7"),
        (Request("q7", (3,), ()), "q7"),
        (Request("q7", (3,) * CONTEXT, ((4, 4),)), str(CONTEXT + 1)),
    ],
    ids=["empty context", "empty option", "no option", "too long"],
)
def test_what_cannot_be_scored_is_refused(engine: TorchEngine, refused: Request, words_of_error: str) -> None:
    """An empty context or option and a row longer than the context stop with the query or its length."""
    with pytest.raises(AmuroError, match=words_of_error):
        engine.score(make_ask([refused]))


def test_a_full_context_is_scored(engine: TorchEngine) -> None:
    """The last token of an option is never fed, so context and option may have one token more than the model reads."""
    request_batch = make_ask([Request("q", (3,) * (CONTEXT - 1), ((4, 4),))])
    assert largest_difference(engine.score(request_batch), plain_scores(engine._live().model, request_batch)) <= 1e-4


def test_broken_weights_give_an_error_not_a_score(engine: TorchEngine) -> None:
    """NaN never becomes a log-probability that an argmax would take."""
    with torch.no_grad():
        engine._live().model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(AmuroError, match="NaN"):
        engine.score(ragged_ask(1, ()))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_absurd_logits_give_an_error_not_a_score(name: str, engine_of: Callable[[str], TorchEngine]) -> None:
    """A head times 10³⁶ gives finite numbers that no model means: refused; times 30 it is scored."""
    engine = engine_of(name)
    head = engine._live().model.get_output_embeddings().weight
    with torch.no_grad():
        head.mul_(30)
    assert min(min(row) for row in engine.score(ragged_ask(1, ()))) < -100
    with torch.no_grad():
        head.mul_(1e34)
    with pytest.raises(AmuroError, match=r"(e\+3|NaN).* as a log-probability"):
        engine.score(ragged_ask(1, ()))


def test_infinite_logits_give_an_error_not_a_score(engine: TorchEngine) -> None:
    """A logit of minus infinity is no answer of a sound model: it is refused by name."""
    head = engine._live().model.get_output_embeddings()
    head.register_forward_hook(lambda _, __, logits: logits.index_fill(-1, torch.tensor([7]), float("-inf")))
    try:
        with pytest.raises(AmuroError, match="infinity"):
            engine.score(make_ask([Request("q", (3, 4), ((7,), (8,)))]))
    finally:
        head._forward_hooks.clear()


def test_bfloat16_scores_near_float32(folders: dict[str, Path]) -> None:
    """Autocast changes scores a little and leaves the weights in float32."""
    request_batch = ragged_ask(3, (0, 9))
    half = TorchEngine("bfloat16", "cpu", 1)
    half.load(CHECKPOINT, folders["llama"])
    difference = largest_difference(half.score(request_batch), plain_scores(plain(folders["llama"]), request_batch))
    assert 0 < difference < 2.0
    assert {p.dtype for p in half._live().model.parameters()} == {torch.float32}


# -- generation


@pytest.mark.parametrize("prefix", [(), (0, 5, 9, 5, 33, 2, 7)], ids=["bare", "prefix"])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_texts_equal_generate_of_transformers(
    name: str, prefix: tuple[int, ...], folders: dict[str, Path], engine_of: Callable[[str], TorchEngine]
) -> None:
    """Rows that share a prefix and a batch say what `model.generate` says to each alone, up to the stop string."""
    stop, new = (" 17", " 23", " 31"), 14
    request_batch = ragged_ask(4, prefix, stop=stop, new=new)
    model = plain(folders[name])
    for request, got in zip(request_batch.requests, engine_of(name).generate(request_batch, decode), strict=True):
        ids = torch.tensor([[*prefix, *request.context]])
        said = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, pad_token_id=0
        )
        text = decode(said[0, ids.shape[1] :].tolist())
        cut = min((text.index(s) for s in stop if s in text), default=len(text))
        assert got.text == text[:cut]
        assert got.stopped == (cut < len(text) or EOS in said[0, ids.shape[1] :].tolist())


def test_rows_stop_each_on_its_own(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows one after another, or few at a time so that who stops is replaced, say what all say together."""
    request_batch = ragged_ask(6, (0, 2), stop=(" 17", " 5"), new=20)
    together = engine.generate(request_batch, decode)
    assert len({generation.tokens for generation in together}) > 2, "the rows should leave at different steps"
    for rows in (1, 4):
        monkeypatch.setattr(generating, "_ROWS", {"cpu": rows})
        assert engine.generate(request_batch, decode) == together


def test_an_empty_stop_is_refused(engine: TorchEngine) -> None:
    """A text that every text begins with would stop all: it is named instead."""
    with pytest.raises(AmuroError, match="empty text"):
        engine.generate(make_ask([Request("q", (3, 4))], stop=("",), new=4), decode)


def test_a_stop_that_ends_in_a_space_is_seen(engine: TorchEngine) -> None:
    """Decoders that drop a leading space make a lone space nothing: every token may complete such a stop."""
    pieces = {5: "Q", 6: ":", 7: " ", 8: " foo"}
    stopped = generating._Stop(frozenset(), ("Q: ",), lambda ids: "".join(pieces[i] for i in ids).removeprefix(" "))
    assert [stopped([5, 6, 7, 8][:length]) for length in range(5)] == [False, False, False, True, True]


@pytest.mark.parametrize("name", ["olmo2", "gemma2"])
def test_generation_ends_at_the_limit_and_at_the_end_of_the_context(
    name: str, engine_of: Callable[[str], TorchEngine]
) -> None:
    """A row that nothing stops says `max_new_tokens` tokens, or fewer where the context is full; read either way."""
    engine = engine_of(name)
    free, full = Request("free", (3, 4)), Request("full", (3,) * (CONTEXT - 4))
    got = engine.generate(make_ask([free, full], new=6), lambda ids: "x" * len(ids))
    assert [(g.tokens, g.stopped, g.text) for g in got] == [(6, False, "x" * 6), (5, False, "x" * 5)]


def test_end_of_text_stops_and_is_not_said(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model tuned to answer and stop does so: text without end-of-text, which counts as a token."""
    engine = TorchEngine("float32", "cpu", 1)
    engine.load(CHECKPOINT, folders["llama"])
    pairs = [((5, 6, 7), (40, 41, EOS)), ((8, 9), (42, EOS))] * 4
    engine.tune(pairs, tuned(epochs=20, batch_size=4), 1e-2, lambda *_: None)
    got = engine.generate(make_ask([Request("a", (5, 6, 7)), Request("b", (8, 9))], new=10), decode)
    assert [(g.text, g.stopped, g.tokens) for g in got] == [(" 40 41", True, 3), (" 42", True, 2)]


def test_too_long_a_prompt_is_refused(engine: TorchEngine) -> None:
    """A prompt that leaves no room for a word stops with its length."""
    with pytest.raises(AmuroError, match=str(CONTEXT)):
        engine.generate(make_ask([Request("q", (3,) * CONTEXT)], new=1), decode)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200))
def test_batches_hold_all_rows_within_the_budget(lengths: list[int], budget: int) -> None:
    """Slices cover all rows in order; each keeps the budget or is a single row."""
    chosen = [list(range(len(lengths)))[part] for part in batching.batches(lengths, budget)]
    assert [row for rows in chosen for row in rows] == list(range(len(lengths)))
    assert all(len(rows) == 1 or sum(lengths[row] for row in rows) <= budget for rows in chosen)


# -- loading and saving


def copy_with(folder: Path, target: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of a checkpoint folder whose tensors `change` has had its way with."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def rename(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.layers.0.mlp.renamed.weight"] = tensors.pop("model.layers.0.mlp.up_proj.weight")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("model.layers.1.self_attn.q_proj.weight"), "layers.1.self_attn.q_proj"),
        (lambda t: t.pop("model.norm.weight"), "model.norm"),
        (lambda t: t.pop("lm_head.weight"), "lm_head"),
        (rename, "up_proj"),
        (lambda t: t.update({"model.norm.weight": torch.ones(7)}), "model"),
        (lambda t: t["model.norm.weight"].fill_(float("nan")), "model.norm.weight.*NaN"),
    ],
    ids=["missing", "missing norm", "missing head", "renamed", "reshaped", "nan"],
)
def test_wrong_tensors_are_refused(folders: dict[str, Path], tmp_path: Path, change: Any, named: str) -> None:
    """A tensor that is missing, renamed, of another shape or not finite stops loading by name: no random weights."""
    folder = copy_with(folders["llama"], tmp_path / "broken", change)
    with pytest.raises(WeightsError, match=named):
        TorchEngine("float32", "cpu", 1).load(CHECKPOINT, folder)


def test_a_truncated_file_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """A file that ends early is a WeightsError that names it."""
    folder = copy_with(folders["llama"], tmp_path / "short", lambda tensors: None)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="safetensors"):
        TorchEngine("float32", "cpu", 1).load(CHECKPOINT, folder)


def test_half_precision_files_are_read_exactly(folders: dict[str, Path], tmp_path: Path) -> None:
    """Weights saved in bfloat16 become the same numbers in float32."""

    def halve(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})

    folder = copy_with(folders["llama"], tmp_path / "half", halve)
    engine = TorchEngine("float32", "cpu", 1)
    engine.load(CHECKPOINT, folder)
    weight = engine._live().model.model.norm.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, load_file(folder / "model.safetensors")["model.norm.weight"].float())


def test_a_checkpoint_without_folder_is_refused() -> None:
    """The torch engine says that a toy series needs the toy engine; an unloaded one says what to call."""
    engine = TorchEngine("float32", "cpu", 1)
    with pytest.raises(WeightsError, match="toy engine"):
        engine.load(CHECKPOINT, None)
    with pytest.raises(AmuroError, match="load"):
        engine.reset()


@pytest.mark.parametrize(("precision", "device"), [("float16", "cpu"), ("float32", "tpu")])
def test_unknown_precision_and_device_are_refused(precision: str, device: str) -> None:
    """What the engine cannot compute with is named before anything is loaded."""
    with pytest.raises(AmuroError, match=f"{precision}.*not known|{device}.*not here"):
        TorchEngine(precision, device, 1)


def test_saved_weights_are_an_ordinary_folder(engine: TorchEngine, folders: dict[str, Path], tmp_path: Path) -> None:
    """What save writes is read by transformers alone, gives the tuned scores, and has the digest that was recorded."""
    (folders["olmo2"] / "tokenizer.json").write_text("{}")
    engine.tune(training_pairs(), tuned(), 1e-2, lambda *_: None)
    engine.save(tmp_path / "saved")
    request_batch = ragged_ask(9, ())
    assert (
        largest_difference(engine.score(request_batch), plain_scores(plain(tmp_path / "saved"), request_batch)) <= 1e-4
    )
    assert tensor_digest(tmp_path / "saved") == engine.weights_digest() != tensor_digest(folders["olmo2"])
    assert (tmp_path / "saved" / "tokenizer.json").read_text() == "{}"
    engine.reset()
    assert engine.weights_digest() == tensor_digest(folders["olmo2"])


def test_size_and_meaning_are_stated(engine_of: Callable[[str], TorchEngine]) -> None:
    """FLOPs count every matrix that a token meets, a tied head once as head."""
    layer = 4 * 32 * 32 + 3 * 32 * 48
    for name in ("olmo", "olmo2"):
        engine: Engine = engine_of(name)
        assert engine.flops_per_token() == 2 * (2 * layer + 32 * VOCABULARY)
        assert engine.context_length() == CONTEXT
