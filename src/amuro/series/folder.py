"""Checkpoints in local folders: a folder of checkpoint folders, or one model folder.

    [series.mine]
    kind = "folder"
    path = "runs/mine"          # holds step-00000700, step700, step1000-tokens4B … (revisions.py lists the patterns)
    tokens_per_step = 8192      # optional, as are corpus_tokens, warmup_steps, schedule; step, tokens for one model

Where the names say too little, a `series.toml` (or `series.json`) beside them does. Its top level may hold the options
above as well, which the study's own overrule; only what it lists is part of the series:

    schedule = "constant"
    [[checkpoint]]
    folder = "early"
    step = 1000                 # the rest is optional
    tokens = 8192000
    unique_tokens = 8192000
    schedule = "warmup"
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from amuro.errors import SeriesError, StudyError
from amuro.identity import sample_digest, weights_digests
from amuro.revisions import parse_revision
from amuro.safetensors_header import read_header
from amuro.series_kind import (
    COURSE_OPTIONS,
    UNKNOWN_STEP,
    Course,
    Inspection,
    SeriesKind,
    course,
    in_order,
    known_options,
    whole,
)
from amuro.types import Checkpoint
from amuro.weights import TOKENIZER, check_folder, check_vocabulary, read_json, weight_files
from amuro.written import filled

_ENTRY = ("folder", "step", "tokens", "unique_tokens", "schedule")


def checkpoints(name: str, options: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """The checkpoints of a folder, each checked: safetensors, config and tokenizer there, no code.

    A checkpoint's identity is a sample of its bytes, so that a moved folder is the same and an exchanged one is not.
    Raises StudyError on bad options, WeightsError on a folder that is no sound checkpoint, SeriesError where nothing
    is found, a name says no step, or a step stands twice.
    """
    known_options(name, options, ("path", "step", "tokens", *COURSE_OPTIONS))
    root = _root(name, options)
    listing = _listing(root)
    way = course(name, {**{key: listing[key] for key in COURSE_OPTIONS if key in listing}, **options}, Course())
    entries = listing["checkpoint"] if listing else list(_found(name, root, options, way))
    if {"step", "tokens"} & options.keys() and entries[0]["folder"] != ".":
        raise StudyError(
            f"series '{name}' states step or tokens for many checkpoints", f"state them in {root}/series.toml"
        )
    return in_order(name, [_checkpoint(name, root, entry, way) for entry in entries])


def locate(checkpoint: Checkpoint, cache: Path) -> Path | None:
    """The folder itself, checked once more. Raises WeightsError where it has changed for the worse, or where the
    tokenizer does not fit the weights.
    """
    return check_vocabulary(check_folder(_folder(checkpoint)))


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
    """A file of the folder; None where it has none."""
    path = _folder(checkpoint) / name
    return path if path.is_file() else None


def _root(name: str, options: Mapping[str, Any]) -> Path:
    text = options.get("path")
    if not isinstance(text, str) or not text:
        raise StudyError(f"series '{name}' has no path", 'say where its checkpoints lie: path = "…"')
    root = Path(filled(text)).expanduser().resolve()
    if not root.is_dir():
        raise SeriesError(f"series '{name}': there is no folder {root}", "correct its path in the study")
    return root


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
    except ValueError as error:
        raise SeriesError(f"{path} is no valid TOML ({error})", "mend the line that it names") from error


def _checked_listing(path: Path, listing: Any) -> dict[str, Any]:
    entries = listing.get("checkpoint") if isinstance(listing, dict) else None
    if not isinstance(entries, list) or not entries:
        raise SeriesError(f"{path} lists no checkpoints", "give each a table [[checkpoint]] with folder and step")
    known_options(str(path), listing, ("checkpoint", *COURSE_OPTIONS))
    for entry in entries:
        known_options(str(path), entry, _ENTRY)
        if not {"folder", "step"} <= entry.keys():
            raise SeriesError(f"{path} has a checkpoint without folder or step: {entry}", "state both")
    return dict(listing)


def _found(name: str, root: Path, options: Mapping[str, Any], way: Course) -> Iterator[dict[str, Any]]:
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    named = [(path, revision) for path in folders if (revision := parse_revision(path.name))]
    if not named:
        yield _single(name, root, folders, options)
    for path, revision in named:
        yield {"folder": path.name, "step": revision.step, "tokens": way.tokens(revision.step, revision.tokens)}
    if named and (other := [path for path in folders if not parse_revision(path.name) and _has_weights(path)]):
        raise SeriesError(f"{other[0]} holds weights, but its name says no step", f"list them in {root}/series.toml")


def _single(name: str, root: Path, folders: list[Path], options: Mapping[str, Any]) -> dict[str, Any]:
    inner = [path.name for path in folders if _has_weights(path)]
    if inner and not _has_weights(root):
        cure = f"list it in {root}/series.toml, or let path end there"
        raise SeriesError(f"{root}/{inner[0]} holds weights, but its name says no step", cure)
    weight_files(root)
    step = options.get("step", UNKNOWN_STEP)
    return {"folder": ".", "step": step, "tokens": options.get("tokens")}


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _checkpoint(name: str, root: Path, entry: Mapping[str, Any], way: Course) -> Checkpoint:
    folder = check_folder((root / entry["folder"]).resolve())
    step = whole(name, "step", entry["step"], least=UNKNOWN_STEP)
    own = course(name, {"schedule": entry["schedule"]} if "schedule" in entry else {}, way)
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
)
