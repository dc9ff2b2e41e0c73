"""Engines: loading, scoring, generation, tuning and pre-training. The only package besides `run` that needs torch."""

import os

os.environ.setdefault("USE_HUB_KERNELS", "NO")
"""If the package `kernels` is installed, transformers would otherwise download code from the hub for some layers."""
