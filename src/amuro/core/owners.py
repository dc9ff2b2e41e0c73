"""Who this process is, and whether another one still runs: what drafts and claims are signed with."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path


def me() -> str:
    """`MACHINE-PID-START`: no other process, on whatever machine and at whatever time, is called the same."""
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}"


def is_gone(owner: str) -> bool | None:
    """Whether the process of that name has ended; None where it belongs to another machine, or none is named.

    What stands behind a dot is not read.
    """
    machine, _, rest = owner.partition("-")
    number, _, start = rest.partition("-")
    if machine != _machine() or not number.isdigit():
        return None
    return _started(int(number)) != start.partition(".")[0]


@lru_cache(maxsize=1)
def _machine() -> str:
    """One boot of one machine, as far as process numbers reach (a container counts its own)."""
    parts = [platform.node(), _read("/proc/sys/kernel/random/boot_id"), _linked("/proc/self/ns/pid")]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _started(number: int) -> str:
    """When a process began, in ticks since the boot, so that a number that was given again is known as another's.

    `none` where there is no such process, `dead` for one that has ended and was not yet waited for.
    """
    if not Path("/proc/self/stat").exists():
        return "some" if _answers(number) else "none"
    fields = _read(f"/proc/{number}/stat").rpartition(")")[2].split()
    return "none" if not fields else "dead" if fields[0] in "ZX" else fields[19]


def _answers(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _linked(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
