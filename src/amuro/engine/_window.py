"""Context length and sizes of a model, which transformers' configs state under many names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.nn import Embedding

UNSTATED = 2048
"""Context length in tokens of a model that states no limit, and whose tokenizer states none (as Mamba)."""
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
"""Larger limits count as none: tokenizers without a limit state 10³⁰."""


def context_length(model: Any, tokenizer_limit: int | None = None) -> int:
    """Maximum number of tokens of one sequence.

    It is the limit in the model's config, else `tokenizer_limit`, else `UNSTATED`; never more than its position
    embeddings have rows for.
    """
    config = text_config(model)
    stated = [value for name in _LIMITS if (value := _positive(getattr(config, name, None)))]
    return min([*stated[:1], *_places(model)], default=tokenizer_limit or UNSTATED)


def tokenizer_limit(folder: Path) -> int | None:
    """`model_max_length` of `tokenizer_config.json` in tokens; None where it is missing or no real limit."""
    path = folder / "tokenizer_config.json"
    facts = json.loads(path.read_bytes()) if path.is_file() else {}
    return _positive(facts.get("model_max_length")) if isinstance(facts, dict) else None


def text_config(model: Any) -> Any:
    """The part of a model's config that describes its text decoder; for text-only models the whole config."""
    return model.config.get_text_config(decoder=True)


def width(model: Any) -> int:
    """Width of the hidden states."""
    return _positive(getattr(text_config(model), "hidden_size", None)) or int(
        model.get_input_embeddings().weight.shape[-1]
    )


def inner_width(model: Any) -> int:
    """Width of the MLP's inner states; 4 × the hidden width where the config does not state it."""
    stated = getattr(text_config(model), "intermediate_size", None)
    stated = max(stated) if isinstance(stated, list | tuple) and stated else stated
    return _positive(stated) or 4 * width(model)


def layers(model: Any) -> int:
    """Number of decoder layers; 1 where the config does not state it."""
    config = text_config(model)
    named = (_positive(getattr(config, name, None)) for name in ("num_hidden_layers", "n_layer", "decoder_layers"))
    return next((number for number in named if number), 1)


def _positive(value: Any) -> int | None:
    """The value if it is a positive integer below `_ABSURD`, else None."""
    return value if type(value) is int and 0 < value < _ABSURD else None


def _places(model: Any) -> Iterator[int]:
    """Usable positions of each position embedding that reserves its first rows for padding (as RoBERTa's)."""
    for name, module in model.named_modules():
        if "position" in name and isinstance(module, Embedding) and module.padding_idx is not None:
            yield module.num_embeddings - module.padding_idx - 1
