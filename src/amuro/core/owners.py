"""Unique names of processes, and whether the process of a name still runs. Drafts and claims carry such names."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path


def me() -> str:
    """The name of this process, `MACHINE-PID-START`; unique over machines and time."""
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}"


def is_gone(owner: str) -> bool | None:
    """Whether the process of that name has ended; None: unknown, as of another machine or a malformed name.

    A suffix after a dot is ignored.
    """
    machine, _, rest = owner.partition("-")
    number, _, start = rest.partition("-")
    if machine != _machine() or not number.isdigit():
        return None
    return _started(int(number)) != start.partition(".")[0]


@lru_cache(maxsize=1)
def _machine() -> str:
    """Digest that identifies machine, boot and PID namespace (containers number their processes separately)."""
    parts = [platform.node(), _read("/proc/sys/kernel/random/boot_id"), _linked("/proc/self/ns/pid")]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _started(number: int) -> str:
    """Start time of a process in clock ticks since boot, which tells it from a later process with the same number.

    `none` if there is no such process, `dead` for a zombie. Without /proc: `some` for any running process.
    """
    if not Path("/proc/self/stat").exists():
        return "some" if _answers(number) else "none"
    fields = _read(f"/proc/{number}/stat").rpartition(")")[2].split()
    return "none" if not fields else "dead" if fields[0] in "ZX" else fields[19]


def _answers(number: int) -> bool:
    """Whether a process with that number exists, by signal 0."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _read(path: str) -> str:
    """The stripped content of a file; empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _linked(path: str) -> str:
    """The target of a symbolic link; empty where it cannot be read."""
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
