"""Runs the benchmarks and writes docs/performance.md, a row when it is measured. `--only` runs some benchmarks and
`--question` asks some questions; other sections and rows stay as they are, each run with its own line of origin.

.venv-bench/bin/python benchmarks/page.py                          # everything, hours on one core
.venv-bench/bin/python benchmarks/page.py --only scoring --rounds 4
"""

from __future__ import annotations

import importlib
import os
import platform
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import table
from table import Row, Wish

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
SECTIONS = {
    "scoring": "Scoring answers, beside lm_eval",
    "generation": "Greedy generation, beside lm_eval",
    "tuning": "Full tuning, beside transformers' Trainer",
    "start_up": "What costs before the first token",
    "whole_study": "A whole study, beside the scripts of a competent user",
    "gpu": "On a GPU, beside lm_eval, Trainer and `generate`",
}
RUN_HERE = [name for name in SECTIONS if name != "gpu"]
"""`gpu/section.py` writes the other one, from files that come from a machine with a GPU."""
PACKAGES = ("amuro", "torch", "transformers", "tokenizers", "lm_eval", "accelerate")
HEAD = """# How fast amuro is, and beside whom

Written by `make bench` (`benchmarks/page.py`); each section says when and where it was measured. On a shared machine
one timing after the other misleads, so both sides loop side by side on one core, one thread each, with a loop of matrix
products beside them; cost is CPU time, and a ratio comes with its 95 % interval over rounds. **The lower end counts.**
Nothing is timed before both sides gave equal outputs (last column). *Roofline* is what share of the rate of that loop
amuro reaches, counting only the operations that the answers need: matrices for each unique token, attention to what it
sees, the head where a score is read. S is a Llama of 10.5 M parameters, M an OLMo of 69 M, both with random weights;
SmolLM2 is the real model of 135 M, asked about real rows.
"""
COLUMNS = "| question | model | times as fast | target | amuro, CPU ms | peer, CPU ms | a | roofline | checked first |"


def main() -> None:
    """Measures what is wanted and writes its sections."""
    parser = table.parser(__doc__)
    parser.add_argument("--only", nargs="*", choices=RUN_HERE, default=RUN_HERE, help="these benchmarks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only:
            wish, key = table.wish(given, Path(folder)), f"{name}_bf16" if given.bf16 else name
            origin = f"{machine()}; {wish.rounds} rounds, {wish.precision}"
            for row in table.shown(importlib.import_module(name).rows(wish)):
                write(PAGE, key, section(name, [row], wish, origin, read(PAGE, key)))


def section(name: str, rows: Sequence[Row], wish: Wish, origin: str, old: str = "") -> str:
    """Heading, how it was measured, table, and where. Rows of the old section stay unless they were measured anew."""
    about = (importlib.import_module(name).__doc__ or "").strip().partition("\n\n")
    heading = f"## {SECTIONS[name]}{', in bfloat16' if wish.bf16 else ''}"
    fresh = {_asked(text): text for text in map(line, rows)}
    kept = {_asked(text): text for text in old.splitlines() if text.startswith("| ") and text != COLUMNS}
    origins = [text for text in old.splitlines() if text.startswith("*2") and text != f"*{origin}.*"]
    found = "\n".join([COLUMNS, "|---" * 9 + "|", *(kept | fresh).values()])
    return "\n\n".join(filter(None, [heading, about[0], about[2], found, *origins, f"*{origin}.*"]))


def _asked(text: str) -> tuple[str, ...]:
    """Question and model of a line of a table."""
    return tuple(cell.strip() for cell in text.split("|")[1:3])


def line(row: Row) -> str:
    """A row of the table; bold where the lower end misses its target."""
    found = f"{row.ratio.value:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})"
    if row.target and row.ratio.low < row.target:
        found = f"**{found}**"
    cells = [
        row.question, row.model, found, f"≥ {row.target:g}" if row.target else "–", f"{row.ours * 1e3:.1f}",
        f"{row.theirs * 1e3:.1f}", row.unit, f"{row.share.value:.0%}" if row.share else "–", row.note or "–",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def write(page: Path, name: str, text: str) -> None:
    """Puts one section in its place, or at the end where it has none, and leaves the others."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = _text(page)
    if begin not in old:
        old = f"{old}\n{begin}\n{end}\n"
    before, _, rest = old.partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def read(page: Path, name: str) -> str:
    """One section, as it stands."""
    return _text(page).partition(f"<!-- {name} -->")[2].partition(f"<!-- end of {name} -->")[0]


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.is_file() else _empty()


def _empty() -> str:
    places = [f"<!-- {n} -->\n## {title}\n\nNot measured yet.\n<!-- end of {n} -->" for n, title in SECTIONS.items()]
    return "\n\n".join([HEAD.strip(), *places]) + "\n"


def machine() -> str:
    """Date, processor, load and versions."""
    load, cores = os.getloadavg()[0], os.cpu_count()
    return f"{time.strftime('%F')}, {_processor()}, {cores} cores, load {load:.1f} before; {', '.join(_versions())}"


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [fact.partition(": ")[2] for fact in lines if fact.startswith("model name")]
    units = "with" if any("avx512_bf16" in fact or "amx_bf16" in fact for fact in lines) else "no"
    return f"{names[0] if names else platform.machine()} ({units} bfloat16 units)"


def _versions() -> Iterable[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


if __name__ == "__main__":
    main()
