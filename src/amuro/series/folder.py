"""Checkpoints in local folders: a folder of checkpoint folders, or one model folder.

    [series.mine]
    kind = "folder"
    path = "runs/mine"          # holds step-00000700, step700, step1000-tokens4B … (patterns: core/revisions.py)
    tokens_per_step = 8192      # optional, as are corpus_tokens, warmup_steps, schedule; step, tokens for one model
    tokenizer = "runs/words"    # optional: a folder whose tokenizer.json all of them read, in place of their own

Where the names say too little, a `series.toml` (or `series.json`) beside them does. Its top level may hold the options
above as well, which the study's own overrule; only what it lists is part of the series:

    schedule = "constant"
    [[checkpoint]]
    folder = "early"            # within this folder
    step = 1000                 # the rest is optional
    tokens = 8192000
    unique_tokens = 8192000
    schedule = "warmup"

Tokens are told by the first of: a listing's `tokens`, `tokens_per_step`, the count that the trainer of transformers
keeps (`num_input_tokens_seen` in trainer_state.json, where it was asked to count), the folder's name.

Links are followed wherever they lead, as the hub's own cache needs it. What a listing *names* stays within its folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from amuro.core.configs import read_json, read_object
from amuro.core.environment import filled
from amuro.core.errors import SeriesError, StudyError
from amuro.core.hashing import sample_digest, weights_digests
from amuro.core.revisions import Revision, parse_revision
from amuro.core.safetensors_header import read_header
from amuro.core.types import Checkpoint
from amuro.core.weights import INDEX, TOKENIZER, TOKENIZER_FILES, check_folder, check_vocabulary, pickled, weight_files
from amuro.series.base import (
    COURSE_OPTIONS,
    UNKNOWN_STEP,
    Inspection,
    Option,
    SeriesKind,
    TokenSchedule,
    in_order,
    known_options,
    token_schedule,
    tokenizer_folder,
    whole,
)

_SAVE = "wait until one is written, or save one with save_pretrained(folder)"
_NO_TEXT = re.compile("[\ud800-\udfff]")
_MEANT = re.compile("checkpoint|step|final")
"""In the name of a folder that was meant to hold weights."""
_ENTRY = ("folder", "step", "tokens", "unique_tokens", "schedule")
OPTIONS = {
    "path": Option("text", "The folder of checkpoint folders, or of one model.", "needed"),
    "tokenizer": Option("text", "Folder of the tokenizer of all checkpoints, in place of their own."),
    "step": Option("whole number ≥ -1", "Step of a single model; -1 is a step that nobody counted.", str(UNKNOWN_STEP)),
    "tokens": Option("whole number ≥ 0", "Training tokens that a single model has seen."),
    **COURSE_OPTIONS,
}


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """The checkpoints of a folder, each checked: safetensors, config and tokenizer there, no code.

    A checkpoint's identity is a sample of its bytes, so that a moved folder is the same and an exchanged one is not.
    Raises StudyError on bad options, WeightsError on a folder that is no sound checkpoint, SeriesError where nothing
    is found, a name says no step, or a step stands twice.
    """
    known_options(name, options, OPTIONS)
    root = _root(name, options, "path")
    listing = _listing(root)
    way = token_schedule(
        name, {**{key: listing[key] for key in COURSE_OPTIONS if key in listing}, **options}, TokenSchedule()
    )
    entries = listing["checkpoint"] if listing else list(_found(root, options, way))
    tokenizer = _root(name, options, "tokenizer") if "tokenizer" in options else None
    if {"step", "tokens"} & options.keys() and entries[0]["folder"] != ".":
        raise StudyError(
            f"series '{name}' states step or tokens for many checkpoints", f"state them in {root}/series.toml"
        )
    return in_order(name, [_checkpoint(name, root, entry, way, tokenizer) for entry in entries])


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The folder itself, checked once more. Raises WeightsError where it has changed for the worse, or where the
    tokenizer does not fit the weights.
    """
    words = tokenizer_folder(checkpoint)
    return check_vocabulary(check_folder(_folder(checkpoint), words), words)


def at_hand(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The folder itself."""
    return _folder(checkpoint)


def inspect(checkpoint: Checkpoint, cache: Path) -> Inspection | None:
    """Digests of its tensors, remembered in the cache folder, and of its small files."""
    folder = _folder(checkpoint)
    weights, shards = weights_digests(folder, memo=cache / "digests.json")
    small = {name: document(checkpoint, name) for name in ("config.json", TOKENIZER)}
    return Inspection(weights, shards, {name: _sha256(path) for name, path in small.items() if path})


def document(checkpoint: Checkpoint, name: str) -> Path | None:
    """A file of the folder, or of its tokenizer's; None where there is none."""
    elsewhere = tokenizer_folder(checkpoint) if name in TOKENIZER_FILES else None
    path = (elsewhere or _folder(checkpoint)) / name
    return path if path.is_file() else None


def left_out(name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """What lies in the folder and is no part of the series, in sentences; nothing where a listing says what is."""
    root = _root(name, options, "path")
    if _listing(root) or not (named := _named(root)):
        return ()
    own = [f"the weights in {root} itself"] if _has_weights(root) else []
    bare = [f"{path.name}, which holds no weights" for path, _ in named if not _holds_any(path)]
    nameless = [path for path in _folders(root) if _is_nameless(path)]
    other = [f"{path.name}, whose name says no step" + _if_bare(path) for path in nameless]
    return tuple(f"{root}: {what}" for what in (*own, *bare, *other))


def _root(name: str, options: Mapping[str, Any], key: str) -> Path:
    text = options.get(key)
    if not isinstance(text, str) or not text:
        raise StudyError(f"series '{name}' has no {key}", f'say which folder is meant: {key} = "…"')
    path = Path(os.path.expanduser(filled(text)))  # noqa: PTH111  # raises on no unknown user
    if not _is_folder(path):  # told as it is written: what a variable holds is nobody else's business
        raise SeriesError(f"series '{name}': there is no folder {text:.200}", f"correct its {key} in the study")
    return path.resolve()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long or that no file system can hold
        return False


def _listing(root: Path) -> dict[str, Any]:
    for path in (root / "series.toml", root / "series.json"):
        if path.is_file():
            return _checked_listing(path, _read(path))
    return {}


def _read(path: Path) -> Any:
    if path.suffix == ".json":
        return read_json(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SeriesError(f"{path} is no valid TOML ({error})", "mend the line that it names") from error


def _checked_listing(path: Path, listing: Any) -> dict[str, Any]:
    entries = listing.get("checkpoint") if isinstance(listing, dict) else None
    if not isinstance(entries, list) or not entries:
        raise SeriesError(f"{path} lists no checkpoints", "give each a table [[checkpoint]] with folder and step")
    known_options(str(path), listing, ("checkpoint", *COURSE_OPTIONS))
    for entry in entries:
        if not isinstance(entry, dict):
            raise SeriesError(f"{path} lists {entry!r:.60}", "give each checkpoint a table with folder and step")
        known_options(str(path), entry, _ENTRY)
        if not {"folder", "step"} <= entry.keys():
            raise SeriesError(f"{path} has a checkpoint without folder or step: {entry!r:.200}", "state both")
        _check_place(path, entry["folder"])
    return dict(listing)


def _check_place(path: Path, folder: Any) -> None:
    """Raises SeriesError unless a listing names a folder within its own."""
    if not isinstance(folder, str) or not folder:
        raise SeriesError(f"{path} has folder = {folder!r:.60}", "name a folder beside it in quotes")
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise SeriesError(f"{path} leaves its own folder: {folder!r:.200}", "list what lies within it")
    if not _is_folder(path.parent / folder):
        raise SeriesError(f"{path} lists {folder!r:.200}: there is no such folder", "correct its name")


def _found(root: Path, options: Mapping[str, Any], way: TokenSchedule) -> Iterator[dict[str, Any]]:
    named = _named(root)
    if not named:
        yield _single(root, options)
    whole_ones = [(path, revision) for path, revision in named if _holds_any(path)]
    if named and not whole_ones:
        raise SeriesError(f"no checkpoint in {root} holds weights ({named[0][0].name} is the first)", _SAVE)
    for path, revision in whole_ones:
        stated = revision.tokens if (counted := _trainer_tokens(path)) is None else counted
        yield {"folder": path.name, "step": revision.step, "tokens": way.tokens(revision.step, stated)}


def _folders(root: Path) -> list[Path]:
    found = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    for path in found:
        if _NO_TEXT.search(path.name):  # bytes that are no text stand for themselves, and no result can hold them
            raise SeriesError(f"{root} holds a folder {path.name!a}", "rename it: its name is no text")
    return found


def _named(root: Path) -> list[tuple[Path, Revision]]:
    """The folders whose names say a step. Drafts (`tmp-checkpoint-700`, `checkpoint-700.tmp`) say none."""
    return [(path, revision) for path in _folders(root) if (revision := parse_revision(path.name))]


def _is_nameless(folder: Path) -> bool:
    """Whether it holds weights, or is called as if it should, and its name says no step."""
    return not parse_revision(folder.name) and (_holds_any(folder) or bool(_MEANT.search(folder.name)))


def _if_bare(folder: Path) -> str:
    return "" if _holds_any(folder) else ", and which holds no weights"


def _holds_any(folder: Path) -> bool:
    """Whether there are weights of any form: what was not written yet is left out, what cannot be read is refused."""
    return _has_weights(folder) or (folder / INDEX).is_file() or bool(pickled(folder))


def _trainer_tokens(folder: Path) -> int | None:
    """Tokens that the trainer of transformers has counted; None where it was not asked to (then it writes 0)."""
    path = folder / "trainer_state.json"
    state = read_object(path) if path.is_file() else {}
    seen = state.get("num_input_tokens_seen")
    return seen if type(seen) is int and seen > 0 else None


def _single(root: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    inner = [path.name for path in _folders(root) if _has_weights(path)]
    if inner and not _has_weights(root):
        cure = f"list it in {root}/series.toml, or let path end there"
        raise SeriesError(f"{root}/{inner[0]} holds weights, but its name says no step", cure)
    weight_files(root)
    step = options.get("step", UNKNOWN_STEP)
    return {"folder": ".", "step": step, "tokens": options.get("tokens", _trainer_tokens(root))}


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _checkpoint(
    name: str, root: Path, entry: Mapping[str, Any], way: TokenSchedule, tokenizer: Path | None = None
) -> Checkpoint:
    folder = check_folder((root / entry["folder"]).resolve(), tokenizer)
    step = whole(name, "step", entry["step"], least=UNKNOWN_STEP)
    own = token_schedule(name, {"schedule": entry["schedule"]} if "schedule" in entry else {}, way)
    tokens = _count(name, "tokens", entry)
    tokens = way.tokens(step) if tokens is None else tokens
    unique = _count(name, "unique_tokens", entry)
    return Checkpoint(
        series=name,
        step=step,
        tokens=tokens,
        unique_tokens=way.unique(tokens) if unique is None else unique,
        schedule=own.schedule if "schedule" in entry else way.state(step),
        source=f"folder:{folder}",
        identity=sample_digest(folder),
        parameters=sum(prod(tensor.shape) for path in weight_files(folder) for tensor in read_header(path)),
        bytes=sum(path.stat().st_size for path in weight_files(folder)),
        tokenizer=str(tokenizer) if tokenizer else None,
    )


def _count(name: str, key: str, entry: Mapping[str, Any]) -> int | None:
    value = entry.get(key)
    return None if value is None else whole(name, key, value)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _folder(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.source.removeprefix("folder:"))


SERIES = SeriesKind(
    "folder",
    "a local folder of checkpoints, or one model",
    checkpoints,
    locate,
    inspect=inspect,
    document=document,
    at_hand=at_hand,
    left_out=left_out,
    options=OPTIONS,
)
