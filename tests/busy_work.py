"""Work that a benchmark measures in processes of its own: a module that they import in no time."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import side_by_side
from side_by_side import Done

AMOUNT = 1_500_000


class Busy:
    """Counts in pure Python; `amount` of it makes a unit."""

    flops = 0.0

    def __init__(self, amount: int, output: int = 7) -> None:
        self._amount, self._output = amount, output

    def outputs(self) -> int:
        return self._output

    def once(self) -> Done:
        return side_by_side.timed(1, lambda: sum(range(self._amount)))


class Broken(Busy):
    def outputs(self) -> int:
        raise ValueError("no such weights")
