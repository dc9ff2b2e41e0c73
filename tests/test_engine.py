"""The engine with weights, against plain transformers: `model(ids)`, `model.generate`, a padded training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OlmoConfig,
    Qwen2Config,
    Qwen3Config,
    get_linear_schedule_with_warmup,
    get_scheduler,
)

from amuro.engine import finetune as finetuning
from amuro.engine import generate as generating
from amuro.engine import graphs, layout
from amuro.engine import score as scoring
from amuro.engine.protocol import Engine
from amuro.engine.torch_engine import TorchEngine
from amuro.errors import AmuroError, WeightsError
from amuro.identity import tensor_digest
from amuro.types import Ask, Cell, Checkpoint, EvalSet, Model, Query, Recipe

VOCABULARY, EOS, CONTEXT = 61, 1, 96
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": EOS,
    "pad_token_id": None,
    "initializer_range": 0.3,  # large, so that a wrong mask or position shows
}
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "olmo": OlmoConfig(**SIZES),
    "olmo2": Olmo2Config(**SIZES, tie_word_embeddings=True),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2),
    "mistral_window": MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=6),
    "llama_longrope": LlamaConfig(
        **SIZES,
        num_key_value_heads=2,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "original_max_position_embeddings": 24,
            "short_factor": [1.0] * 4,
            "long_factor": [1.0, 2.0, 4.0, 8.0],
        },
    ),
    "gemma2": Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=8, sliding_window=6),
}
SHARING = [name for name in CONFIGS if name not in ("mistral_window", "llama_longrope", "gemma2")]
CHECKPOINT = Checkpoint("tiny", 1, 1, 1, "constant", "file:tiny")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoint folders of tiny random models, one an architecture."""
    root = tmp_path_factory.mktemp("models")
    torch.set_num_threads(1)
    for name, config in CONFIGS.items():
        torch.manual_seed(3)
        AutoModelForCausalLM.from_config(config).save_pretrained(root / name)
    return {name: root / name for name in CONFIGS}


@pytest.fixture(scope="module")
def engine_of(folders: dict[str, Path]) -> Callable[[str], TorchEngine]:
    """Engines by architecture, each loaded once and handed out at its own weights."""
    engines: dict[str, TorchEngine] = {}

    def of(name: str) -> TorchEngine:
        if name not in engines:
            engines[name] = TorchEngine("float32", "cpu", 1)
            engines[name].load(CHECKPOINT, folders[name])
        engines[name].reset()
        return engines[name]

    return of


@pytest.fixture
def engine(engine_of: Callable[[str], TorchEngine]) -> TorchEngine:
    """The architecture of the embedded world."""
    return engine_of("olmo2")


def plain(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def words(rng: np.random.Generator, least: int, most: int) -> tuple[int, ...]:
    return tuple(rng.integers(2, VOCABULARY, rng.integers(least, most + 1)).tolist())


def make_ask(queries: list[Query], prefix: tuple[int, ...] = (), stop: tuple[str, ...] = (), new: int = 0) -> Ask:
    cell = Cell(Model(CHECKPOINT), EvalSet("t", "test"), "default", 0, 0, "", "p", len(queries), "float32", "cpu")
    return Ask(cell, prefix, tuple(queries), stop, new)


def ragged_ask(seed: int, prefix: tuple[int, ...], **more: Any) -> Ask:
    rng = np.random.default_rng(seed)
    queries = [
        Query(str(i), words(rng, 1, 20), tuple(words(rng, 1, 6) for _ in range(rng.integers(1, 5)))) for i in range(9)
    ]
    return make_ask(queries, prefix, **more)


@torch.no_grad()
def plain_scores(model: Any, ask: Ask) -> list[list[float]]:
    """One option at a time, no cache, no batch."""
    return [
        [
            float(_answer_log_probabilities(model, [*ask.prefix, *query.context], list(option)).sum())
            for option in query.options
        ]
        for query in ask.queries
    ]


def _answer_log_probabilities(model: Any, context: list[int], answer: list[int]) -> torch.Tensor:
    ids = torch.tensor([context + answer])
    log_probabilities = model(ids).logits[0].log_softmax(-1)[len(context) - 1 : -1]
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
    ask = ragged_ask(1, prefix)
    assert largest_difference(engine_of(name).score(ask), plain_scores(plain(folders[name]), ask)) <= 1e-4


def test_only_known_attention_shares_contexts(engine_of: Callable[[str], TorchEngine]) -> None:
    """Soft-capped and sliding attention take the plain path, the listed architectures do not."""
    shares = {name: engine_of(name)._live().reads_layouts(20) for name in CONFIGS}
    assert shares == {name: name in SHARING for name in CONFIGS}
    assert engine_of("mistral_window")._live().reads_layouts(6)


def test_a_plain_way_is_told_of(engine_of: Callable[[str], TorchEngine]) -> None:
    """Whose rows are read one by one, always or beyond a window, is said by name; nothing is said of the others."""
    remarks = {name: " ".join(engine_of(name).remarks()) for name in CONFIGS}
    assert {name for name, remark in remarks.items() if remark} == {"gemma2", "llama_longrope", "mistral_window"}
    assert "longrope" in remarks["llama_longrope"]
    assert "gemma2" in remarks["gemma2"]
    assert "6 tokens" in remarks["mistral_window"]


ids_strategy = st.lists(st.integers(2, VOCABULARY - 1), min_size=1, max_size=8).map(tuple)
query_strategy = st.builds(Query, st.just("q"), ids_strategy, st.lists(ids_strategy, min_size=1, max_size=4).map(tuple))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(queries=st.lists(query_strategy, min_size=1, max_size=6), prefix=st.just(()) | ids_strategy)
def test_any_ask_is_scored_as_alone(
    engine: TorchEngine, folders: dict[str, Path], queries: list[Query], prefix: tuple[int, ...]
) -> None:
    """No mixture of lengths, options and prefix changes a score."""
    ask = make_ask(queries, prefix)
    assert largest_difference(engine.score(ask), plain_scores(engine._live().model, ask)) <= 1e-4


@pytest.mark.parametrize(
    "limit", [("_TOKENS", {"cpu": 1}), ("_LOGITS", {"cpu": 1})], ids=["one row a batch", "one logit row"]
)
def test_scores_do_not_depend_on_batches(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, Any]
) -> None:
    """The batch budget and the size of the logit pieces change no score and no order."""
    ask = ragged_ask(2, (0, 4, 4))
    before = engine.score(ask)
    monkeypatch.setattr(scoring, *limit)
    assert largest_difference(engine.score(ask), [list(row) for row in before]) <= 1e-4


def test_document_is_scored_from_beginning_of_text(engine: TorchEngine) -> None:
    """A whole text after BOS alone has the summed log-probability of all its tokens."""
    text = words(np.random.default_rng(5), 40, 40)
    ask = make_ask([Query("d", (0,), (text,))])
    assert engine.score(ask)[0][0] == pytest.approx(plain_scores(engine._live().model, ask)[0][0], abs=1e-4)


@pytest.mark.parametrize(
    ("query", "words_of_error"),
    [
        (Query("q7", (), ((3,),)), "q7"),
        (Query("q7", (3,), ((),)), "q7"),
        (Query("q7", (3,), ()), "q7"),
        (Query("q7", (3,) * CONTEXT, ((4, 4),)), str(CONTEXT + 1)),
    ],
    ids=["empty context", "empty option", "no option", "too long"],
)
def test_what_cannot_be_scored_is_refused(engine: TorchEngine, query: Query, words_of_error: str) -> None:
    """An empty context or option and a row longer than the context stop with the query or its length."""
    with pytest.raises(AmuroError, match=words_of_error):
        engine.score(make_ask([query]))


def test_a_full_context_is_scored(engine: TorchEngine) -> None:
    """The last token of an option is never fed, so context and option may have one token more than the model reads."""
    ask = make_ask([Query("q", (3,) * (CONTEXT - 1), ((4, 4),))])
    assert largest_difference(engine.score(ask), plain_scores(engine._live().model, ask)) <= 1e-4


def test_broken_weights_give_an_error_not_a_score(engine: TorchEngine) -> None:
    """NaN never becomes a log-probability that an argmax would take."""
    with torch.no_grad():
        engine._live().model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(AmuroError, match="NaN"):
        engine.score(ragged_ask(1, ()))


def test_infinite_logits_give_an_error_not_a_score(engine: TorchEngine) -> None:
    """A logit of minus infinity is no answer of a sound model: it is refused by name."""
    head = engine._live().model.get_output_embeddings()
    head.register_forward_hook(lambda _, __, logits: logits.index_fill(-1, torch.tensor([7]), float("-inf")))
    try:
        with pytest.raises(AmuroError, match="infinity"):
            engine.score(make_ask([Query("q", (3, 4), ((7,), (8,)))]))
    finally:
        head._forward_hooks.clear()


def test_bfloat16_scores_near_float32(folders: dict[str, Path]) -> None:
    """Autocast changes scores a little and leaves the weights in float32."""
    ask = ragged_ask(3, (0, 9))
    half = TorchEngine("bfloat16", "cpu", 1)
    half.load(CHECKPOINT, folders["llama"])
    difference = largest_difference(half.score(ask), plain_scores(plain(folders["llama"]), ask))
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
    ask = ragged_ask(4, prefix, stop=stop, new=new)
    model = plain(folders[name])
    for query, got in zip(ask.queries, engine_of(name).generate(ask, decode), strict=True):
        ids = torch.tensor([[*prefix, *query.context]])
        said = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, pad_token_id=0
        )
        text = decode(said[0, ids.shape[1] :].tolist())
        cut = min((text.index(s) for s in stop if s in text), default=len(text))
        assert got.text == text[:cut]
        assert got.stopped == (cut < len(text) or EOS in said[0, ids.shape[1] :].tolist())


def test_rows_stop_each_on_its_own(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows one after another, or few at a time so that who stops is replaced, say what all say together."""
    ask = ragged_ask(6, (0, 2), stop=(" 17", " 5"), new=20)
    together = engine.generate(ask, decode)
    assert len({generation.tokens for generation in together}) > 2, "the rows should leave at different steps"
    for rows in (1, 4):
        monkeypatch.setattr(generating, "_ROWS", {"cpu": rows})
        assert engine.generate(ask, decode) == together


def test_an_empty_stop_is_refused(engine: TorchEngine) -> None:
    """A text that every text begins with would stop all: it is named instead."""
    with pytest.raises(AmuroError, match="empty text"):
        engine.generate(make_ask([Query("q", (3, 4))], stop=("",), new=4), decode)


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
    free, full = Query("free", (3, 4)), Query("full", (3,) * (CONTEXT - 4))
    got = engine.generate(make_ask([free, full], new=6), lambda ids: "x" * len(ids))
    assert [(g.tokens, g.stopped, g.text) for g in got] == [(6, False, "x" * 6), (5, False, "x" * 5)]


def test_end_of_text_stops_and_is_not_said(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model tuned to answer and stop does so: text without end-of-text, which counts as a token."""
    engine = TorchEngine("float32", "cpu", 1)
    engine.load(CHECKPOINT, folders["llama"])
    pairs = [((5, 6, 7), (40, 41, EOS)), ((8, 9), (42, EOS))] * 4
    engine.tune(pairs, tuned(epochs=20, batch_size=4), 1e-2, lambda *_: None)
    got = engine.generate(make_ask([Query("a", (5, 6, 7)), Query("b", (8, 9))], new=10), decode)
    assert [(g.text, g.stopped, g.tokens) for g in got] == [(" 40 41", True, 3), (" 42", True, 2)]


def test_too_long_a_prompt_is_refused(engine: TorchEngine) -> None:
    """A prompt that leaves no room for a word stops with its length."""
    with pytest.raises(AmuroError, match=str(CONTEXT)):
        engine.generate(make_ask([Query("q", (3,) * CONTEXT)], new=1), decode)


# -- tuning


def tuned(**changes: Any) -> Model:
    seed = changes.pop("tune_seed", 7)
    recipe = Recipe("r", (("t", 1.0),), rows=20, epochs=2, learning_rates=(1e-2,), batch_size=4)
    return Model(CHECKPOINT, replace(recipe, **changes), "digest", seed)


def training_pairs(count: int = 18) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    rng = np.random.default_rng(11)
    return [(words(rng, 2, 20), (*words(rng, 1, 5), EOS)) for _ in range(count)]


def reference_losses(model: Any, pairs: list[Any], described: Model, learning_rate: float) -> list[float]:
    """A padded batch, all logits, labels of -100 outside the answer, unfused AdamW, transformers' schedule."""
    recipe = described.recipe
    assert recipe is not None
    order = finetuning.step_order(len(pairs), recipe.batch_size, recipe.epochs, described.tune_seed or 0)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=learning_rate,
    )
    warmup = math.ceil(recipe.warmup_ratio * len(order))
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, len(order))
    losses = []
    for members in order:
        loss = _padded_loss(model, [pairs[i] for i in members], recipe.weighting)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def _padded_loss(model: Any, batch: list[Any], weighting: str) -> torch.Tensor:
    longest = max(sum(map(len, dialogue)) for dialogue in batch)
    ids, mask, labels = (torch.full((len(batch), longest), fill) for fill in (0, 0, -100))
    for row, dialogue in enumerate(batch):
        at = 0
        for turn, part in enumerate(dialogue):
            ids[row, at : at + len(part)] = torch.tensor(part)
            if turn % 2:
                labels[row, at : at + len(part)] = torch.tensor(part)
            at += len(part)
        mask[row, :at] = 1
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    nats = cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none")
    if weighting == "token":
        return nats.sum() / (labels[:, 1:] != -100).sum()
    return (nats.sum(1) / (labels[:, 1:] != -100).sum(1)).mean()


@pytest.mark.parametrize("weighting", ["token", "example"])
@pytest.mark.parametrize("name", ["llama", "olmo2", "gpt_neox", "gemma2"])
def test_loss_curve_equals_a_plain_loop(
    name: str, weighting: Any, folders: dict[str, Path], engine_of: Callable[[str], TorchEngine]
) -> None:
    """Head on answers only, no padding mask and fused AdamW change no loss of the whole curve."""
    described = tuned(weighting=weighting, weight_decay=0.1, warmup_ratio=0.2)
    training = engine_of(name).tune(training_pairs(), described, 3e-3, lambda *_: None)
    engine_of(name).reset()
    wanted = reference_losses(plain(folders[name]), training_pairs(), described, 3e-3)
    assert training.losses == pytest.approx(wanted, abs=1e-5)
    assert (training.steps, training.diverged_at) == (10, None)


@pytest.mark.parametrize("weighting", ["token", "example"])
def test_every_answer_of_a_dialogue_is_learned(
    weighting: Any, folders: dict[str, Path], engine_of: Callable[[str], TorchEngine]
) -> None:
    """Dialogues of several turns among single questions give the loss curve of labels on every answer."""
    rng, pairs = np.random.default_rng(12), training_pairs()
    dialogues = [(*pair, words(rng, 2, 6), (*words(rng, 1, 4), EOS)) if i % 3 else pair for i, pair in enumerate(pairs)]
    training = engine_of("olmo2").tune(dialogues, tuned(weighting=weighting), 3e-3, lambda *_: None)
    wanted = reference_losses(plain(folders["olmo2"]), dialogues, tuned(weighting=weighting), 3e-3)
    assert training.losses == pytest.approx(wanted, abs=1e-5)
    assert training.answer_tokens == 2 * sum(len(answer) for dialogue in dialogues for answer in dialogue[1::2])


def test_a_dialogue_too_long_loses_its_first_turns() -> None:
    """Whole turns go from the front before the last prompt is cut from the left."""
    turns = ((2, 3), (4, 1), (5, 6, 7), (8, 1))
    assert finetuning.fit([turns], 6) == [((5, 6, 7), (8, 1))]
    assert finetuning.fit([turns], 4) == [((6, 7), (8, 1))]
    assert finetuning.fit([turns], 9) == [turns]


def test_an_answer_too_long_loses_its_end() -> None:
    """Some replies of real dialogues outgrow any context: they are learned as far as they fit, after a prompt of half
    the room at the most, and without the end-of-text that they did not reach.
    """
    turns = ((2, 3), (4, 1), (5, 6, 7, 8), (9,) * 9 + (1,))
    assert finetuning.fit([turns], 6) == [((6, 7, 8), (9, 9, 9))]
    assert finetuning.fit([((5,), (9,) * 9 + (1,))], 6) == [((5,), (9,) * 5)]


def test_weightings_differ(engine: TorchEngine) -> None:
    """Answers of unequal length weigh differently by token and by example, so the choice cannot be ignored."""
    curves = [
        engine.tune(training_pairs(), tuned(weighting=w), 3e-3, lambda *_: None).losses for w in ("token", "example")
    ]
    assert abs(curves[0][0] - curves[1][0]) > 1e-3


def test_tuning_does_not_depend_on_micro_batches(engine: TorchEngine) -> None:
    """One sequence a forward pass gives the losses and weights of a whole step a pass."""
    found = []
    for budget in (1, 10_000):
        engine.reset()
        network = engine._live()
        losses = finetuning.finetune(network, training_pairs(), tuned(), 3e-3, lambda *_: None, budget).losses
        found.append((losses, [p.detach().clone() for p in network.model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert max(float((a - b).abs().max()) for a, b in zip(found[0][1], found[1][1], strict=True)) < 1e-4


def test_forgetful_layers_change_nothing(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is short, layers compute their states again, and the losses stay the same."""
    wanted = engine.tune(training_pairs(), tuned(), 3e-3, lambda *_: None).losses
    network, again = engine._live(), []
    monkeypatch.setattr(type(network), "free_memory", lambda _: 1)
    network.model.model.layers[0].register_forward_hook(lambda layer, *_: again.append(layer.gradient_checkpointing))
    assert engine.tune(training_pairs(), tuned(), 3e-3, lambda *_: None).losses == pytest.approx(wanted, abs=1e-5)
    assert all(again)
    assert not network.model.model.layers[0].gradient_checkpointing
    network.model.model.layers[0]._forward_hooks.clear()


@pytest.mark.parametrize("name", SHARING)
def test_padding_to_a_recorded_shape_changes_nothing(name: str, engine_of: Callable[[str], TorchEngine]) -> None:
    """A step padded to a shape that CUDA graphs share, with fewer rows than others, has its own loss and gradient."""
    network, step = engine_of(name)._live(), training_pairs()[:3]
    parameters = list(network.model.parameters())
    weights = finetuning.answer_weights(step, step, "example")
    arrays = graphs.padded(finetuning.pass_of(step, weights), rows=5, longest=40)
    assert len(arrays["ids"]) > sum(len(part) for dialogue in step for part in dialogue)
    assert arrays["gather"].shape[0] == 6
    found = []
    for backward in (
        lambda: finetuning._backward(network, step, "example", 10_000),
        lambda: graphs.backward(network, {key: torch.from_numpy(value) for key, value in arrays.items()}),
    ):
        network.model.zero_grad()
        found.append((float(backward()), [p.grad.clone() for p in parameters if p.grad is not None]))
    network.model.zero_grad()
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert len(found[0][1]) == len(found[1][1])
    assert max(float((a - b).abs().max()) for a, b in zip(found[0][1], found[1][1], strict=True)) < 1e-4


def test_seed_decides_the_weights_and_reset_restores_them(engine: TorchEngine) -> None:
    """Same seed, same bits, whatever was tuned in between; reset brings back the checkpoint's own."""
    own = engine.weights_digest()
    digests = []
    for seed in (1, 2, 1):
        engine.tune(training_pairs(), tuned(tune_seed=seed), 3e-3, lambda *_: None)
        digests.append(engine.weights_digest())
    assert digests[0] == digests[2]
    assert len({own, *digests}) == 3
    engine.reset()
    assert engine.weights_digest() == own


def test_adapters_train_merge_and_leave(engine: TorchEngine) -> None:
    """LoRA lowers the loss, leaves an ordinary model of the same tensors, and norms and embeddings as they were."""
    own = {name: p.detach().clone() for name, p in engine._live().model.named_parameters()}
    described = tuned(method="lora", epochs=8)
    first = engine.tune(training_pairs(), described, 2e-2, lambda *_: None)
    digest = engine.weights_digest()
    live = dict(engine._live().model.named_parameters())
    changed = {name for name in own if not torch.equal(own[name], live[name])}
    assert first.losses[-1] < first.losses[0] - 0.5
    assert list(live) == list(own)
    assert changed == {n for n in own if n.endswith(("_proj.weight",))}
    assert all(p.requires_grad for p in live.values())
    assert engine.tune(training_pairs(), described, 2e-2, lambda *_: None).losses == first.losses
    assert engine.weights_digest() == digest
    engine.reset()
    assert all(torch.equal(own[name], p) for name, p in engine._live().model.named_parameters())


def test_steps_and_tokens_are_counted(engine: TorchEngine) -> None:
    """Progress is told after each step, and tokens count prompts and answers of all epochs without padding."""
    told: list[tuple[int, int, float]] = []
    pairs = training_pairs(10)
    training = engine.tune(pairs, tuned(epochs=3), 1e-3, lambda *step: told.append(step))
    assert told == [(i + 1, 9, loss) for i, loss in enumerate(training.losses)]
    assert training.answer_tokens == 3 * sum(len(a) for _, a in pairs)
    assert training.tokens == 3 * sum(len(p) + len(a) for p, a in pairs)


def test_diverging_tuning_stops_and_says_where(engine: TorchEngine) -> None:
    """At an absurd rate training ends at the first non-finite step, with the finite losses that were applied."""
    training = engine.tune(training_pairs(), tuned(epochs=4, warmup_ratio=0.0), 1e30, lambda *_: None)
    assert training.diverged_at == training.steps == len(training.losses) < 20
    assert all(map(math.isfinite, training.losses))


def test_a_step_that_is_not_finite_is_not_applied(engine: TorchEngine) -> None:
    """With one infinite weight the very first step diverges, and no weight is touched."""
    network = engine._live()
    with torch.no_grad():
        network.model.model.layers[0].mlp.up_proj.weight[0, 0] = float("inf")
    before = engine.weights_digest()
    training = finetuning.finetune(network, training_pairs(), tuned(), 1e-3, lambda *_: None)
    assert (training.diverged_at, training.losses, training.tokens) == (0, (), 0)
    assert engine.weights_digest() == before


def test_long_prompts_are_cut_from_the_left_and_counted(engine_of: Callable[[str], TorchEngine]) -> None:
    """What is cut is the beginning of the prompt; the answer stays whole, and the training says how many were cut."""
    pairs = [((1, 2, 3, 4, 5), (8, 9)), ((6, 7), (8,))]
    assert finetuning.fit(pairs, max_length=4) == [((4, 5), (8, 9)), ((6, 7), (8,))]
    assert engine_of("olmo2").tune(pairs, tuned(max_length=4), 1e-3, lambda *_: None).truncated == 1


@pytest.mark.parametrize(
    "pairs",
    [[], [((), (3, EOS))], [((3,), ())]],
    ids=["nothing", "empty prompt", "empty answer"],
)
def test_what_cannot_be_learned_is_refused(engine: TorchEngine, pairs: list[Any]) -> None:
    """No rows or an empty side stop before the first step."""
    with pytest.raises(AmuroError):
        engine.tune(pairs, tuned(), 1e-3, lambda *_: pytest.fail("a step was taken"))


def test_a_base_cannot_be_tuned(engine: TorchEngine) -> None:
    """A model without a recipe is refused by name."""
    with pytest.raises(AmuroError, match="tiny@1 has no recipe"):
        engine.tune(training_pairs(), Model(CHECKPOINT), 1e-3, lambda *_: None)


@given(steps=st.integers(1, 400), ratio=st.floats(0, 0.5), schedule=st.sampled_from(["linear", "constant"]))
@settings(max_examples=40, deadline=None)
def test_schedule_is_that_of_transformers(steps: int, ratio: float, schedule: Any) -> None:
    """The rate of every step equals transformers' schedule of the same name with the same warm-up."""
    recipe = tuned(warmup_ratio=ratio, schedule=schedule).recipe
    assert recipe is not None
    warmup = math.ceil(ratio * steps)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = get_scheduler(f"{schedule}_with_warmup".replace("linear_with_warmup", "linear"), optimizer, warmup, steps)
    for step in range(steps):
        assert finetuning.rate_factor(step, steps, recipe) == pytest.approx(theirs.lr_lambdas[0](step))


@given(st.integers(1, 60), st.integers(1, 16), st.integers(1, 4), st.integers(0, 2**31))
def test_each_epoch_reads_every_sequence_once(sequences: int, batch_size: int, epochs: int, seed: int) -> None:
    """Steps cover all sequences once an epoch, in full batches but for the last one of an epoch."""
    order = finetuning.step_order(sequences, batch_size, epochs, seed)
    per_epoch = math.ceil(sequences / batch_size)
    assert len(order) == epochs * per_epoch
    for epoch in range(epochs):
        steps = order[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(i for step in steps for i in step) == list(range(sequences))
        assert all(len(step) == batch_size for step in steps[:-1])


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200))
def test_batches_hold_all_rows_within_the_budget(lengths: list[int], budget: int) -> None:
    """Slices cover all rows in order; each keeps the budget or is a single row."""
    chosen = [list(range(len(lengths)))[part] for part in layout.batches(lengths, budget)]
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
    ask = ragged_ask(9, ())
    assert largest_difference(engine.score(ask), plain_scores(plain(tmp_path / "saved"), ask)) <= 1e-4
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
