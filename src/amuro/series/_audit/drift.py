"""Drift: small files (configuration, tokenizer) that change along a series, although only the weights should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from amuro.core.configs import read_object
from amuro.core.hashing import canonical
from amuro.core.types import Checkpoint
from amuro.core.weights import TOKENIZER, VOCABULARY_CURE, vocabulary_size, words_of
from amuro.series._audit.issue import AuditIssue, place
from amuro.series.base import Inspection, SeriesKind

CONFIG = "config.json"
HARMLESS = ("transformers_version", "_name_or_path", "dtype", "torch_dtype")
"""Keys of a configuration that describe how it was saved, not what the model computes. (The dtype of the tensors is
part of their digests.)
"""
_SHOWN = 3

Documents = Mapping[Checkpoint, Any]


def drift(kind: SeriesKind, inspections: Mapping[Checkpoint, Inspection]) -> Iterator[AuditIssue]:
    """Yields an issue for each checkpoint whose configuration or tokenizer differs from that of most others (on a
    tie, of the earliest), or whose tokenizer has more ids than the embedding has rows. Files with equal digests are
    read once.
    """
    configs = _documents(kind, inspections, CONFIG)
    tokenizers = _documents(kind, inspections, TOKENIZER)
    yield from _compare("config drift", configs, _config, _changed_keys)
    yield from _compare("tokenizer drift", tokenizers, lambda found: found, _changed_words)
    for checkpoint in configs.keys() & tokenizers.keys():
        rows, ids = configs[checkpoint].get("vocab_size"), vocabulary_size(tokenizers[checkpoint])
        if rows is not None and ids > rows:
            detail = f"the tokenizer of {place(checkpoint)} has {ids:,} ids, the embedding {rows:,} rows"
            yield AuditIssue("vocabulary", "refused", detail, VOCABULARY_CURE, checkpoint.address)


def _documents(kind: SeriesKind, inspections: Mapping[Checkpoint, Inspection], name: str) -> dict[Checkpoint, Any]:
    """Returns the parsed file of each checkpoint that has one; files with equal digests are read once."""
    parsed: dict[str, Any] = {}
    documents: dict[Checkpoint, Any] = {}
    for checkpoint, inspection in inspections.items():
        file_digest = inspection.documents.get(name)
        if file_digest is not None and file_digest not in parsed:
            path = kind.document(checkpoint, name)
            parsed[file_digest] = read_object(path) if path else {}
        if file_digest is not None:
            documents[checkpoint] = parsed[file_digest]
    return documents


def _compare(fault: str, documents: Documents, reduced: Any, changes: Any) -> Iterator[AuditIssue]:
    """Yields an issue for each checkpoint whose document, after `reduced`, differs from the most frequent one."""
    meanings = {checkpoint: canonical(reduced(document)) for checkpoint, document in documents.items()}
    if len(set(meanings.values())) < 2:
        return
    usual = Counter(meanings.values()).most_common(1)[0][0]
    model = next(checkpoint for checkpoint in documents if meanings[checkpoint] == usual)
    for checkpoint, document in documents.items():
        if meanings[checkpoint] != usual:
            what = changes(reduced(documents[model]), reduced(document))
            detail = f"{place(checkpoint)} differs from {place(model)} in {what}"
            cure = "find out which of them its weights were trained with"
            yield AuditIssue(fault, "doubtful", detail, cure, checkpoint.address)


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration without the harmless keys."""
    return {key: value for key, value in config.items() if key not in HARMLESS}


def _changed_keys(usual: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Returns the changed keys of a configuration in words."""
    changed = [key for key in sorted({*usual, *other}) if usual.get(key) != other.get(key)]
    shown = [f"{key} {usual.get(key)!r} → {other.get(key)!r}" for key in changed]
    return f"{CONFIG}: {_listed(shown)}"


def _changed_words(usual: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Returns the changes of a tokenizer in words."""
    parts = [key for key in sorted({*usual, *other}) if usual.get(key) != other.get(key)]
    words = [words_of(tokenizer) for tokenizer in (usual, other)]
    changed = [word for word in sorted({*words[0], *words[1]}) if words[0].get(word) != words[1].get(word)]
    changed_tokens = (
        f", {len(changed)} tokens with other ids: {_listed([repr(word) for word in changed])}" if changed else ""
    )
    return f"{TOKENIZER} ({', '.join(parts)}{changed_tokens})"


def _listed(shown: Sequence[str]) -> str:
    """Returns the first items in words, and how many more there are."""
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
