"""Prints what the everyday commands take on this machine, beside what they should take at the most.

Usage: .venv/bin/python benchmarks/targets.py [--demo]   (--demo runs the whole demo on a fresh store, ten minutes)
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from amuro.study.store import Store

ROOT = Path(__file__).parents[1]
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def seconds(*words: str) -> float:
    """Wall time of one call of amuro."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "amuro", *words], cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - began


def show(what: str, found: float, most: float, unit: str = "s") -> None:
    print(f"{what:<46} {found:8.2f} {unit:<3} at most {most:g} {unit}  {'' if found <= most else 'MISSED'}", flush=True)


def demo(store: Path) -> None:
    """The demo on a fresh store: total, first cell, first tuned cell, and the largest sum of resident memory."""
    began, wall, peak = time.monotonic(), time.time_ns(), 0.0
    process = subprocess.Popen([sys.executable, "-m", "amuro", "demo", "--store", str(store)], cwd=ROOT,
                               stdout=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    while process.poll() is None:
        peak = max(peak, _resident_mb(process.pid))
        time.sleep(1)
    show("make demo, installed", time.monotonic() - began, 600)
    cells = sorted((m["created_ns"], m["coordinates"]["recipe"]) for m in Store(store).manifests("cells"))
    show("  first cell", (cells[0][0] - wall) / 1e9, 60)
    show("  first tuned cell", (next(at for at, recipe in cells if recipe != "none") - wall) / 1e9, 240)
    show("  memory of all processes", peak, 3072, "MB")
    show("make demo, again", seconds("demo", "--store", str(store)), 10)


def _resident_mb(group: int) -> float:
    """Of every process of the session, shared pages counted once a process."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(after_name[3]) == group:
                total += int((stat.parent / "statm").read_text(encoding="utf-8").split()[1]) * PAGE_MB
        except (OSError, ValueError, IndexError):
            continue  # the process has gone
    return total


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, {time.strftime('%F')}")
    with tempfile.TemporaryDirectory() as folder:
        show("amuro --help (median of 5)", statistics.median(seconds("--help") for _ in range(5)), 0.5)
        show("amuro plan studies/demo.toml", seconds("plan", "studies/demo.toml", "--store", folder + "/p"), 2)
        show("amuro run studies/smoke.toml", seconds("run", "studies/smoke.toml", "--store", folder + "/s"), 5)
        if "--demo" in sys.argv:
            demo(Path(folder) / "d")
