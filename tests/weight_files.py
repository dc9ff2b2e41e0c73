"""Checkpoint folders without a model library: a few tensors, a configuration, a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

Tensors = dict[str, NDArray[Any]]

SHAPES = {"model.embed_tokens.weight": (40, 8), "model.layers.0.mlp.weight": (16, 8), "lm_head.weight": (40, 8)}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
CONFIG = {"model_type": "olmo2", "vocab_size": 40, "rope_theta": 10000.0, "eos_token_id": 1}
STEPS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


def pretrained(steps: Sequence[int] = STEPS, pretrain_seed: int = 0) -> dict[int, Tensors]:
    """Weights that leave their beginning along one direction, farther by each factor of ten, with a little noise."""
    rng = np.random.default_rng(pretrain_seed)
    start = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    way = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    return {
        step: {
            name: (start[name] + 0.2 * np.log1p(step) * way[name] + rng.normal(scale=0.02, size=shape)).astype("<f4")
            for name, shape in SHAPES.items()
        }
        for step in steps
    }


def tokenizer(words: int = 38) -> dict[str, Any]:
    added = {"id": words, "content": "<eos>", "special": True, "single_word": False, "lstrip": False, "rstrip": False}
    model = {"type": "BPE", "vocab": {f"w{i}": i for i in range(words)}, "merges": []}
    return {"version": "1.0", "model": model, "added_tokens": [{**added, "normalized": False}]}


def files(
    tensors: Tensors, config: Mapping[str, Any] = CONFIG, words: Mapping[str, Any] | None = None, shards: int = 1
) -> dict[str, bytes]:
    """File name → content of one checkpoint; with two shards, the input embedding lies in the first."""
    small = {
        "config.json": json.dumps(dict(config)).encode(),
        "tokenizer.json": json.dumps(words or tokenizer()).encode(),
    }
    if shards == 1:
        return {"model.safetensors": save(tensors), **small}
    parts = dict(zip(SHARDS, ({n: t for n, t in tensors.items() if ("embed" in n) == first} for first in (True, False)),
                     strict=True))  # fmt: skip
    index = {"weight_map": {name: shard for shard, part in parts.items() for name in part}}
    weights = {shard: save(part) for shard, part in parts.items()}
    return {**weights, "model.safetensors.index.json": json.dumps(index).encode(), **small}


def write(folder: Path, content: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder
