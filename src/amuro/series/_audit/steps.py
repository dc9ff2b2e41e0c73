"""Gaps in a sequence of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from amuro.series._audit.issue import AuditIssue, Level
from amuro.series.base import Grid

WIDE, FAR = 10, 3
"""Two neighbours have a gap between them if their distance is more than WIDE times the median distance, and in
log(step + 1) more than FAR times the median. Evenly spaced, log-spaced and mixed steps (Pythia's) have no gap; a
range of lost checkpoints is one.
"""
_LEAST = 4
"""Fewest distances for which gaps are looked for."""
_SHOWN = 5


def holes(steps: Sequence[int]) -> list[tuple[int, int]]:
    """Returns the pairs of neighbouring steps with a gap between them; none for fewer than four distances."""
    pairs = list(pairwise(steps))
    if len(pairs) < _LEAST:
        return []
    apart = [later - earlier for earlier, later in pairs]
    ratios = [math.log1p(later) - math.log1p(earlier) for earlier, later in pairs]
    wide, far = WIDE * median(apart), FAR * median(ratios)
    return [pair for pair, a, r in zip(pairs, apart, ratios, strict=True) if a > wide and r > far]


def gaps(chosen: Sequence[int], grid: Grid | None) -> Iterator[AuditIssue]:
    """Yields the gaps in the steps that a source publishes, or in the chosen steps if it publishes no list, and the
    documented steps that are missing.

    Gaps among published steps are notes: a study cannot repair them.
    """
    if grid is None:
        yield from _holes(sorted(chosen), "doubtful", "the series")
        return
    yield from _holes(sorted({0, *grid.listed}), "note", "what the hub lists")
    lost = sorted(set(grid.documented) - set(grid.listed))
    if lost:
        shown = ", ".join(map(str, lost[:_SHOWN])) + (" …" if len(lost) > _SHOWN else "")
        detail = f"the hub lacks {len(lost)} of {len(grid.documented)} documented steps: {shown}"
        yield AuditIssue("missing steps", "note", detail)


def _holes(steps: Sequence[int], level: Level, where: str) -> Iterator[AuditIssue]:
    """Yields an issue for each gap."""
    for earlier, later in holes(steps):
        cure = "" if level == "note" else "look for lost checkpoints between them"
        yield AuditIssue("gap", level, f"{where} has nothing between steps {earlier:,} and {later:,}", cure)
