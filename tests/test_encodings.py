"""Text files are UTF-8 whatever a machine's locale says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
READERS = ("read_text", "write_text")


def unnamed(source: str) -> Iterator[int]:
    """Lines of calls that read or write text and name no encoding."""
    for node in ast.walk(ast.parse(source)) if any(name in source for name in READERS) else ():
        calls = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS
        if calls and not any(keyword.arg == "encoding" for keyword in node.keywords):
            yield node.lineno


def test_every_text_that_is_read_or_written_names_its_encoding() -> None:
    """Ruff's PLW1514 sees the calls on names that it knows for paths; the others are found here."""
    files = [path for root in ("src", "scripts", "benchmarks") for path in (ROOT / root).rglob("*.py")]
    found = [f"{path.name}:{line}" for path in files for line in unnamed(path.read_text(encoding="utf-8"))]
    assert not found
