"""What a checkpoint's small files say about the ends of a text: decided here, once, from files that may disagree.

What tuning teaches as the end is the first that is named by

1. `eos_token` of tokenizer_config.json, or of special_tokens_map.json, which comes first where the former holds no
   added_tokens_decoder (so transformers reads them),
2. `eos_token_id` of generation_config.json, else of config.json: of a list the first.

What ends a generation is that, and every id of the second source: as transformers' `generate`, to which lm_eval adds
the tokenizer's own. So what is taught always ends an answer.
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
"""The class of transformers that makes a post-processor of its own, without BOS: what tokenizer.json has is dropped."""
_REBUILT_FOR = ("gpt_neox", "olmo", "olmoe", "mamba", "mamba2", "falcon_mamba", "mpt", "rwkv", "xlstm")
"""Model types that get this class where no file names one."""

Ids = Callable[[str], int | None]
"""Token → its id; None where the vocabulary has no such token."""


@dataclass(frozen=True)
class Ending:
    """How a text ends for one checkpoint."""

    taught: int
    others: frozenset[int]
    """More ids that end a generation."""
    remarks: tuple[str, ...]
    """Where files disagree, in whole sentences without the folder's name."""


@dataclass(frozen=True)
class _Named:
    file: str
    ids: tuple[int, ...]


def ending(folder: Path, id_of: Ids, known: Callable[[int], bool], tokenizer: Path | None = None) -> Ending:
    """The ending of the checkpoint in `folder`, whose tokenizer may lie elsewhere. known: whether an id has a token.

    Raises WeightsError where no file names an end, or one names what the vocabulary does not have.
    """
    own = list(_by_token(tokenizer or folder, id_of))
    models = list(_by_id(folder))
    if not own and not models:
        cure = 'add "eos_token" to its tokenizer_config.json'
        raise WeightsError(f"{folder} names no end-of-text token", cure)
    first = (own or models)[0]
    taught = first.ids[0]
    if not known(taught):
        cure = 'name a token of its vocabulary: "eos_token" in tokenizer_config.json'
        raise WeightsError(f"{folder / first.file} names {taught} as end of text, an id without a token", cure)
    ends = {one for named in (*own, *models[:1]) for one in named.ids}
    remarks = _disagreements(taught, (*own, *models), {one for one in ends if known(one)} | {taught})
    return Ending(taught, frozenset(filter(known, ends)) - {taught}, tuple(remarks))


def around_remarks(
    folder: Path, before: tuple[int, ...], after: tuple[int, ...], tokenizer: Path | None = None
) -> tuple[str, ...]:
    """Where other readers of the same files put something else before or behind a text than amuro does.

    before, after: what the post-processor of tokenizer.json puts there.
    """
    told = _table((tokenizer or folder) / TOKENIZER_CONFIG)
    config = _table(folder / CONFIG)
    found = []
    if after:
        found.append("tokenizer.json also puts a token behind each text: none is put behind a prompt here")
    named = told.get("tokenizer_class") or config.get("tokenizer_class") or ""
    rebuilt = str(named).removesuffix("Fast") == _REBUILT or (not named and config.get("model_type") in _REBUILT_FOR)
    if before and rebuilt:
        found.append(
            f"tokenizer.json puts {_shown(before)} before each text, and so does amuro; "
            f"{_REBUILT}, which transformers reads it with, drops that"
        )
    elif isinstance(said := told.get("add_bos_token"), bool) and said != bool(before):
        found.append(
            f"tokenizer_config.json says add_bos_token = {str(said).lower()}, and tokenizer.json puts "
            f"{_shown(before) if before else 'nothing'} before a text: tokenizer.json is followed, as by transformers"
        )
    return tuple(found)


def _by_token(folder: Path, id_of: Ids) -> Iterator[_Named]:
    """What the tokenizer's own files name, in the order in which they count."""
    decoded = "added_tokens_decoder" in _table(folder / TOKENIZER_CONFIG)
    for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS) if decoded else (SPECIAL_TOKENS, TOKENIZER_CONFIG):
        token = _table(folder / name).get("eos_token")
        token = token.get("content") if isinstance(token, Mapping) else token
        if token is None:
            continue
        found = id_of(token) if isinstance(token, str) else None
        if found is None:
            cure = "name one of the tokens of its tokenizer.json"
            raise WeightsError(f"{folder / name} names {token!r} as eos_token, which is not in the vocabulary", cure)
        yield _Named(name, (found,))


def _by_id(folder: Path) -> Iterator[_Named]:
    """What the model's own files name, in the order in which they count."""
    for name in (GENERATION, CONFIG):
        found = _table(folder / name).get("eos_token_id")
        ids = found if isinstance(found, list) else [] if found is None else [found]
        if any(type(one) is not int or one < 0 for one in ids):
            raise WeightsError(f"{folder / name} names {found!r} as eos_token_id", "give a whole number, or a list")
        if ids:
            yield _Named(name, tuple(ids))


def _disagreements(taught: int, named: tuple[_Named, ...], ends: set[int]) -> Iterator[str]:
    if any(taught not in one.ids for one in named):
        told = ", ".join(f"{one.file} names {_shown(one.ids)}" for one in named)
        ending = f"{taught} is learned, {_shown(sorted(ends))} end an answer"
        yield f"the files disagree about the end of a text ({told}): {ending}"


def _shown(ids: Iterable[int]) -> str:
    return " and ".join(map(str, ids))


def _table(path: Path) -> Mapping[str, Any]:
    """A JSON file that holds a table; empty where there is none. Raises WeightsError where it holds another thing."""
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise WeightsError(
            f"{path} holds no table", "save the tokenizer and the model again with save_pretrained(folder)"
        )
    return found
