"""Messages for unexpected errors and for worker processes that died."""

from __future__ import annotations

import errno
import signal
import tempfile
import traceback
from collections.abc import Iterable
from pathlib import Path

from amuro.core.environment import as_written
from amuro.core.errors import AmuroError

MEMORY_CURE = "smaller batches (batch_size, limit), fewer processes (workers = 1 in the study), or a machine with more"

_MEMORY_WORDS = ("can't allocate memory", "out of memory", "failed to map segment", "cannot allocate memory",
                 "bad_alloc", "unable to allocate")  # fmt: skip


def reason(error: BaseException) -> str:
    """The message for users: that of an AmuroError, lack of memory with a cure, else error class and first line."""
    if isinstance(error, AmuroError):
        return str(error)
    line = as_written(next(iter(str(error).strip().splitlines()), ""))
    kind = type(error).__name__
    if _is_of_memory(error):
        return f"out of memory ({kind}{': ' if line else ''}{line[:120]}); {MEMORY_CURE}"
    return f"{kind}: {line}" if line else kind


def _is_of_memory(error: BaseException) -> bool:
    """Whether an error means lack of memory; torch's class is recognised by name, to avoid importing torch."""
    message = str(error).lower()
    number = getattr(error, "errno", None)
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or number == errno.ENOMEM
    return named or any(word in message for word in _MEMORY_WORDS)


def of_exit(code: int | None) -> str:
    """Why a process ended without a message, from its exit code (negative: the signal that ended it)."""
    if code is None or code >= 0:
        return f"its process died (exit code {code})"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if name == "SIGKILL":
        return f"its process was killed (exit code {code}), most likely out of memory; {MEMORY_CURE}"
    if name == "SIGABRT":
        return f"its process gave up (exit code {code}, {name}), as it does out of memory; {MEMORY_CURE}"
    return f"its process was ended by {name} (exit code {code})"


def unforeseen(error: BaseException) -> str:
    """The message for an error that a command did not expect; the traceback is written to a temporary file."""
    if isinstance(error, OSError) or _is_of_memory(error):
        return reason(error)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="amuro-", suffix=".txt", delete=False) as file:
        file.write(trace(error))
    return f"{reason(error)} (not foreseen; a fault of amuro, please report it with {Path(file.name)})"


def trace(error: BaseException) -> str:
    """The traceback of an error, with values of environment variables replaced by their names."""
    return as_written("".join(traceback.format_exception(error)))


def counted(reasons: Iterable[str], most: int = 8) -> list[str]:
    """Each distinct reason with its count, the most frequent first; beyond `most`, only the number of the others."""
    counts: dict[str, int] = {}
    for text in reasons:
        counts[text] = counts.get(text, 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    more = [f"and {len(ordered) - most} other reasons"] if len(ordered) > most else []
    return [f"{count} × {text}" for text, count in ordered[:most]] + more
