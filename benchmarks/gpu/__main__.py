"""The same code on a GPU: first whether it is right there, then how fast, beside lm_eval, Trainer and `generate`.

    python benchmarks/gpu [--stages rates,families,scoring,tuning,generation,profile] [--seconds 500] [--tiny]

Nothing is downloaded: a model of OLMo-1B's shape is made on the device, random weights and random words as in
`material.py`. Wall seconds between two synchronisations, one pass to warm up, the median of the passes after it. Every
job stands alone: one that fails is shown with its traceback and the next begins; after `--seconds` the rest is skipped
by name. All figures are written to gpu.json (in $OUT where that is set) after every job; `section.py` makes them a
section of docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import peers
from gpu.bench import THREADS, Bench, Jobs
from gpu.families import families
from gpu.profiled import profiled
from gpu.rates import rates
from gpu.scale import FULL, TINY
from gpu.scored import scored
from gpu.spoken import spoken
from gpu.tuned import tuned

STAGES: Mapping[str, Callable[[Bench], Jobs]] = {
    "rates": rates,
    "families": families,
    "scoring": scored,
    "tuning": tuned,
    "generation": spoken,
    "profile": profiled,
}


def main(words: Sequence[str] | None = None) -> int:
    """0 where no job failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", default=",".join(STAGES), help="which, in this order")
    parser.add_argument("--seconds", type=float, default=520, help="no job begins later")
    parser.add_argument("--tiny", action="store_true", help="tiny models on the CPU: does the program run at all?")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")) / "gpu.json")
    wish = parser.parse_args(words)
    stages, scale = wish.stages.split(","), TINY if wish.tiny else FULL
    if unknown := set(stages) - set(STAGES):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    if scale.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --tiny runs without one")
    torch.set_num_threads(THREADS)
    peers.quiet()
    bench = Bench(scale, wish.out, time.perf_counter() + wish.seconds)
    for stage in stages:
        bench.do(stage, STAGES[stage](bench))
    jobs = {f"{stage} · {name}": facts for stage, found in bench.found.items() for name, facts in found.items()}
    failed = [name for name, facts in jobs.items() if "failed" in facts]
    wrong = [name for name, facts in jobs.items() if facts.get("ok") is False]
    print(f"failed: {'; '.join(failed) or 'none'}\nnot equal: {'; '.join(wrong) or 'none'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
