"""Every causal kind of the installed transformers, once: equal to it, or refused in a sentence, as the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from every_kind import KINDS, trial

from amuro.core.architectures import LOOKS_AHEAD, REFUSED
from amuro.engine.forward.causal_lm import KNOWN

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"


def told() -> dict[str, str]:
    """Kind → how the page says that it is read."""
    return dict(re.findall(r"^\| `(\S+)` \| ([a-z ]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_page_lists_every_kind() -> None:
    """The table names each causal kind of transformers: the fast ones as fast, the refused ones as refused."""
    page = told()
    assert {kind for kind, read in page.items() if read == "fast"} == KNOWN
    assert all(page[kind] == "refused" for kind in REFUSED)
    assert page.keys() >= LOOKS_AHEAD
    assert len(page) > 150
    assert "apart by" not in PAGE.read_text(encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_equal_or_refused(kind: str, tmp_path: Path) -> None:
    """Scores and losses are those of plain transformers within 1e-4 and words the likeliest, or a sentence says why
    not; the page says the same of the kind.
    """
    row: dict[str, Any] = trial(kind, tmp_path)
    beyond = row["made"] or isinstance(row.get("score"), str)  # transformers itself cannot make or read a tiny one
    read = "not tried" if beyond else row["read"] if row["read"] in ("fast", "plain") else "refused"
    assert told().get(kind, read) == read
    for part in ("score", "full", "lora"):
        assert isinstance(row.get(part, ""), str) or row[part] <= 1e-4, (kind, part, row[part])
    assert row.get("generate") != "other words"
