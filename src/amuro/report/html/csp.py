"""Protection against hostile text: a content security policy by hash, JSON that cannot end its script, safe CSV."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import polars as pl
from markupsafe import Markup

_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
_FORMULA = r"^[=+\-@\t\r]"


def source_hash(text: str) -> str:
    """Returns the hash by which a policy allows an inline script or style (CSP level 3, section 2.3.1)."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def policy(script: str, style: str) -> str:
    """Returns a policy that allows only this script and this style."""
    return (
        f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def static_policy(style: str) -> str:
    """Returns a policy that allows only this style, for pages without a script."""
    return f"default-src 'none'; style-src {source_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"


def embedded_json(value: Any) -> Markup:
    """Returns JSON for a `script` element, with every character escaped that has a meaning in HTML."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the frame with a quote before each text that a spreadsheet would run as a formula."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(_FORMULA)).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
        for name in texts
    )
