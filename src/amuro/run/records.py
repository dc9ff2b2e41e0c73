"""The rows that are stored for a cell, and the provenance of its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import polars as pl

from amuro.core.hashing import digest, file_digest
from amuro.core.requests import Generation
from amuro.core.versions import versions
from amuro.prompts import render
from amuro.run.requests import EncodedEvalSet
from amuro.tasks.metrics.base import CONTEXTS

AFTER_THE_STORE = ("cli/", "paper/", "report/", "results/", "tasks/metrics/")
"""Folders of the package whose code changes no prediction."""


def predictions(
    encoded: EncodedEvalSet,
    scored: Mapping[int, tuple[float, ...]],
    generated: Mapping[int, Generation],
    unconditional: Sequence[tuple[float, ...]] = (),
) -> pl.DataFrame:
    """Returns the predictions, one row per example in the order of the set (columns: docs/tour.md).

    `scored`: row → log-probability of each option. `generated`: row → generation.
    """
    task, rows = encoded.task, range(len(encoded.examples))
    document = task.kind == "language_modeling"
    options = [[] if document else list(render.options(task, e)) for e in encoded.examples]
    texts = [[render.answer(task, o) for o in row] for row in options]
    return pl.DataFrame(
        {
            "example_id": [e.id for e in encoded.examples],
            "cluster": [e.cluster for e in encoded.examples],
            "gold": ["" if document else e.answer for e in encoded.examples],
            "gold_index": [q.gold for q in encoded.requests],
            "options": options,
            "log_probabilities": [[] if document else _by_label(encoded, scored[i]) for i in rows],
            "unconditional_log_probabilities": [list(unconditional[i]) if unconditional else [] for i in rows],
            "option_tokens": [[] if document else _lengths(encoded, i) for i in rows],
            CONTEXTS: [["\n".join(inputs.values()) for inputs in e.contexts] for e in encoded.examples],
            "option_bytes": [[len(f" {text}".encode()) for text in row] for row in texts],
            "output": [generated[i].text if i in generated else None for i in rows],
            "stopped": [generated[i].stopped if i in generated else None for i in rows],
            "log_probability": [scored[i][0] if document else None for i in rows],
            "bytes": [len(e.answer.encode()) if document else None for e in encoded.examples],
            "k_effective": encoded.k_effective(),
            "truncated": list(encoded.truncated),
            "prompt_hash": encoded.texts["prompt_hash"],
        },
        schema_overrides={
            "options": pl.List(pl.String), "log_probabilities": pl.List(pl.Float64),
            "unconditional_log_probabilities": pl.List(pl.Float64), "option_tokens": pl.List(pl.Int64),
            "option_bytes": pl.List(pl.Int64), CONTEXTS: pl.List(pl.String), "output": pl.String, "stopped": pl.Boolean,
            "log_probability": pl.Float64, "bytes": pl.Int64,
        },
    )  # fmt: skip


def _by_label(encoded: EncodedEvalSet, scores: Sequence[float]) -> list[float]:
    """Returns one score per label: the scores themselves, or for sub-tokens the highest of each label."""
    if not encoded.owners:
        return list(scores)
    owned = list(zip(encoded.owners, scores, strict=True))
    return [max(score for owner, score in owned if owner == label) for label in range(len(encoded.task.labels))]


def _lengths(encoded: EncodedEvalSet, row: int) -> list[int]:
    """Returns the number of scored tokens of each option."""
    return (
        [1] * len(encoded.task.labels) if encoded.owners else [len(option) for option in encoded.requests[row].options]
    )


@lru_cache(maxsize=1)
def provenance() -> dict[str, str]:
    """Returns versions of libraries and hardware, and `code`, a digest of the sources that can change predictions.

    Recorded and shown, never part of a key: `semantics` decides which results are comparable.
    """
    return {**versions(), "code": _code()[:12]}


def _code() -> str:
    """Returns a digest of the package's sources, without those in `AFTER_THE_STORE`."""
    root = Path(__file__).parents[1]
    sources = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.py"))}
    touching = {place: path for place, path in sources.items() if not place.startswith(AFTER_THE_STORE)}
    return digest([[place, file_digest(path)] for place, path in touching.items()])
