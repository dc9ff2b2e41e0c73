"""The next checkpoint is fetched, and its files are brought into memory, while the present one is worked on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from amuro.core.weights import weight_files


def read_ahead(locate: Callable[[], Path | None]) -> Thread:
    """Begins in the background, and never fails: whatever is wrong is said when the checkpoint is loaded.

    locate: the checkpoint's folder, fetched if need be.
    """
    thread = Thread(target=_read, args=(locate,), name="read ahead", daemon=True)
    thread.start()
    return thread


def _read(locate: Callable[[], Path | None]) -> None:
    with contextlib.suppress(Exception):
        folder = locate()
        for file in weight_files(folder) if folder and folder.is_dir() else ():
            _advise(file)


def _advise(file: Path) -> None:
    """Ask the kernel to read the file; it does so when the disk has nothing else to do."""
    if not hasattr(os, "posix_fadvise"):
        return
    number = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(number)
