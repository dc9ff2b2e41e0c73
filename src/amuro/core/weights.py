"""Checks of a checkpoint folder before it is loaded: safetensors, a config, a tokenizer, and no code."""

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
"""Suffixes of weight formats that are refused: loading most of them can execute code."""
BESIDE = ("optimizer", "scheduler", "scaler", "rng_state", "training_args", "trainer_state", "random_states")
"""Prefixes of files that training writes beside weights; they are no weights, whatever their suffix."""
TOKENIZER = "tokenizer.json"
MODEL_FILES = (INDEX, CONFIG, GENERATION)
TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json", "special_tokens_map.json")
VOCABULARY_CURE = "put the tokenizer.json there that these weights were trained with"
_EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "wte.weight", "word_embeddings.weight")
"""Names of the input embedding in transformers' architectures."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that transformers would load: `model.safetensors`, else the shards of its index.

    Raises WeightsError, with the files that are there, if there are none or a shard is missing.
    """
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if (folder / INDEX).is_file():
        return tuple(folder / name for name in _shards(folder))
    raise _no_weights(folder)


def small_files(folder: Path, tokenizer: Path | None = None) -> tuple[Path, ...]:
    """The existing files that are read besides the weights: index, configurations, tokenizer.

    tokenizer: folder of the tokenizer; None: `folder`.
    """
    named = [folder / name for name in MODEL_FILES] + [(tokenizer or folder) / name for name in TOKENIZER_FILES]
    return tuple(path for path in named if path.is_file() and not (path.name == INDEX and (folder / SINGLE).is_file()))


def check_folder(folder: Path, tokenizer: Path | None = None) -> Path:
    """The folder itself, if it is a checkpoint that can be loaded safely. tokenizer: as in `small_files`.

    Raises WeightsError on missing or damaged weights, a missing or unreadable config or tokenizer, an adapter, Python
    files, and a config that refers to anything outside the folder or has impossible values (`check_configs`).
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
    """What is wrong where a tokenizer is missing."""
    return f"{tokenizer} has no {TOKENIZER}" if tokenizer else f"{folder} has weights but no {TOKENIZER}"


def check_vocabulary(folder: Path, tokenizer: Path | None = None) -> Path:
    """The folder itself, if the embedding has a row for each id of the tokenizer. Raises WeightsError where not."""
    words = tokenizer or folder
    rows, ids = embedding_rows(folder), vocabulary_size(read_json(words / TOKENIZER))
    if rows is not None and ids > rows:
        raise WeightsError(f"the tokenizer of {words} has {ids:,} ids, the embedding {rows:,} rows", VOCABULARY_CURE)
    return folder


def embedding_rows(folder: Path) -> int | None:
    """Rows of the input embedding, from its shape in the weights, else `vocab_size` of the config; None: unknown."""
    rows = _embedding_rows(_tensors(folder))
    return read_json(folder / CONFIG).get("vocab_size") if rows is None else rows


def _tensors(folder: Path) -> list[Entry]:
    """All tensors of a checkpoint, from the headers of its weights files."""
    return [entry for path in weight_files(folder) for entry in read_header(path)]


def _embedding_rows(tensors: list[Entry]) -> int | None:
    """Rows of the input embedding among the tensors; None: it is not recognised."""
    shapes = (tensor.shape for tensor in tensors if tensor.name.endswith(_EMBEDDINGS) and tensor.shape)
    return next(shapes, (None,))[0]


def vocabulary_size(tokenizer: Any) -> int:
    """One more than the highest id of a `tokenizer.json`, added tokens included; 0 where it lists none.

    Its model maps tokens to ids, or lists tokens with scores in the order of their ids (Unigram).
    """
    table = tokenizer if isinstance(tokenizer, dict) else {}
    words, added = words_of(table), table.get("added_tokens")
    ids = [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    return 1 + max([-1, *(number for number in [*words.values(), *ids] if type(number) is int)])


def words_of(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Token → id of a `tokenizer.json`; empty where it lists none. The ids are not checked."""
    model = tokenizer.get("model")
    words = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(words, list):
        return {str(word[0]): i for i, word in enumerate(words) if isinstance(word, list) and word}
    return words if isinstance(words, dict) else {}


def _shards(folder: Path) -> list[str]:
    """Names of the shards that the index lists. Raises WeightsError where it is faulty or a shard is missing."""
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
    """Names of weights files in refused formats; files such as optimiser states (`BESIDE`) do not count."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if name.endswith(PICKLED) and not name.startswith(BESIDE)]


def _no_weights(folder: Path) -> WeightsError:
    """The error for a folder without safetensors, with the files that are there."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if unread := pickled(folder):
        cure = "convert to safetensors, from a source that you trust: AutoModelForCausalLM … save_pretrained(folder)"
        return WeightsError(f"{folder} has no {SINGLE}, only {unread[0]}, which could run code when read", cure)
    empty = "it is empty" if folder.is_dir() else "there is no such folder"
    what = f"found: {', '.join(names[:8])}" if names else empty
    return WeightsError(f"{folder} has no weights ({what})", f"a checkpoint folder holds {SINGLE} or {INDEX}")
