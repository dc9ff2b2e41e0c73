"""Models of any kind: what transformers loads is scored, generated and tuned as it does, or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_table
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_models import CHECKPOINT, EOS, SIZES, VOCABULARY, make_ask, plain, training_pairs, tuned, words
from transformers import AutoConfig, AutoModelForCausalLM

from amuro.core.errors import AmuroError, WeightsError
from amuro.core.hashing import tensor_digest
from amuro.core.requests import Request
from amuro.engine import _window
from amuro.engine.torch import TorchEngine
from amuro.engine.toy import ToyEngine
from amuro.report import build
from amuro.run.runner import run as fill
from amuro.study.config import parse
from amuro.study.plan import Plan, make
from amuro.study.store import Store

PLACES = 24
"""Tokens that the tiny models read, but for those that name no limit."""
_HEADS = {"num_key_value_heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "mixtral": {**SIZES, **_HEADS, "num_local_experts": 4, "max_position_embeddings": PLACES},
    "olmoe": {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "max_position_embeddings": PLACES},
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3},
    "mamba": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": PLACES},
    "opt": {
        "vocab_size": VOCABULARY, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "word_embed_proj_dim": 32, "max_position_embeddings": PLACES,
    },
    "roberta": {**SIZES, "is_decoder": True, "max_position_embeddings": PLACES + 2, "pad_token_id": 1},
}  # fmt: skip
EXPERTS = ("mixtral", "olmoe")


def saved(kind: str, folder: Path, **changes: Any) -> Path:
    """A folder with a tiny random model of that kind, as transformers saves it."""
    torch.manual_seed(5)
    config = AutoConfig.for_model(kind, **{"bos_token_id": 0, "eos_token_id": EOS, **KINDS[kind], **changes})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def loaded(folder: Path) -> TorchEngine:
    engine = TorchEngine("float32", "cpu", 1)
    engine.load(CHECKPOINT, folder)
    return engine


@torch.no_grad()
def alone(model: Any, read: tuple[int, ...], option: tuple[int, ...]) -> float:
    """Log-probability of one option by transformers alone, which is not given its last token."""
    logits = model(torch.tensor([[*read, *option[:-1]]])).logits[0, len(read) - 1 :].double().log_softmax(-1)
    return float(logits.gather(1, torch.tensor(option)[:, None]).sum())


@torch.no_grad()
def greedy(model: Any, read: tuple[int, ...], most: int) -> list[int]:
    """The likeliest next token again and again, all read anew each time; up to end-of-text."""
    said: list[int] = []
    while len(said) < most and EOS not in said:
        said.append(int(model(torch.tensor([[*read, *said]])).logits[0, -1].argmax()))
    return [token for token in said if token != EOS]


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_is_read_as_transformers_reads_it(kind: str, tmp_path: Path) -> None:
    """Mixtures of experts, models without a limit and learned positions give transformers' log-probabilities and words,
    also of a row whose last token stands in the last place; one tuning lowers their loss, and what it left is saved.
    """
    folder = saved(kind, tmp_path / "model")
    engine, model, rng = loaded(folder), plain(folder), np.random.default_rng(2)
    assert engine.context_length() == (_window.UNSTATED if kind in ("bloom", "mamba") else PLACES)
    context = words(rng, PLACES - 3, PLACES - 3)
    request = Request("full", context, ((4, 5, 6, 7), (8,)))
    got = engine.score(make_ask([request]))[0]
    assert got == pytest.approx([alone(model, context, option) for option in request.options], abs=1e-4)
    (said,) = engine.generate(make_ask([Request("g", context[:-1])], new=5), lambda ids: " ".join(map(str, ids)))
    assert said.text.split() == [str(token) for token in greedy(model, context[:-1], 5)]
    training = engine.tune(training_pairs(8), tuned(max_length=PLACES, epochs=2), 1e-2, lambda *_: None)
    assert training.losses[-1] < training.losses[0]
    engine.save(tmp_path / "tuned")
    assert tensor_digest(tmp_path / "tuned") == engine.weights_digest()
    tuned_score = alone(plain(tmp_path / "tuned"), context, (4, 5))
    assert engine.score(make_ask([Request("q", context, ((4, 5),))]))[0][0] == pytest.approx(tuned_score, abs=1e-4)


def changed(folder: Path, change: Any) -> Path:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    return folder


@settings(max_examples=8, deadline=None)
@given(kind=st.sampled_from(EXPERTS), data=st.data())
def test_no_tensor_of_experts_is_lost_unseen(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whichever tensor of a mixture of experts is taken out of the file, doubled under a new name or made NaN, the
    model is refused: experts are fused as they are read, and none of them may be random.
    """
    folder = saved(kind, tmp_path_factory.mktemp(kind))
    name = data.draw(st.sampled_from(sorted(load_file(folder / "model.safetensors"))))
    change = data.draw(
        st.sampled_from([
            lambda tensors: tensors.pop(name),
            lambda tensors: tensors.update({f"{name}_more": tensors[name] + 1}),
            lambda tensors: tensors[name].fill_(float("nan")),
        ])
    )  # fmt: skip
    with pytest.raises(WeightsError):
        loaded(changed(folder, change))


@pytest.mark.parametrize("kind", ["mixtral", "opt", "bloom"])
def test_tensors_that_the_model_does_not_take_are_refused(kind: str, tmp_path: Path) -> None:
    """A bias that the architecture has no place for, and a whole layer that the config does not count, stop loading by
    name: nothing of a checkpoint is left out in silence.
    """
    bias = saved(kind, tmp_path / "bias")
    with pytest.raises(WeightsError, match=r"extra\.bias' that the model .* does not take"):
        loaded(changed(bias, lambda tensors: tensors.update({"model.extra.bias": torch.ones(3)})))
    layers = "n_layer" if kind == "bloom" else "num_hidden_layers"
    saved(kind, tmp_path / "deep", **{layers: 3})
    (tmp_path / "deep" / "config.json").write_bytes((saved(kind, tmp_path / "shallow") / "config.json").read_bytes())
    with pytest.raises(WeightsError, match=r"\.2\..* does not take"):
        loaded(tmp_path / "deep")


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    """A tensor of another shape than the config says is named with both shapes."""
    folder = changed(
        saved("opt", tmp_path / "m"), lambda t: t.update({"model.decoder.final_layer_norm.weight": torch.ones(7)})
    )
    with pytest.raises(WeightsError, match=r"final_layer_norm.weight' .* has the shape 7, .* 32"):
        loaded(folder)


def test_tensors_that_models_compute_are_no_fault(tmp_path: Path) -> None:
    """Rotary frequencies and masks that older checkpoints hold, and a tied head that stands there twice, are taken."""
    llama = saved("mixtral", tmp_path / "m")
    loaded(changed(llama, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})))
    gpt = saved("gpt2", tmp_path / "g")

    def older(tensors: dict[str, torch.Tensor]) -> None:
        masks = {"transformer.h.0.attn.bias": torch.ones(1, 1, PLACES, PLACES)}
        tensors |= {**masks, "lm_head.weight": tensors["transformer.wte.weight"].clone()}

    loaded(changed(gpt, older))


def test_a_model_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    """A masked language model without `is_decoder` would read the answers that it is asked for: it is refused."""
    folder = saved("roberta", tmp_path / "m", is_decoder=False)
    with pytest.raises(WeightsError, match=r"'roberta'.* by what stands behind it"):
        loaded(folder)


@pytest.mark.parametrize(("said", "room"), [(37, 37), (10**30, _window.UNSTATED), (None, _window.UNSTATED)])
def test_a_tokenizer_limits_a_model_that_names_no_limit(said: Any, room: int, tmp_path: Path) -> None:
    """Where a model's config says nothing, the tokenizer's `model_max_length` does, unless it stands for infinity."""
    folder = saved("mamba", tmp_path / "m")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": said} if said else {}))
    assert loaded(folder).context_length() == room


def planned(folder: Path, tmp_path: Path, **tune: Any) -> Plan:
    """The plan of a study over one folder, asked and tuned by an adapter."""
    for split in ("train", "test"):
        rows = [{"id": f"{split}{i}", "text": f"row {i}", "label": "ab"[i % 2]} for i in range(8)]
        path = tmp_path / "rows" / f"{split}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {
        "source": f"file:{tmp_path / 'rows'}", "fields": {"text": "Text"}, "answer": "label",
        "answers": {"a": "a", "b": "b"}, "answer_prefix": "Label:", "instruction": "Say a or b.",
        "splits": {"train": "train", "test": "test"},
    }  # fmt: skip
    recipe = {"name": "t", "tasks": ["mine"], "rows": 4, "learning_rate": 1e-3, "method": "lora", **tune}
    return make(
        parse({
            "name": "s", "series": {"one": {"kind": "folder", "path": str(folder), "step": 1}}, "tasks": {"mine": task},
            "tune": [recipe], "evaluate": [{"models": ["base", "tuned"], "sets": ["mine/test"]}],
        })
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "tune", "said"),
    [
        ("mamba", {}, "recipe t asks for adapters beside all layers of a model of the kind 'mamba'.*lora_targets"),
        ("mamba", {"lora_targets": ["out_proj"]}, "'out_proj' of a model of the kind 'mamba' takes no adapter"),
        ("roberta", {}, "the kind 'roberta'.*read the answers.*is_decoder"),
    ],
)
def test_a_plan_refuses_what_no_run_could_do(kind: str, tune: dict[str, Any], said: str, tmp_path: Path) -> None:
    """A masked language model, and adapters where none can stand, are refused by `plan` from the config alone."""
    folder = saved(kind, tmp_path / "model", **({"is_decoder": False} if kind == "roberta" else {}))
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(AmuroError, match=said):
        planned(folder, tmp_path, **tune)


def test_a_plan_takes_named_targets(tmp_path: Path) -> None:
    """Adapters beside layers of Mamba that can carry them are planned, and train; the base and the tuned are asked."""
    folder = saved("mamba", tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    plan = planned(folder, tmp_path, lora_targets=["in_proj", "x_proj"])
    (recipe,) = {model.recipe for model in plan.models if model.recipe}
    assert recipe.lora_targets == ("in_proj", "x_proj")
    losses = loaded(folder).tune(training_pairs(8), tuned(method="lora", lora_targets=recipe.lora_targets), 1e-2, quiet)
    assert losses.losses[-1] < losses.losses[0]


def quiet(*_: Any) -> None:
    """Nobody is told."""


class Unknown(ToyEngine):
    """A toy that is read the plain way."""

    def remarks(self) -> list[str]:
        return ["models of type 'unknown' are read one by one"]


def test_the_plain_way_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read row by row stands in every cell's manifest and in the report's record, not only on the screen."""
    monkeypatch.setattr("amuro.engine.toy.ToyEngine", Unknown)
    store, plan = Store(tmp_path), make(parse(toy_table()))
    assert fill(plan, store, lambda _: None).failures == []
    record = build._environment({m["address"]: m for m in store.manifests("cells")})
    assert record["reading"] == "models of type 'unknown' are read one by one"
