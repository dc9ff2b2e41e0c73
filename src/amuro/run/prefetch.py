"""Fetches the next checkpoint and reads its files into the page cache while the current one is in use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from amuro.core.weights import weight_files


def read_ahead(locate: Callable[[], Path | None]) -> Thread:
    """Starts to read in the background. Never fails: an error occurs again when the checkpoint is loaded.

    `locate`: returns the checkpoint's folder, fetched if needed.
    """
    thread = Thread(target=_read, args=(locate,), name="read ahead", daemon=True)
    thread.start()
    return thread


def _read(locate: Callable[[], Path | None]) -> None:
    """Fetches a checkpoint and reads its weight files ahead; all errors are ignored."""
    with contextlib.suppress(Exception):
        folder = locate()
        for file in weight_files(folder) if folder and folder.is_dir() else ():
            _advise(file)


def _advise(file: Path) -> None:
    """Asks the kernel to read a file into the page cache; does nothing on systems without posix_fadvise."""
    if not hasattr(os, "posix_fadvise"):
        return
    number = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(number)
