"""The formats: how an example is worded as a prompt. Each file beside this one is one, listed by its name."""

from __future__ import annotations

from typing import cast

from amuro.core import registry
from amuro.core.types import Format


def load_format(name: str) -> Format:
    """The format `formats/NAME.py`, or that of a dotted module. Errors as in `registry.plugin`."""
    return cast(Format, registry.plugin("formats", name))
