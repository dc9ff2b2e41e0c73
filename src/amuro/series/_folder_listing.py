"""Reads the `series.toml` or `series.json` that lists the checkpoints of a folder (see `series/folder.py`)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from amuro.core.configs import read_json
from amuro.core.errors import SeriesError
from amuro.series.base import COURSE_OPTIONS, known_options

_ENTRY = ("folder", "step", "tokens", "unique_tokens", "schedule")
"""Keys of a listed checkpoint."""


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False for names that no file system can hold."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long or that no file system can hold
        return False


def listing_of(root: Path) -> dict[str, Any]:
    """Returns the parsed series.toml or series.json, {} without one."""
    for path in (root / "series.toml", root / "series.json"):
        if path.is_file():
            return _checked_listing(path, _read(path))
    return {}


def _read(path: Path) -> Any:
    """Parses a listing. Raises SeriesError on bad syntax."""
    if path.suffix == ".json":
        return read_json(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SeriesError(f"{path} is no valid TOML ({error})", "mend the line that it names") from error


def _checked_listing(path: Path, listing: Any) -> dict[str, Any]:
    """Returns a listing whose keys and folders are valid, else raises SeriesError."""
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
    """Raises SeriesError unless `folder` names an existing folder within the listing's own."""
    if not isinstance(folder, str) or not folder:
        raise SeriesError(f"{path} has folder = {folder!r:.60}", "name a folder beside it in quotes")
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise SeriesError(f"{path} leaves its own folder: {folder!r:.200}", "list what lies within it")
    if not is_folder(path.parent / folder):
        raise SeriesError(f"{path} lists {folder!r:.200}: there is no such folder", "correct its name")
