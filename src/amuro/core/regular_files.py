"""Reading of regular files only. Pipes, sockets and devices are refused, because reading them could block forever."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

_NONE = "it is no ordinary file but a pipe, a socket or a device"


def file(path: Path) -> Path:
    """The path itself if it is a regular file or a folder. Raises OSError where it does not exist, or is neither."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a folder raises an error of its own
        raise OSError(errno.EINVAL, _NONE, str(path))
    return path


def content(path: Path) -> bytes:
    """The bytes of a regular file. Raises OSError as `file` does, and where it cannot be read."""
    return file(path).read_bytes()
