"""Standard streams that never end the work: a reader that has gone away, or a stream that was closed, is written to in
vain.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""The reader of a pipe has left; the terminal was closed; so was the stream."""


class _Patient(io.FileIO):
    def write(self, content: Any) -> int:
        """As of any file. Where nobody reads any more, this and all that follows goes to nowhere."""
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(content)


def mend() -> None:
    """Opens standard streams that are closed onto nowhere, and makes those that are written to patient.

    A closed one would give its number to the next file that is opened, and what is printed would go into that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
        stream = getattr(sys, name)
        if stream is None or (number and stream is getattr(sys, f"__{name}__")):
            setattr(sys, name, _opened(number, stream))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _opened(number: int, before: TextIO | None) -> TextIO:
    if number == 0:
        return io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    encoding, errors = (before.encoding, before.errors) if before else ("utf-8", "backslashreplace")
    raw = io.BufferedWriter(_Patient(number, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding=encoding, errors=errors, line_buffering=True)
