"""Pythia, all sizes: 154 checkpoints each, with the same data in the same order.

    [series.pythia]
    kind = "pythia"
    size = "410m"           # 14m 31m 70m 160m 410m 1b 1.4b 2.8b 6.9b 12b
    deduped = false         # true: the run on the deduplicated Pile
    at = "step0,log8"       # or steps = [0, 1000, 143000]; log8 unless told, chosen without a network

Sources
- Revisions: `step0`, ten log-spaced `step1` … `step512`, `step1000` … `step143000` each thousand; `main` equals
  `step143000` (model cards of EleutherAI/pythia-*; README of https://github.com/EleutherAI/pythia).
- Tokens: 2,097,152 a step; 1.5 passes over 207 billion deduplicated tokens, just under one over the whole Pile (that
  README). Warm-up over 1 %, cosine decay (arXiv 2304.01373).
- Parameters: the table "Naming convention and parameter count" of the model cards; equal to 2·V·d + L·(12·d² + 13·d) +
  2·d of each configuration. Stored as float16 (`torch_dtype` of the configurations).

Not checked: that each revision of each size holds safetensors. Reports on 12b speak of `pytorch_model*.bin`, which
amuro refuses. Known defects of single revisions stand in `series/_audit/known_bad.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amuro.core.errors import StudyError, nearest
from amuro.series._hub import named
from amuro.series._published_run import PublishedRun
from amuro.series.base import Option, TokenSchedule

STEPS = (0, *(2**i for i in range(10)), *range(1000, 144_000, 1000))
"""The documented steps."""

PARAMETERS = {
    "14m": 14_067_712,
    "31m": 30_494_720,
    "70m": 70_426_624,
    "160m": 162_322_944,
    "410m": 405_334_016,
    "1b": 1_011_781_632,
    "1.4b": 1_414_647_808,
    "2.8b": 2_775_208_960,
    "6.9b": 6_857_302_016,
    "12b": 11_846_072_320,
}
"""Size → parameters."""

PASS = {False: 300_000_000_000, True: 207_000_000_000}
"""Whether the corpus is deduplicated → tokens of one pass."""


def _run(size: str, deduped: bool) -> PublishedRun:
    """Returns the run of a size."""
    return PublishedRun(
        repository=f"EleutherAI/pythia-{size}{'-deduped' if deduped else ''}",
        token_schedule=TokenSchedule(2_097_152, PASS[deduped], warmup_steps=1_430, schedule="decay"),
        main_step=143_000,
        parameters=PARAMETERS[size],
        bytes_per_parameter=2,
        steps=STEPS,
    )


RUNS = tuple(_run(size, deduped) for size in PARAMETERS for deduped in PASS)


def pick(name: str, options: Mapping[str, Any]) -> PublishedRun:
    """Returns the run of the options `size` and `deduped`. Raises StudyError on unknown values."""
    size, deduped = options.get("size"), options.get("deduped", False)
    if str(size) not in PARAMETERS:
        raise StudyError(f"series '{name}' has size {size!r}", nearest(str(size), PARAMETERS))
    if not isinstance(deduped, bool):
        raise StudyError(f"deduped of series '{name}' is {deduped!r}", "write true or false")
    return _run(str(size), deduped)


KEYS = {
    "size": Option("one of " + ", ".join(f'"{size}"' for size in PARAMETERS), "The model that is meant.", "needed"),
    "deduped": Option("true or false", "Whether the run on the deduplicated Pile is meant.", "false"),
}
"""Keys of the table besides those of every named kind."""

SERIES = named("pythia", "Pythia, 14m to 12b, deduplicated or not: 154 checkpoints", pick, "log8", KEYS)
