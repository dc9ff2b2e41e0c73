"""Several runs of one study under different seeds, side by side, as the Markdown tables of docs/demo.md.

Usage: .venv/bin/python scripts/replicates.py amuro-results/demo-7 amuro-results/demo-8 …
Each folder is what `amuro report --out` wrote.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

PRIMARY = {"label": "accuracy", "choice": "accuracy", "generate": "rouge_l"}


def curves(folder: Path) -> Iterator[str]:
    """Base and tuned on the out-of-domain set at each step, zero-shot in the default format, seeds side by side."""
    scores = pl.read_parquet(folder / "scores.parquet").filter(
        (pl.col("format") == "default") & (pl.col("shots") == 0) & pl.col("tune_format").is_in(["none", "default"])
    )
    steps = sorted(scores["step"].unique())
    yield f"| {folder.name}, step | " + " | ".join(map(str, steps)) + " |"
    yield "|---|" + "---|" * len(steps)
    tuned = scores.filter(pl.col("role") == "out_of_domain")
    for task, kind in sorted(set(tuned.select("task", "kind").iter_rows())):
        metric = pl.col("metric") == PRIMARY[kind]
        base = scores.filter(
            metric & (pl.col("task") == task) & (pl.col("split") == "test_ood") & (pl.col("recipe") == "none")
        )
        name = task.removeprefix("world_")
        yield f"| {name}, base | " + " | ".join(_cell(base, step) for step in steps) + " |"
        own = tuned.filter(metric & (pl.col("task") == task))
        yield f"| {name}, tuned | " + " | ".join(_cell(own, step) for step in steps) + " |"


def _cell(scores: pl.DataFrame, step: int) -> str:
    found = scores.filter(pl.col("step") == step).sort("tune_seed")["value"]
    return " ".join(f"{value:.2f}" for value in found) or "not run"


def verdicts(folders: list[Path]) -> Iterator[str]:
    """Each finding's verdict (or its evidence state, where that forces *open*) and effect under each seed."""
    found = {
        f.name: {x["id"]: x for x in json.loads((f / "findings.json").read_text(encoding="utf-8"))["findings"]}
        for f in folders
    }
    yield "| finding | " + " | ".join(found) + " |"
    yield "|---|" + "---|" * len(found)
    for name in dict.fromkeys(identifier for findings in found.values() for identifier in findings):
        yield f"| {name} | " + " | ".join(_verdict(findings.get(name)) for findings in found.values()) + " |"


def _verdict(finding: dict[str, object] | None) -> str:
    if finding is None:
        return "absent"
    state = finding["verdict"] if finding["evidence"] == "measured" else finding["evidence"]
    return f"{state} ({finding['effect']:+.2f})" if finding["effect"] is not None else str(state)


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    for given_folder in given:
        print("\n".join(curves(given_folder)), end="\n\n")
    print("\n".join(verdicts(given)))
