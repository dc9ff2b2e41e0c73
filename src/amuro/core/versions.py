"""What is installed, and on what kind of machine: recorded beside each cell, and said by `amuro --version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("amuro", "torch", "transformers", "tokenizers", "safetensors", "peft", "datasets", "numpy")
"""Distributions whose version may explain a number."""


def versions() -> dict[str, str]:
    """Python, machine and system, then each package's version; "absent" where it is not installed. Imports none."""
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    return {**machine, **{name: _installed(name) for name in PACKAGES}}


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
