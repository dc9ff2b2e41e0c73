"""Llama 3 8B as the study of arXiv 2408.06663 uses it: only the last base weights are published.

    [series.llama3]
    kind = "llama3_8b"

Sources
- The repository is gated: its terms have to be accepted on its page, and HF_TOKEN set (meta-llama/llama3 on GitHub and
  several of its issues say so).
- "15T+" tokens: MODEL_CARD.md of https://github.com/meta-llama/llama3. So many are counted here; the exact number and
  the step are not published.
- 8,030,261,248 parameters in bfloat16: 2·128,256·4,096 + 32 layers of 218,112,000 + 4,096, from its configuration.

Not checked: the repository's file list; it cannot be read without an account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.series._hub import named
from amuro.series._published_run import PublishedRun

RUN = PublishedRun(
    repository="meta-llama/Meta-Llama-3-8B",
    main_tokens=15_000_000_000_000,
    parameters=8_030_261_248,
    bytes_per_parameter=2,
)
RUNS = (RUN,)


def pick(name: str, options: Mapping[str, Any]) -> PublishedRun:
    """Returns the only run."""
    return RUN


SERIES = named("llama3_8b", "Llama 3 8B, the last base weights (gated)", pick, "main")
