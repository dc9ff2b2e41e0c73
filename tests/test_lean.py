"""Bodies with hand-written gradients against the modules of transformers that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OlmoConfig,
    Qwen2Config,
    Qwen3Config,
)

from amuro.core.types import Recipe
from amuro.engine.forward.causal_lm import Network
from amuro.engine.forward.fused_llama import FusedDecoder
from amuro.engine.forward.packed_attention import NAME, end_to_end
from amuro.engine.training.lora import beside, draw_adapter

SIZES = {**tiny_models.SIZES, "initializer_range": 0.02}
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2, attention_bias=True, mlp_bias=True),
    "llama3": LlamaConfig(
        **SIZES,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 1000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    "olmo": OlmoConfig(**SIZES),
    "olmo2": Olmo2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=None),
}


def made(config: Any) -> Network:
    """A random model in which no weight is as it was at the start: norms and biases, too, count."""
    torch.manual_seed(5)
    model: Any = AutoModelForCausalLM.from_config(config).eval()
    model.set_attn_implementation(NAME)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return Network(model, "float32", torch.device("cpu"))


def states_of_rows(network: Network, wanted: list[int] | None = None) -> Tensor:
    """States of three rows end to end."""
    lengths = np.array([5, 9, 2])
    positions = np.concatenate([np.arange(length) for length in lengths])
    ids = np.random.default_rng(3).integers(0, 61, lengths.sum())
    return network.read(ids, positions, end_to_end(lengths, network.device), wanted)


def read(network: Network, wanted: list[int] | None) -> tuple[Tensor, dict[str, Tensor]]:
    """These states, and the gradient of every weight under a random gradient of them."""
    network.model.zero_grad()
    states = states_of_rows(network, wanted)
    torch.autograd.backward(states, torch.from_numpy(np.random.default_rng(4).normal(size=states.shape)).float())
    named = network.model.named_parameters()
    return states.detach(), {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


@pytest.mark.parametrize("wanted", [None, [4, 13, 14]], ids=["all", "wanted"])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_states_and_gradients_are_those_of_the_modules(
    name: str, wanted: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways give the same states and the same gradient of every weight, biases and norms among them."""
    network = made(CONFIGS[name])
    assert network._fused is not None
    assert network._fused.applies()
    got, gradients = read(network, wanted)
    monkeypatch.setattr(FusedDecoder, "applies", lambda self: False)
    expected, by_modules = read(network, wanted)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == by_modules.keys()
    for weight, gradient in by_modules.items():
        torch.testing.assert_close(gradients[weight], gradient, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_reading_without_record_gives_the_same_states(name: str) -> None:
    """Where no gradient is wanted, states are worked on in place, with the same result and the weights untouched."""
    network = made(CONFIGS[name])
    before = {key: value.clone() for key, value in network.model.state_dict().items()}
    learned, _ = read(network, None)
    with torch.no_grad():
        got = states_of_rows(network)
    torch.testing.assert_close(got, learned, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(value, before[key]) for key, value in network.model.state_dict().items())


def test_positions_may_grow_and_shrink() -> None:
    """Angles are kept for the positions met so far; a later, longer row is turned as rightly as the first."""
    network = made(CONFIGS["llama3"])
    for begin in (0, 60, 3):
        ids, positions, lengths = np.arange(8), np.arange(begin, begin + 8), np.array([8])
        with torch.no_grad():
            got = network.read(ids, positions, end_to_end(lengths, network.device))
            alone = network.model.base_model(
                torch.from_numpy(ids)[None], position_ids=torch.from_numpy(positions)[None], use_cache=False
            )[0][0]
        torch.testing.assert_close(got, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        GPTNeoXConfig(**SIZES),
        LlamaConfig(**SIZES, hidden_act="gelu"),
        OlmoConfig(**SIZES, clip_qkv=0.5),
    ],
    ids=["other layers", "another gate", "clipped"],
)
def test_what_is_not_known_is_read_by_its_modules(config: Any) -> None:
    """A model with other parts has no fused decoder."""
    assert made(config)._fused is None


def test_what_was_changed_for_a_while_is_read_by_its_modules() -> None:
    """Adapters beside the matrices and layers that compute again are not passed over; afterwards all is as before."""
    network = made(CONFIGS["llama"])
    decoder = network._fused
    assert decoder is not None
    recipe = Recipe("low", (("x", 1.0),), rows=0, epochs=1, learning_rates=(1e-3,), method="lora", lora_rank=2)
    adapter = draw_adapter(network.model, recipe, 0)
    with beside(network.model, adapter):
        assert not decoder.applies()
    with network.recomputing(True):
        assert not decoder.applies()
    assert decoder.applies()
    assert decoder.layers[0]._entering[0] is network.model.model.layers[0].self_attn.q_proj
    assert Network(network.model, "bfloat16", network.device)._fused is None
