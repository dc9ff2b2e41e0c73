"""Writes the table of docs/architectures.md from what `tests/every_kind.py` printed: a JSON line for each kind.

python tests/every_kind.py > kinds.jsonl          # minutes; from within tests/
python scripts/architectures.py kinds.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
MARK = "<!-- the table: scripts/architectures.py -->\n"
EQUAL = 1e-4


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    if row["made"]:
        return f"| `{row['kind']}` | not tried | {_short(row['made'])} |  |  |"
    if row["read"] not in ("fast", "plain"):
        return f"| `{row['kind']}` | refused | {_short(row['read'])} |  |  |"
    if isinstance(row["score"], str):
        return f"| `{row['kind']}` | not tried | plain transformers reads no tiny model: {_short(row['score'])} |  |  |"
    asked = f"{_equal(row['score'])}; words {_words(row['generate'])}"
    return f"| `{row['kind']}` | {row['read']} | {asked} | {_equal(row['full'])} | {_equal(row['lora'])} |"


def _equal(value: float | str) -> str:
    """A difference in nats, or why there is none."""
    if isinstance(value, str):
        return _short(value)
    return "equal" if value <= EQUAL else f"**apart by {value:.2g}**"


def _words(value: str) -> str:
    return value if value.startswith("equal") else _short(value)


def _short(text: str) -> str:
    """The reason without the folder that it was tried in, fit for a cell."""
    told = " ".join(word for word in text.split() if not word.startswith("/tmp/")).replace("|", "/")
    told = told.removeprefix("the model in ").partition("; use a ")[0].partition("; name others")[0]
    return told if len(told) <= 150 else f"{told[:147]}…"


def main(path: Path) -> None:
    """Keep what stands before the mark and write the table behind it; the last line of a kind counts."""
    lines = [one for one in path.read_text(encoding="utf-8").splitlines() if one.startswith("{")]
    rows = {row["kind"]: row for row in map(json.loads, lines)}
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    titles = "| kind | read | scores and words | tuned in full | tuned by LoRA |\n|---|---|---|---|---|\n"
    table = "\n".join(line(row) for _, row in sorted(rows.items()))
    PAGE.write_text(f"{head}{MARK}{titles}{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
