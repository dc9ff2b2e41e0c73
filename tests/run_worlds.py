"""`make worlds`: every analysis in every world, often enough to tell its error rates; prints the table.

Ends with 1 where a null or reversed world is supported too often or a true world too seldom.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from world_shelf import WORLDS, World

from amuro import catalog

NULL_LIMIT = 0.06
TRUE_LIMIT = 0.80
ANSWERS = ("supported", "refuted", "open", "insufficient", "degenerate")


def answers(world: World, draws: int, world_seed: int = 0) -> Counter[str]:
    """How often each answer falls, and under "family" in how many draws any finding is supported."""
    counts: Counter[str] = Counter()
    for draw in range(draws):
        rng = np.random.default_rng([zlib.crc32(world.name.encode()), world_seed, draw])
        found = catalog.analysis(world.analysis).run(world.make(rng), rng)
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


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=2000)
    options.add_argument("--only", default="", help="part of the name of a world or an analysis")
    chosen = options.parse_args()
    worlds = [w for w in WORLDS if chosen.only in f"{w.analysis} {w.name} {w.truth}"]
    print(f"| analysis | world | truth | {' | '.join(ANSWERS)} | limit on supported |")
    print("|---" * (len(ANSWERS) + 4) + "|")
    failed = 0
    with ProcessPoolExecutor() as pool:
        for world, counts in zip(worlds, map(partial(answers, draws=chosen.draws), worlds), strict=True):
            total = sum(counts[answer] for answer in ANSWERS)
            shares = " | ".join(f"{counts[answer] / total:.3f}" for answer in ANSWERS)
            bound = f"≥ {TRUE_LIMIT:.2f}" if world.truth == "true" else f"≤ {NULL_LIMIT:.2f}"
            verdict = f"{supported(world, counts):.3f} {bound}{' BROKEN' if broken(world, counts) else ''}"
            print(f"| {world.analysis} | {world.name} | {world.truth} | {shares} | {verdict} |", flush=True)
            failed += broken(world, counts)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
