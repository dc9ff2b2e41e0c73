"""Exporters: results in other file formats. Each file of this package without a leading _ is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amuro.core import registry

if TYPE_CHECKING:
    from amuro.report.exporters.base import Exporter


def load_exporter(name: str) -> Exporter:
    """Returns the exporter `exporters/NAME.py` or that of a dotted module. Raises the errors of `registry.plugin`."""
    return cast("Exporter", registry.plugin("exporters", name))
