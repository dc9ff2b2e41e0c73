"""What a checkpoint folder must be before anything reads it: safetensors, a config, a tokenizer, and no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amuro.errors import WeightsError
from amuro.safetensors_header import read_header

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".pt2", ".gguf", ".msgpack", ".h5")
"""Endings of weights that are refused: to read most of them is to run what they hold."""
TOKENIZER = "tokenizer.json"
MODEL_FILES = (INDEX, "config.json", "generation_config.json")
TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json", "special_tokens_map.json")
VOCABULARY_CURE = "put the tokenizer.json there that these weights were trained with"
_EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "wte.weight", "word_embeddings.weight")
"""What the architectures of transformers call their input embedding."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that transformers would load: `model.safetensors`, else the shards of its index.

    Raises WeightsError, naming what was found instead, where there are none or a shard is missing.
    """
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if (folder / INDEX).is_file():
        return tuple(folder / name for name in _shards(folder))
    raise _no_weights(folder)


def read_files(folder: Path, tokenizer: Path | None = None) -> tuple[Path, ...]:
    """Every file of a checkpoint on which a result can stand: its weights, then its `small_files`.

    Raises WeightsError as `weight_files` does.
    """
    return (*weight_files(folder), *small_files(folder, tokenizer))


def small_files(folder: Path, tokenizer: Path | None = None) -> tuple[Path, ...]:
    """The files beside the weights that are read, of those that are there: index, configurations, tokenizer.

    tokenizer: the folder that holds the tokenizer, where it is another one.
    """
    named = [folder / name for name in MODEL_FILES] + [(tokenizer or folder) / name for name in TOKENIZER_FILES]
    return tuple(path for path in named if path.is_file() and not (path.name == INDEX and (folder / SINGLE).is_file()))


def check_folder(folder: Path) -> Path:
    """The folder itself, if it is a checkpoint that can be read safely.

    Raises WeightsError on missing or unsound weights, a missing or unreadable config or tokenizer, on Python files,
    and on a config that asks for code (`auto_map`, `trust_remote_code`, `custom_pipelines`) anywhere within.
    """
    if code := sorted(path.name for path in folder.rglob("*.py")):
        raise WeightsError(f"{folder} brings code of its own ({code[0]})", "amuro runs none; take it out of the folder")
    for path in weight_files(folder):
        read_header(path)
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} has weights but no config.json", "save it again with save_pretrained(folder)")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise WeightsError(f"{folder}/config.json names no model_type", "save it again with save_pretrained(folder)")
    if not (folder / TOKENIZER).is_file():
        cure = "save it there: AutoTokenizer.from_pretrained(…).save_pretrained(folder)"
        raise WeightsError(f"{folder} has weights but no {TOKENIZER}", cure)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            _refuse_code(folder / name, read_json(folder / name))
    return folder


def check_vocabulary(folder: Path) -> Path:
    """The folder itself, if the embedding has a row for each id of the tokenizer. Raises WeightsError where not."""
    rows, ids = embedding_rows(folder), vocabulary_size(read_json(folder / TOKENIZER))
    if rows is not None and ids > rows:
        raise WeightsError(f"the tokenizer of {folder} has {ids:,} ids, the embedding {rows:,} rows", VOCABULARY_CURE)
    return folder


def embedding_rows(folder: Path) -> int | None:
    """Rows of the input embedding: its shape in the weights, else `vocab_size` of the config; None if neither says."""
    entries = (entry for path in weight_files(folder) for entry in read_header(path))
    shapes = [entry.shape for entry in entries if entry.name.endswith(_EMBEDDINGS)]
    return shapes[0][0] if shapes else read_json(folder / "config.json").get("vocab_size")


def vocabulary_size(tokenizer: Any) -> int:
    """One more than the highest id of a `tokenizer.json`, added tokens included; 0 where it lists none.

    Its model maps tokens to ids, or lists tokens with scores in the order of their ids (Unigram).
    """
    words = (tokenizer.get("model") or {}).get("vocab") or {}
    ids = list(words.values()) if isinstance(words, dict) else range(len(words))
    return 1 + max([*ids, *(token["id"] for token in tokenizer.get("added_tokens") or ())], default=-1)


def read_json(path: Path) -> Any:
    """A JSON file. Raises WeightsError, naming it, where it is none."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise WeightsError(f"{path} is no valid JSON ({error})", "fetch or save it again") from error


def _shards(folder: Path) -> list[str]:
    index = read_json(folder / INDEX)
    names = sorted(set(index["weight_map"].values())) if isinstance(index, dict) and "weight_map" in index else []
    if not names:
        raise WeightsError(f"{folder / INDEX} lists no files", "fetch or save the checkpoint again")
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise WeightsError(f"{folder / INDEX} points to '{name}'", "shards are safetensors files beside it")
        if not (folder / name).is_file():
            raise WeightsError(f"{folder} lacks {name}, which its index lists", "fetch or copy the missing shard")
    return names


def _no_weights(folder: Path) -> WeightsError:
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    pickled = [name for name in found if name.endswith(PICKLED)]
    if pickled:
        cure = "convert to safetensors, from a source that you trust: AutoModelForCausalLM … save_pretrained(folder)"
        return WeightsError(f"{folder} has no {SINGLE}, only {pickled[0]}, which could run code when read", cure)
    empty = "it is empty" if folder.is_dir() else "there is no such folder"
    what = f"found: {', '.join(found[:8])}" if found else empty
    return WeightsError(f"{folder} has no weights ({what})", f"a checkpoint folder holds {SINGLE} or {INDEX}")


def _refuse_code(path: Path, value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _refuse_code(path, item)
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("auto_map", "custom_pipelines") or (key == "trust_remote_code" and item):
                cure = "use a model that transformers has itself"
                raise WeightsError(f"{path} asks for code of its own ({key})", cure)
            _refuse_code(path, item)
