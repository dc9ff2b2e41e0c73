"""`make worlds`: every analysis in every world, often enough to tell its error rates; prints the table.

Ends with 1 where a null or reversed world is supported too often or a true world too seldom.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
from world_kinds import FAMILY, Coverage, World
from world_shelf import COVERAGE, WORLDS

from amuro.results.analyses import load_analysis

NULL_LIMIT = 0.06
TRUE_LIMIT = 0.80
COVERED = (0.93, 0.97)
ANSWERS = ("supported", "refuted", "open", "insufficient", "degenerate", "mixed")


def answers(world: World, draws: int, tasks: int = FAMILY) -> Counter[str]:
    """How often each answer falls, and under "family" in how many draws any finding is supported."""
    counts: Counter[str] = Counter()
    for draw in range(draws):
        rng = np.random.default_rng([zlib.crc32(world.name.encode()), draw])
        found = load_analysis(world.analysis).run(world.make(rng, tasks), rng)
        verdicts = [f.verdict if f.evidence == "measured" else f.evidence for f in found if f.id.endswith(world.ending)]
        counts.update(verdicts)
        counts["family"] += "supported" in verdicts
        counts["draws"] += 1
    return counts


def supported(world: World, counts: Counter[str]) -> float:
    """The rate that a limit is set to: of findings in true worlds, of families with any in the others."""
    if world.truth == "true":
        return counts["supported"] / sum(counts[answer] for answer in ANSWERS)
    return counts["family"] / counts["draws"]


def broken(world: World, counts: Counter[str], null_limit: float = NULL_LIMIT, true_limit: float = TRUE_LIMIT) -> bool:
    rate = supported(world, counts)
    return rate < true_limit if world.truth == "true" else rate > null_limit


def covered(world: Coverage, draws: int) -> float:
    """Share of 95 % intervals that hold the truth."""
    held = []
    for draw in range(draws):
        rng = np.random.default_rng([zlib.crc32(world.name.encode()), draw])
        found = load_analysis(world.analysis).run(world.make(rng, 1), rng)
        held += [f.low <= world.truth <= f.high for f in found if f.id.endswith(world.ending)]
    return float(np.mean(held))


def _answers(place: int, draws: int) -> Counter[str]:
    return answers(WORLDS[place], draws)


def _covered(place: int, draws: int) -> float:
    return covered(COVERAGE[place], draws)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=2000)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--only", default="", help="part of the name of an analysis or a world, or 'coverage'")
    chosen = options.parse_args()
    worlds = [i for i, w in enumerate(WORLDS) if chosen.only in f"{w.analysis} {w.name}"]
    intervals = [i for i, w in enumerate(COVERAGE) if chosen.only in f"{w.analysis} {w.name} coverage"]
    # A forked polars may hang: processes are started anew.
    with ProcessPoolExecutor(chosen.processes, mp_context=get_context("spawn")) as pool:
        counts = pool.map(partial(_answers, draws=chosen.draws), worlds)
        shares = pool.map(partial(_covered, draws=chosen.draws), intervals)
        failed = _print_worlds(worlds, counts) + _print_coverage(intervals, shares)
    return 1 if failed else 0


def _print_worlds(places: Sequence[int], counts: Iterable[Counter[str]]) -> int:
    print(f"| analysis | world | truth | {' | '.join(ANSWERS)} | limit on supported |")
    print("|---" * (len(ANSWERS) + 4) + "|")
    failed = 0
    for world, count in zip((WORLDS[i] for i in places), counts, strict=True):
        total = sum(count[answer] for answer in ANSWERS)
        shares = " | ".join(f"{count[answer] / total:.3f}" for answer in ANSWERS)
        bound = f"≥ {TRUE_LIMIT:.2f}" if world.truth == "true" else f"≤ {NULL_LIMIT:.2f}"
        verdict = f"{supported(world, count):.3f} {bound}{' BROKEN' if broken(world, count) else ''}"
        print(f"| {world.analysis} | {world.name} | {world.truth} | {shares} | {verdict} |", flush=True)
        failed += broken(world, count)
    return failed


def _print_coverage(places: Sequence[int], shares: Iterable[float]) -> int:
    print("\n| analysis | interval of | holds the truth |\n|---|---|---|")
    failed = 0
    for known, share in zip((COVERAGE[i] for i in places), shares, strict=True):
        off = not COVERED[0] <= share <= COVERED[1]
        print(f"| {known.analysis} | {known.name} | {share:.3f}{' BROKEN' if off else ''} |", flush=True)
        failed += off
    return failed


if __name__ == "__main__":
    sys.exit(main())
