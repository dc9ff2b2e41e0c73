"""The exporters: results in the files of others. Each file beside this one is one, listed by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amuro.core import registry

if TYPE_CHECKING:
    from amuro.report.exporters.base import Exporter


def load_exporter(name: str) -> Exporter:
    """The exporter `exporters/NAME.py`, or that of a dotted module. Errors as in `registry.plugin`."""
    return cast("Exporter", registry.plugin("exporters", name))
