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
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from amuro.core.configs import read_object
from amuro.core.environment import filled
from amuro.core.errors import SeriesError, StudyError
from amuro.core.hashing import sample_digest, weights_digests
from amuro.core.revisions import Revision, parse_revision
from amuro.core.safetensors_header import read_header
from amuro.core.types import Checkpoint
from amuro.core.weights import INDEX, TOKENIZER, TOKENIZER_FILES, check_folder, check_vocabulary, pickled, weight_files
from amuro.series._folder_listing import is_folder, listing_of
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
"""Part of the name of a folder that is meant to hold weights."""
OPTIONS = {
    "path": Option("text", "The folder of checkpoint folders, or of one model.", "needed"),
    "tokenizer": Option("text", "Folder of the tokenizer of all checkpoints, in place of their own."),
    "step": Option("whole number ≥ -1", "Step of a single model; -1 is a step that nobody counted.", str(UNKNOWN_STEP)),
    "tokens": Option("whole number ≥ 0", "Training tokens that a single model has seen."),
    **COURSE_OPTIONS,
}
"""Keys of the table of this kind."""


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """Returns the checkpoints of a folder, each checked: safetensors, config and tokenizer exist, no code.

    The identity is a digest of a sample of the bytes, so that a moved folder is the same checkpoint and an exchanged
    one is not. Raises StudyError on bad options, WeightsError on a folder that is not a valid checkpoint, SeriesError
    if there is none, a name has no step, or a step occurs twice.
    """
    known_options(name, options, OPTIONS)
    root = _root(name, options, "path")
    listing = listing_of(root)
    schedule = token_schedule(
        name, {**{key: listing[key] for key in COURSE_OPTIONS if key in listing}, **options}, TokenSchedule()
    )
    entries = listing["checkpoint"] if listing else list(_found(root, options, schedule))
    tokenizer = _root(name, options, "tokenizer") if "tokenizer" in options else None
    if {"step", "tokens"} & options.keys() and entries[0]["folder"] != ".":
        raise StudyError(
            f"series '{name}' states step or tokens for many checkpoints", f"state them in {root}/series.toml"
        )
    return in_order(name, [_checkpoint(name, root, entry, schedule, tokenizer) for entry in entries])


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """Returns the folder, checked again. Raises WeightsError if it is no longer valid or the tokenizer does not fit
    the weights.
    """
    words = tokenizer_folder(checkpoint)
    return check_vocabulary(check_folder(_folder(checkpoint), words), words)


def at_hand(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """Returns the folder."""
    return _folder(checkpoint)


def inspect(checkpoint: Checkpoint, cache: Path) -> Inspection | None:
    """Returns the digests of its tensors, cached in the cache folder, and of its small files."""
    folder = _folder(checkpoint)
    weights, shards = weights_digests(folder, memo=cache / "digests.json")
    small = {name: document(checkpoint, name) for name in ("config.json", TOKENIZER)}
    return Inspection(weights, shards, {name: _sha256(path) for name, path in small.items() if path})


def document(checkpoint: Checkpoint, name: str) -> Path | None:
    """Returns a file of the folder, or of its tokenizer's folder; None if it does not exist."""
    elsewhere = tokenizer_folder(checkpoint) if name in TOKENIZER_FILES else None
    path = (elsewhere or _folder(checkpoint)) / name
    return path if path.is_file() else None


def left_out(name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns sentences about what is in the folder and not part of the series; none if a listing
    defines the series.
    """
    root = _root(name, options, "path")
    if listing_of(root) or not (named := _named(root)):
        return ()
    root_weights = [f"the weights in {root} itself"] if _has_weights(root) else []
    bare = [f"{path.name}, which holds no weights" for path, _ in named if not _holds_any(path)]
    nameless = [path for path in _folders(root) if _is_nameless(path)]
    other = [f"{path.name}, whose name says no step" + _if_bare(path) for path in nameless]
    return tuple(f"{root}: {what}" for what in (*root_weights, *bare, *other))


def _root(name: str, options: Mapping[str, Any], key: str) -> Path:
    """Returns the folder that an option names. Raises StudyError without one, SeriesError if it does not exist."""
    text = options.get(key)
    if not isinstance(text, str) or not text:
        raise StudyError(f"series '{name}' has no {key}", f'say which folder is meant: {key} = "…"')
    path = Path(os.path.expanduser(filled(text)))  # noqa: PTH111  # raises on no unknown user
    if not is_folder(path):  # quoted as written: the value of an environment variable stays private
        raise SeriesError(f"series '{name}': there is no folder {text:.200}", f"correct its {key} in the study")
    return path.resolve()


def _found(root: Path, options: Mapping[str, Any], schedule: TokenSchedule) -> Iterator[dict[str, Any]]:
    """Yields folder, step and tokens of each checkpoint folder by its name; of a single model if there are none."""
    named = _named(root)
    if not named:
        yield _single(root, options)
    with_weights = [(path, revision) for path, revision in named if _holds_any(path)]
    if named and not with_weights:
        raise SeriesError(f"no checkpoint in {root} holds weights ({named[0][0].name} is the first)", _SAVE)
    for path, revision in with_weights:
        stated = revision.tokens if (counted := _trainer_tokens(path)) is None else counted
        yield {"folder": path.name, "step": revision.step, "tokens": schedule.tokens(revision.step, stated)}


def _folders(root: Path) -> list[Path]:
    """Returns the visible subfolders, sorted. Raises SeriesError on a name that is not valid text."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    for path in folders:
        if _NO_TEXT.search(path.name):  # such a name cannot be stored in any result
            raise SeriesError(f"{root} holds a folder {path.name!a}", "rename it: its name is no text")
    return folders


def _named(root: Path) -> list[tuple[Path, Revision]]:
    """Returns the folders whose names contain a step. Drafts (`tmp-checkpoint-700`, `checkpoint-700.tmp`) do not
    count.
    """
    return [(path, revision) for path in _folders(root) if (revision := parse_revision(path.name))]


def _is_nameless(folder: Path) -> bool:
    """Whether a folder without a step in its name has weights, or a name as if it should."""
    return not parse_revision(folder.name) and (_holds_any(folder) or bool(_MEANT.search(folder.name)))


def _if_bare(folder: Path) -> str:
    """Returns a remark if a folder has no weights."""
    return "" if _holds_any(folder) else ", and which holds no weights"


def _holds_any(folder: Path) -> bool:
    """Whether a folder has weights in any format: unreadable ones are refused later, missing ones are skipped."""
    return _has_weights(folder) or (folder / INDEX).is_file() or bool(pickled(folder))


def _trainer_tokens(folder: Path) -> int | None:
    """Returns the tokens that the transformers Trainer counted; None if it was not asked to count
    (it writes 0 then).
    """
    path = folder / "trainer_state.json"
    state = read_object(path) if path.is_file() else {}
    seen = state.get("num_input_tokens_seen")
    return seen if type(seen) is int and seen > 0 else None


def _single(root: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entry of a single model. Raises SeriesError if only subfolders have weights."""
    inner = [path.name for path in _folders(root) if _has_weights(path)]
    if inner and not _has_weights(root):
        cure = f"list it in {root}/series.toml, or let path end there"
        raise SeriesError(f"{root}/{inner[0]} holds weights, but its name says no step", cure)
    weight_files(root)
    step = options.get("step", UNKNOWN_STEP)
    return {"folder": ".", "step": step, "tokens": options.get("tokens", _trainer_tokens(root))}


def _has_weights(folder: Path) -> bool:
    """Whether a folder has safetensors."""
    return any(folder.glob("*.safetensors"))


def _checkpoint(
    name: str, root: Path, entry: Mapping[str, Any], token_rules: TokenSchedule, tokenizer: Path | None = None
) -> Checkpoint:
    """Returns the checkpoint of an entry."""
    folder = check_folder((root / entry["folder"]).resolve(), tokenizer)
    step = whole(name, "step", entry["step"], least=UNKNOWN_STEP)
    entry_rules = token_schedule(name, {"schedule": entry["schedule"]} if "schedule" in entry else {}, token_rules)
    tokens = _count(name, "tokens", entry)
    tokens = token_rules.tokens(step) if tokens is None else tokens
    unique = _count(name, "unique_tokens", entry)
    return Checkpoint(
        series=name,
        step=step,
        tokens=tokens,
        unique_tokens=token_rules.unique(tokens) if unique is None else unique,
        schedule=entry_rules.schedule if "schedule" in entry else token_rules.state(step),
        source=f"folder:{folder}",
        identity=sample_digest(folder),
        parameters=sum(prod(tensor.shape) for path in weight_files(folder) for tensor in read_header(path)),
        bytes=sum(path.stat().st_size for path in weight_files(folder)),
        tokenizer=str(tokenizer) if tokenizer else None,
    )


def _count(name: str, key: str, entry: Mapping[str, Any]) -> int | None:
    """Returns a whole number of an entry, None if not given."""
    value = entry.get(key)
    return None if value is None else whole(name, key, value)


def _sha256(path: Path) -> str:
    """Returns the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _folder(checkpoint: Checkpoint) -> Path:
    """Returns the folder of a checkpoint's weights."""
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
