"""Formats: how an example is rendered as a prompt. Each file of this package without a leading _ is one."""

from __future__ import annotations

from typing import cast

from amuro.core import registry
from amuro.core.types import Format


def load_format(name: str) -> Format:
    """Returns the format `formats/NAME.py` or that of a dotted module. Raises the errors of `registry.plugin`."""
    return cast(Format, registry.plugin("formats", name))
