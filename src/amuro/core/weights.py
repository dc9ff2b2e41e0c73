"""What a checkpoint folder must be before anything reads it: safetensors, a config, a tokenizer, and no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amuro.core.configs import CONFIG, GENERATION, check_configs, read_json, refuse_adapter, refuse_code
from amuro.core.errors import WeightsError
from amuro.core.safetensors_header import Entry, read_header

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".pt2", ".gguf", ".msgpack", ".h5")
"""Endings of weights that are refused: to read most of them is to run what they hold."""
BESIDE = ("optimizer", "scheduler", "scaler", "rng_state", "training_args", "trainer_state", "random_states")
"""How files begin that training leaves beside weights, and that are none, whatever their endings."""
TOKENIZER = "tokenizer.json"
MODEL_FILES = (INDEX, CONFIG, GENERATION)
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


def small_files(folder: Path, tokenizer: Path | None = None) -> tuple[Path, ...]:
    """The files beside the weights that are read, of those that are there: index, configurations, tokenizer.

    tokenizer: the folder that holds the tokenizer, where it is another one.
    """
    named = [folder / name for name in MODEL_FILES] + [(tokenizer or folder) / name for name in TOKENIZER_FILES]
    return tuple(path for path in named if path.is_file() and not (path.name == INDEX and (folder / SINGLE).is_file()))


def check_folder(folder: Path, tokenizer: Path | None = None) -> Path:
    """The folder itself, if it is a checkpoint that can be read safely, with its tokenizer in the same folder or in
    `tokenizer`.

    Raises WeightsError on missing or unsound weights, a missing or unreadable config or tokenizer, on an adapter, on
    Python files, on a config that asks for something from elsewhere or that no model can have (`check_configs`).
    """
    if code := sorted(path.name for path in folder.rglob("*.py")):
        raise WeightsError(f"{folder} brings code of its own ({code[0]})", "amuro runs none; take it out of the folder")
    refuse_adapter(folder)
    check_configs(folder, _embedding_rows(tensors := _tensors(folder)), len(tensors))
    words = tokenizer or folder
    if not (words / TOKENIZER).is_file():
        cure = "save it there with AutoTokenizer.from_pretrained(…).save_pretrained(folder), or name its folder in the "
        raise WeightsError(_no_tokenizer(folder, tokenizer), f'{cure}series: tokenizer = "…"')
    for name in TOKENIZER_FILES[1:]:
        if (words / name).is_file():
            refuse_code(words / name)
    return folder


def _no_tokenizer(folder: Path, tokenizer: Path | None) -> str:
    return f"{tokenizer} has no {TOKENIZER}" if tokenizer else f"{folder} has weights but no {TOKENIZER}"


def check_vocabulary(folder: Path, tokenizer: Path | None = None) -> Path:
    """The folder itself, if the embedding has a row for each id of the tokenizer. Raises WeightsError where not."""
    words = tokenizer or folder
    rows, ids = embedding_rows(folder), vocabulary_size(read_json(words / TOKENIZER))
    if rows is not None and ids > rows:
        raise WeightsError(f"the tokenizer of {words} has {ids:,} ids, the embedding {rows:,} rows", VOCABULARY_CURE)
    return folder


def embedding_rows(folder: Path) -> int | None:
    """Rows of the input embedding: its shape in the weights, else `vocab_size` of the config; None if neither says."""
    rows = _embedding_rows(_tensors(folder))
    return read_json(folder / CONFIG).get("vocab_size") if rows is None else rows


def _tensors(folder: Path) -> list[Entry]:
    return [entry for path in weight_files(folder) for entry in read_header(path)]


def _embedding_rows(tensors: list[Entry]) -> int | None:
    shapes = (tensor.shape for tensor in tensors if tensor.name.endswith(_EMBEDDINGS) and tensor.shape)
    return next(shapes, (None,))[0]


def vocabulary_size(tokenizer: Any) -> int:
    """One more than the highest id of a `tokenizer.json`, added tokens included; 0 where it lists none.

    Its model maps tokens to ids, or lists tokens with scores in the order of their ids (Unigram).
    """
    found = tokenizer if isinstance(tokenizer, dict) else {}
    words, added = words_of(found), found.get("added_tokens")
    ids = [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    return 1 + max([-1, *(one for one in [*words.values(), *ids] if type(one) is int)])


def words_of(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Token → id of a `tokenizer.json`; empty where it lists none. What it says is not checked here."""
    model = tokenizer.get("model")
    words = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(words, list):
        return {str(word[0]): i for i, word in enumerate(words) if isinstance(word, list) and word}
    return words if isinstance(words, dict) else {}


def _shards(folder: Path) -> list[str]:
    index = read_json(folder / INDEX)
    listed = index.get("weight_map") if isinstance(index, dict) else None
    named = list(listed.values()) if isinstance(listed, dict) else []
    if not named or not all(isinstance(name, str) for name in named):
        raise WeightsError(f"{folder / INDEX} lists no files", "fetch or save the checkpoint again")
    names = sorted(set(named))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise WeightsError(f"{folder / INDEX} points to '{name}'", "shards are safetensors files beside it")
        if not (folder / name).is_file():
            raise WeightsError(f"{folder} lacks {name}, which its index lists", "fetch or copy the missing shard")
    return names


def pickled(folder: Path) -> list[str]:
    """Names of weights in forms that are refused; what training keeps beside weights is none."""
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in found if name.endswith(PICKLED) and not name.startswith(BESIDE)]


def _no_weights(folder: Path) -> WeightsError:
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if unread := pickled(folder):
        cure = "convert to safetensors, from a source that you trust: AutoModelForCausalLM … save_pretrained(folder)"
        return WeightsError(f"{folder} has no {SINGLE}, only {unread[0]}, which could run code when read", cure)
    empty = "it is empty" if folder.is_dir() else "there is no such folder"
    what = f"found: {', '.join(found[:8])}" if found else empty
    return WeightsError(f"{folder} has no weights ({what})", f"a checkpoint folder holds {SINGLE} or {INDEX}")
