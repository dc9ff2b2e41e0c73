"""End-of-text tokens of a checkpoint, resolved from its small files, which may disagree.

The token that tuning teaches as end-of-text is the first that is named by

1. `eos_token` of tokenizer_config.json, or of special_tokens_map.json, which comes first where the former holds no
   added_tokens_decoder (so transformers reads them),
2. `eos_token_id` of generation_config.json, else of config.json: of a list the first.

A generation ends at that token and at every id of the second source, as in transformers' `generate`; lm_eval adds the
tokenizer's token. So the taught token always ends an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amuro.core.configs import read_json
from amuro.core.errors import WeightsError

CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer_config.json", "special_tokens_map.json"
_REBUILT = "GPTNeoXTokenizer"
"""A tokenizer class of transformers that replaces tokenizer.json's post-processor by one without BOS."""
_REBUILT_FOR = ("gpt_neox", "olmo", "olmoe", "mamba", "mamba2", "falcon_mamba", "mpt", "rwkv", "xlstm")
"""Model types that get this class where no file names one."""

Ids = Callable[[str], int | None]
"""Token → its id; None where the vocabulary has no such token."""


@dataclass(frozen=True)
class Ending:
    """The end-of-text tokens of a checkpoint."""

    taught: int
    """Id that tuning teaches as end-of-text."""
    others: frozenset[int]
    """Further ids that end a generation."""
    remarks: tuple[str, ...]
    """Sentences about disagreeing files, without the folder's name."""


@dataclass(frozen=True)
class _Named:
    """End-of-text ids that one file names."""

    file: str
    ids: tuple[int, ...]


def ending(folder: Path, id_of: Ids, known: Callable[[int], bool], tokenizer: Path | None = None) -> Ending:
    """The end-of-text tokens of the checkpoint in `folder`.

    id_of: token → id. known: whether an id has a token. tokenizer: folder of the tokenizer; None: `folder`.

    Raises WeightsError where no file names an end, or one names what the vocabulary does not have.
    """
    by_tokenizer = list(_by_token(tokenizer or folder, id_of))
    by_model = list(_by_id(folder))
    if not by_tokenizer and not by_model:
        cure = 'add "eos_token" to its tokenizer_config.json'
        raise WeightsError(f"{folder} names no end-of-text token", cure)
    first = (by_tokenizer or by_model)[0]
    taught = first.ids[0]
    if not known(taught):
        cure = 'name a token of its vocabulary: "eos_token" in tokenizer_config.json'
        raise WeightsError(f"{folder / first.file} names {taught} as end of text, an id without a token", cure)
    ends = {number for named in (*by_tokenizer, *by_model[:1]) for number in named.ids}
    named = (*by_tokenizer, *by_model)
    remarks = _disagreements(taught, named, {number for number in ends if known(number)} | {taught})
    return Ending(taught, frozenset(filter(known, ends)) - {taught}, tuple(remarks))


def around_remarks(
    folder: Path, before: tuple[int, ...], after: tuple[int, ...], tokenizer: Path | None = None
) -> tuple[str, ...]:
    """Sentences about special tokens around a text that other tools add for the same files and amuro does not.

    before, after: ids that the post-processor of tokenizer.json adds before and after a text.
    """
    tokenizer_config = _table((tokenizer or folder) / TOKENIZER_CONFIG)
    config = _table(folder / CONFIG)
    remarks = []
    if after:
        remarks.append("tokenizer.json also puts a token behind each text: none is put behind a prompt here")
    named = tokenizer_config.get("tokenizer_class") or config.get("tokenizer_class") or ""
    rebuilt = str(named).removesuffix("Fast") == _REBUILT or (not named and config.get("model_type") in _REBUILT_FOR)
    if before and rebuilt:
        remarks.append(
            f"tokenizer.json puts {_shown(before)} before each text, and so does amuro; "
            f"{_REBUILT}, which transformers reads it with, drops that"
        )
    elif isinstance(add_bos := tokenizer_config.get("add_bos_token"), bool) and add_bos != bool(before):
        remarks.append(
            f"tokenizer_config.json says add_bos_token = {str(add_bos).lower()}, and tokenizer.json puts "
            f"{_shown(before) if before else 'nothing'} before a text: tokenizer.json is followed, as by transformers"
        )
    return tuple(remarks)


def _by_token(folder: Path, id_of: Ids) -> Iterator[_Named]:
    """The end-of-text ids that the tokenizer's files name, in order of precedence. Raises WeightsError."""
    decoded = "added_tokens_decoder" in _table(folder / TOKENIZER_CONFIG)
    for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS) if decoded else (SPECIAL_TOKENS, TOKENIZER_CONFIG):
        token = _table(folder / name).get("eos_token")
        token = token.get("content") if isinstance(token, Mapping) else token
        if token is None:
            continue
        number = id_of(token) if isinstance(token, str) else None
        if number is None:
            cure = "name one of the tokens of its tokenizer.json"
            raise WeightsError(f"{folder / name} names {token!r} as eos_token, which is not in the vocabulary", cure)
        yield _Named(name, (number,))


def _by_id(folder: Path) -> Iterator[_Named]:
    """The end-of-text ids that the model's configs name, in order of precedence. Raises WeightsError."""
    for name in (GENERATION, CONFIG):
        value = _table(folder / name).get("eos_token_id")
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if any(type(number) is not int or number < 0 for number in ids):
            raise WeightsError(f"{folder / name} names {value!r} as eos_token_id", "give a whole number, or a list")
        if ids:
            yield _Named(name, tuple(ids))


def _disagreements(taught: int, named: tuple[_Named, ...], ends: set[int]) -> Iterator[str]:
    """One sentence if a file does not name the taught id."""
    if any(taught not in source.ids for source in named):
        sources = ", ".join(f"{source.file} names {_shown(source.ids)}" for source in named)
        resolution = f"{taught} is learned, {_shown(sorted(ends))} end an answer"
        yield f"the files disagree about the end of a text ({sources}): {resolution}"


def _shown(ids: Iterable[int]) -> str:
    """The ids for a sentence."""
    return " and ".join(map(str, ids))


def _table(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file; empty where there is no file. Raises WeightsError where it holds anything else."""
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise WeightsError(
            f"{path} holds no table", "save the tokenizer and the model again with save_pretrained(folder)"
        )
    return content
