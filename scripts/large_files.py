"""Refuses files of more than 200 kB in git: a clone keeps every one for ever.

python scripts/large_files.py [FILE …]     # without files: all that git tracks
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

MOST_BYTES = 200_000
ALLOWED = (
    "results/demo_full/findings.json",
    "results/demo_full/scores.parquet",
    "results/demo_seeds/seed-1/findings.json",
    "results/demo_seeds/seed-2/findings.json",
    "results/demo_seeds/seed-3/findings.json",
    "results/demo_seeds/seed-4/findings.json",
    "results/demo_seeds/seed-5/findings.json",
    "results/english_small/findings.json",
    "results/english_small/items.parquet",
    "results/english_small/scores.csv",
)
"""Ends of the paths that are larger already. Take out what has shrunk; do not add."""


def tracked() -> list[str]:
    """The files in git's index, below the working directory."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name]


def too_large(names: Iterable[str]) -> list[str]:
    """A sentence for each of these files that is larger than allowed. Files that are gone are passed over."""
    sizes = {name: Path(name).stat().st_size for name in names if Path(name).is_file()}
    return [
        f"{name} has {size / 1000:,.0f} kB; leave it out of git, or make it smaller than {MOST_BYTES // 1000} kB"
        for name, size in sizes.items()
        if size > MOST_BYTES and not name.endswith(ALLOWED)
    ]


if __name__ == "__main__":
    if found := too_large(sys.argv[1:] or tracked()):
        sys.exit("\n".join(found))
