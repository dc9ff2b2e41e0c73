"""Keys of stored results: which facts decide what a result is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.core.disk import Manifest
from amuro.core.hashing import digest

KEYED_BY = {"cells": ("address", "declared", "ids", "model_key")}
"""Kind → the facts whose digest is the key, so that a result in the place of another is detected."""


def key_of(kind: str, facts: Mapping[str, Any]) -> str:
    """Returns the key of a result: the digest of the facts listed in `KEYED_BY`."""
    return digest({name: facts[name] for name in KEYED_BY[kind]})


def claimed(body: Manifest) -> tuple[str, str]:
    """Returns the (kind, key) that a manifest claims; the key is recomputed for kinds in `KEYED_BY`."""
    kind, key = str(body.get("kind")), str(body.get("key"))
    try:
        return kind, key_of(kind, body) if kind in KEYED_BY else key
    except KeyError:
        return kind, ""
