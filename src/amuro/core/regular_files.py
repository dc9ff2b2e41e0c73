"""The bytes of ordinary files. A pipe, a socket or a device, which may never end, is refused and never waited for."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

_NONE = "it is no ordinary file but a pipe, a socket or a device"


def file(path: Path) -> Path:
    """The path itself, where to open it waits for nobody. Raises OSError where nothing is there, or no such file."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder says so itself when it is opened
        raise OSError(errno.EINVAL, _NONE, str(path))
    return path


def content(path: Path) -> bytes:
    """What an ordinary file holds. Raises OSError as `file` does, and where it cannot be read."""
    return file(path).read_bytes()
