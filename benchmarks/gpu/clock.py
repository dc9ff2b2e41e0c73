"""Wall seconds of work on a device, which answers before it has done what it was told."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from gpu.scale import Scale

Facts = dict[str, Any]
"""What a job found: name → figure."""


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def tidy() -> None:
    """Gives back memory that nothing holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def once(work: Callable[[], object], device: str) -> float:
    """Seconds of one pass."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def matmul_rate(dtype: torch.dtype, size: int, device: str) -> float:
    """Floating-point operations a second of a product of two random matrices (size, size)."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out, passes = torch.empty_like(left), 15
    # In a row, so that launching one hides behind the one before; the first row warms up.
    rows = [once(lambda: [torch.mm(left, right, out=out) for _ in range(passes)], device) for _ in range(3)]
    return 2.0 * size**3 * passes / min(rows)


def timed(scale: Scale, work: Callable[[], object], warm: bool = False) -> tuple[float, Facts]:
    """(median seconds of a pass, figures); one pass before them warms up, unless that has been done."""
    if not warm:
        once(work, scale.device)
    return middle([once(work, scale.device) for _ in range(scale.passes)])


def middle(taken: Sequence[float]) -> tuple[float, Facts]:
    """Median seconds, and as figures: with the range of all as a share of the median."""
    median = statistics.median(taken)
    return median, {"seconds": median, "spread": (max(taken) - min(taken)) / median}


def best_batch(device: str, batches: Sequence[int], work: Callable[[int], object]) -> tuple[int, Facts]:
    """The batch size whose pass takes least time; one that does not fit into memory is left out."""
    seconds = {batch: _if_it_fits(partial(work, batch), device) for batch in batches}
    best = min(batches, key=lambda batch: seconds[batch])
    if math.isinf(seconds[best]):
        raise torch.OutOfMemoryError("no batch size fits into memory")
    return best, {"batch": best, "tried": {batch: round(taken, 3) for batch, taken in seconds.items()}}


def _if_it_fits(work: Callable[[], object], device: str) -> float:
    try:
        return once(work, device)
    except torch.OutOfMemoryError:
        return math.inf
    finally:
        tidy()
