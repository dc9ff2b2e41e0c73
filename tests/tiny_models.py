"""Tiny random models of every architecture that tests load, and what they are asked and taught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OlmoConfig,
    OlmoForCausalLM,
    Qwen2Config,
    Qwen3Config,
)

from amuro.core.requests import Request, RequestBatch
from amuro.core.types import Cell, Checkpoint, EvalSet, Model, Recipe
from amuro.engine.torch import TorchEngine
from amuro.prompts.tokenizer import Encoder

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
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=CONTEXT,
        bos_token_id=0,
        eos_token_id=EOS,
        intermediate_size=128,  # GPT-2 does not name it, and the engine asks for it
    ),
}
"""One a known family, then attention that is read plainly: windows, lengths that change angles, other layers."""
SHARING = [name for name in CONFIGS if name not in ("mistral_window", "llama_longrope", "gemma2", "gpt2")]
"""Those whose rows are read together."""
CHECKPOINT = Checkpoint("tiny", 1, 1, 1, "constant", "file:tiny")


def save_models(root: Path) -> dict[str, Path]:
    """Checkpoint folders, one an architecture."""
    torch.set_num_threads(1)
    for name, config in CONFIGS.items():
        torch.manual_seed(3)
        AutoModelForCausalLM.from_config(config).save_pretrained(root / name)
    return {name: root / name for name in CONFIGS}


def save_byte_olmo(folder: Path, model_seed: int, context_length: int = 512) -> None:
    """A tiny OLMo that reads bytes, with its tokenizer."""
    torch.manual_seed(model_seed)
    encoder = Encoder.of_bytes()
    config = OlmoConfig(
        vocab_size=encoder.tokenizer.get_vocab_size(), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=context_length, eos_token_id=encoder.eos, pad_token_id=None,
    )  # fmt: skip
    OlmoForCausalLM(config).save_pretrained(folder)
    encoder.tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<eos>"}')


class Engines:
    """Engines by architecture, each loaded once and handed out at its own weights."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders, self._live = folders, dict[str, TorchEngine]()

    def __call__(self, name: str) -> TorchEngine:
        if name not in self._live:
            self._live[name] = TorchEngine("float32", "cpu", 1)
            self._live[name].load(CHECKPOINT, self._folders[name])
        self._live[name].reset()
        return self._live[name]


def plain(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def words(rng: np.random.Generator, least: int, most: int) -> tuple[int, ...]:
    return tuple(rng.integers(2, VOCABULARY, rng.integers(least, most + 1)).tolist())


def make_ask(
    requests: list[Request], prefix: tuple[int, ...] = (), stop: tuple[str, ...] = (), new: int = 0
) -> RequestBatch:
    cell = Cell(Model(CHECKPOINT), EvalSet("t", "test"), "default", 0, 0, "", "p", len(requests), "float32", "cpu")
    return RequestBatch(cell, prefix, tuple(requests), stop, new, ends=frozenset({EOS}))


def tuned(**changes: Any) -> Model:
    seed = changes.pop("tune_seed", 7)
    recipe = Recipe("r", (("t", 1.0),), rows=20, epochs=2, learning_rates=(1e-2,), batch_size=4)
    return Model(CHECKPOINT, replace(recipe, **changes), "digest", seed)


def training_pairs(count: int = 18) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    rng = np.random.default_rng(11)
    return [(words(rng, 2, 20), (*words(rng, 1, 5), EOS)) for _ in range(count)]
