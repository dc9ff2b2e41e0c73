"""How many tokens a model reads at once, and how large it is: what the configs of transformers call by many names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.nn import Embedding

UNSTATED = 2048
"""Tokens that a model reads at once which names no limit, and whose tokenizer names none (Mamba has none at all)."""
_LIMITS = (
    "max_position_embeddings",
    "n_positions",
    "seq_length",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "max_target_positions",
)
_ABSURD = 1 << 24
"""Tokenizers that know no limit say 10³⁰."""


def context_length(model: Any, tokenizer_limit: int | None = None) -> int:
    """Tokens that `model` was made to read at once: as its config says under any name, else as its tokenizer does, else
    `UNSTATED`; fewer where its table of positions has no place for so many.
    """
    config = text_config(model)
    stated = [value for name in _LIMITS if (value := _whole(getattr(config, name, None)))]
    return min([*stated[:1], *_places(model)], default=tokenizer_limit or UNSTATED)


def tokenizer_limit(folder: Path) -> int | None:
    """What `tokenizer_config.json` says of the longest text; None where it says nothing, or no limit."""
    path = folder / "tokenizer_config.json"
    facts = json.loads(path.read_bytes()) if path.is_file() else {}
    return _whole(facts.get("model_max_length")) if isinstance(facts, dict) else None


def text_config(model: Any) -> Any:
    """The part of a model's config that describes its text decoder: all of it, but for models that see or hear."""
    return model.config.get_text_config(decoder=True)


def width(model: Any) -> int:
    """Numbers of a token's state."""
    return _whole(getattr(text_config(model), "hidden_size", None)) or int(
        model.get_input_embeddings().weight.shape[-1]
    )


def inner_width(model: Any) -> int:
    """Numbers of a token within a layer's widest part."""
    stated = getattr(text_config(model), "intermediate_size", None)
    stated = max(stated) if isinstance(stated, list | tuple) and stated else stated
    return _whole(stated) or 4 * width(model)


def layers(model: Any) -> int:
    """Layers of the decoder."""
    config = text_config(model)
    named = (_whole(getattr(config, name, None)) for name in ("num_hidden_layers", "n_layer", "decoder_layers"))
    return next((number for number in named if number), 1)


def _whole(value: Any) -> int | None:
    """A whole number above zero that is no stand-in for infinity, else None."""
    return value if type(value) is int and 0 < value < _ABSURD else None


def _places(model: Any) -> Iterator[int]:
    """Tokens that each table of positions has a place for, where it keeps the first ones for padding (RoBERTa)."""
    for name, module in model.named_modules():
        if "position" in name and isinstance(module, Embedding) and module.padding_idx is not None:
            yield module.num_embeddings - module.padding_idx - 1
