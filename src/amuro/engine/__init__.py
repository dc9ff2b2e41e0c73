"""Everything that touches tensors."""

import os

os.environ.setdefault("USE_HUB_KERNELS", "NO")
"""With the package `kernels` installed, transformers would fetch code from the hub for some layers, unasked."""
