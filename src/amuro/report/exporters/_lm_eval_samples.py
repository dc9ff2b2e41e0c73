"""Stored predictions as the sample lines of lm-evaluation-harness, and names that are safe for files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from amuro.report.files import as_json_value

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST = 80


def sha256(text: str) -> str:
    """Returns 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def safe(name: str) -> str:
    """Returns a name that is safe for a folder or file; a changed name ends in its digest."""
    kept = _UNSAFE.sub("_", name).lstrip("._+-")[:_LONGEST]
    return kept if kept and kept == name.translate(_EXPECTED) else f"{kept or 'x'}-{sha256(name)[:8]}"


_EXPECTED = str.maketrans("@/", "__")
"""What every address of a model has: changed, and still no name meets another."""


def samples(kept: pl.DataFrame, values: Mapping[str, Mapping[str, float]], kind: str) -> Iterator[str]:
    """Yields one line of JSON per example: doc_id, target, resps, filtered_resps, the three hashes,
    and its metrics.
    """
    for place, row in enumerate(kept.iter_rows(named=True)):
        yield json.dumps(as_json_value(_sample(place, row, values, kind)), ensure_ascii=False) + "\n"


def _sample(place: int, row: Mapping[str, Any], values: Mapping[str, Mapping[str, float]], kind: str) -> dict[str, Any]:
    doc = {"id": row["example_id"], "cluster": row["cluster"], "gold": row["gold"], "options": row["options"]}
    target = row["gold_index"] if kind in ("classification", "multiple_choice") else row["gold"]
    answers = _answers(row, kind)
    mine = values.get(row["example_id"], {})
    return {
        "doc_id": place, "doc": doc, "target": target, "resps": [[answer] for answer in answers],
        "filtered_resps": answers, "filter": "none", "metrics": list(mine),
        "doc_hash": sha256(json.dumps(doc, indent=2, ensure_ascii=False)), "prompt_hash": row["prompt_hash"],
        "target_hash": sha256(str(target)), **mine,
    }  # fmt: skip


def _answers(row: Mapping[str, Any], kind: str) -> list[Any]:
    """Returns (log-likelihood, greedy or not) of each option, the generated text, or a document's log-likelihood."""
    if kind == "generation":
        return [row["output"]]
    if kind == "language_modeling":
        return [row["log_probability"]]
    return [[found, None] for found in row["log_probabilities"]]
