"""Checks of a checkpoint's JSON files: they must not refer to code or files elsewhere, nor state impossible values.

transformers sets every key of a config.json as an attribute, downloads what some keys name, and computes with the
values of others. So keys that refer to anything outside the folder, and numbers that no model can have, raise
WeightsError here, before transformers reads the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amuro.core import regular_files
from amuro.core.errors import WeightsError

CONFIG = "config.json"
GENERATION = "generation_config.json"
ADAPTER = "adapter_config.json"
DEPTH = 32
"""Levels of nesting that are read; configurations have about five."""

FETCHING = {
    "auto_map": "code of its own",
    "custom_pipelines": "code of its own",
    "custom_generate": "code of its own",
    "trust_remote_code": "code of its own",
    "use_kernels": "code from the hub",
    "kernel_config": "code from the hub",
    "use_pretrained_backbone": "weights from elsewhere",
    "use_timm_backbone": "code of another package",
    "transformers_weights": "weights of another name",
    "quantization_config": "quantized weights",
    "compression_config": "quantized weights",
}
"""Key → what transformers would fetch, run or load instead of what the folder holds."""
_CURES = {
    "code of its own": "use a model that transformers has itself",
    "quantized weights": "use the checkpoint as it was before it was quantized",
}
_IMPLEMENTATION = re.compile(r"_?(?:\w+_)?implementation(?:_internal)?")
COMPUTED = ("eager", "sdpa", "grouped_mm", "batched_mm")
"""Ways to compute attention and experts that need no further package. Any other may be fetched from the hub."""

LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
_AT_LEAST_ONE = (
    *LAYERS, "vocab_size", "hidden_size", "n_embd", "d_model", "max_position_embeddings", "n_positions", "n_ctx",
)  # fmt: skip
_COUNTS = (
    *_AT_LEAST_ONE, "intermediate_size", "n_inner", "num_attention_heads", "num_key_value_heads", "n_head", "n_heads",
    "head_dim", "num_experts", "num_local_experts", "num_experts_per_tok", "sliding_window",
)  # fmt: skip
_EPSILON = re.compile(r"\w*(?:_eps|epsilon)")


def read_json(path: Path) -> Any:
    """The content of a JSON file; NaN and Infinity become texts. Raises WeightsError where it is invalid."""
    try:
        return json.loads(regular_files.content(path), parse_constant=str)
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is no valid JSON ({error})", "fetch or save it again") from error


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises WeightsError where it holds anything else."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is no JSON object: {_shown(content)}", "save it again with save_pretrained(folder)")
    return content


def check_configs(folder: Path, rows: int | None, tensors: int) -> None:
    """Check config.json and generation_config.json of a checkpoint.

    rows: rows of its input embedding; None: unknown. tensors: number of tensors in its weights.
    Raises WeightsError on a missing or unreadable config, one without model_type, a key that refers to anything outside
    the folder, and a size that does not fit the weights.
    """
    if not (folder / CONFIG).is_file():
        raise WeightsError(f"{folder} has weights but no {CONFIG}", "save it again with save_pretrained(folder)")
    config = read_object(folder / CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise WeightsError(f"{folder}/{CONFIG} names no model_type", "save it again with save_pretrained(folder)")
    for name in (CONFIG, GENERATION):
        if (folder / name).is_file():
            _check(folder / name, read_object(folder / name))
    for key, most, what in [*((key, tensors, "tensors") for key in LAYERS), ("vocab_size", rows, "rows of embedding")]:
        if isinstance(config.get(key), int) and most is not None and config[key] > most:
            fault = f"{folder}/{CONFIG} says {key} {_shown(config[key])}, its weights hold {most:,} {what}"
            raise WeightsError(fault, "fetch or save the checkpoint again")


def refuse_code(path: Path) -> None:
    """Raise WeightsError where a JSON file of a checkpoint refers to anything outside the folder."""
    for where, key, value in _entries(path, read_json(path)):
        _refuse_fetching(path, where, key, value)


def refuse_adapter(folder: Path) -> None:
    """Raise WeightsError where a folder holds an adapter: transformers would load its base model, or apply it."""
    if (folder / ADAPTER).is_file():
        base = read_object(folder / ADAPTER).get("base_model_name_or_path")
        cure = "merge it into its base and save that: model.merge_and_unload().save_pretrained(folder)"
        raise WeightsError(f"{folder} holds an adapter of {_shown(base)} ({ADAPTER})", cure)


def _check(path: Path, config: Mapping[str, Any]) -> None:
    """Raise WeightsError on the first key of a config that is refused."""
    for where, key, value in _entries(path, config):
        _refuse_fetching(path, where, key, value)
        _refuse_impossible(path, where, key, value)


def _entries(path: Path, value: Any) -> Iterator[tuple[str, str, Any]]:
    """(dotted path, key, value) of every key at any level. Raises WeightsError below `DEPTH` levels."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while stack:
        place, item = stack.pop()
        if len(place) > DEPTH:
            raise WeightsError(f"{path} is nested more than {DEPTH} levels deep", "fetch or save it again")
        pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, inner in pairs:
            stack.append(((*place, str(key)), inner))
            if isinstance(key, str):
                yield ".".join((*place, key)), key, inner


def _refuse_fetching(path: Path, where: str, key: str, value: Any) -> None:
    """Raise WeightsError where a key makes transformers fetch, run or load anything outside the folder."""
    if key in FETCHING and value:
        cure = _CURES.get(FETCHING[key], f"take '{where}' out of it, if the weights do not need it")
        raise WeightsError(f"{path} asks for {FETCHING[key]} ({where})", cure)
    if _IMPLEMENTATION.fullmatch(key):
        for name in value.values() if isinstance(value, dict) else (value,):
            free = key == "cache_implementation" and "/" not in str(name)  # how keys are kept, never how they are read
            if name is not None and name not in COMPUTED and not free:
                fault = f"{path} asks for code from elsewhere to compute with ({where} = {_shown(name)})"
                raise WeightsError(fault, f"take '{where}' out of it: how to compute is chosen here")


def _refuse_impossible(path: Path, where: str, key: str, value: Any) -> None:
    """Raise WeightsError where a value is NaN, or a size or epsilon is out of range."""
    if value == "NaN" or (isinstance(value, list) and "NaN" in value):
        raise WeightsError(f"{where} in {path} is NaN", "fetch or save it again")
    if key in _COUNTS and value is not None:
        least = int(key in _AT_LEAST_ONE and not isinstance(value, list))  # of lists, a layer may have none
        for number in value if isinstance(value, list) else (value,):
            if type(number) is not int or number < least:
                raise WeightsError(f"{where} in {path} is {_shown(number)}", f"a whole number of at least {least} fits")
    if _EPSILON.fullmatch(key) and value is not None and (type(value) not in (int, float) or value < 0):
        raise WeightsError(f"{where} in {path} is {_shown(value)}", "a number of at least 0 fits")


def _shown(value: Any) -> str:
    """A value for a message, cut at 60 characters."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = f"{value:,}" if type(value) is int else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
