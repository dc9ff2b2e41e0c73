"""How much is measured, and where: what a GPU is asked, or as little as shows that the program runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import generation
import material
from amuro.engine.forward.causal_lm import KNOWN

SCORED = {
    "labels": (1000, 512, 512), "options": (1000, 128, 64), "long endings": (500, 96, 64), "long context": (200, 48, 64)
}  # fmt: skip
TUNED = {"MNLI-like": 60, "XSum-like": 24}


@dataclass(frozen=True)
class Scale:
    """Sizes of all stages; as they are, OLMo-1B's shape on a GPU."""

    device: str = "cuda"
    hidden_size: int = 2048
    layers: int = 16
    vocabulary: int = 50304
    matmul: int = 8192
    """Rows of the square matrices whose product gives the rate of the device."""
    passes: int = 3
    families: tuple[str, ...] = tuple(sorted(KNOWN))
    few: int = 12
    """Documents, prompts and tuned steps of a family."""
    batches: tuple[int, ...] = (8, 32, 128, 256)
    """What the peers may choose from."""
    scored: Mapping[str, tuple[int, int, int]] = field(default_factory=lambda: SCORED)
    """Kind of question → documents a pass of amuro, of lm_eval, and of lm_eval while its batch size is chosen."""
    tuned: Mapping[str, int] = field(default_factory=lambda: TUNED)
    """Kind of training text → steps that are timed."""
    spoken: tuple[str, ...] = ("short prompts", "long prompts")
    prompts: int = 256
    new_tokens: int = generation.NEW_TOKENS


FULL = Scale()
TINY = Scale(
    "cpu", hidden_size=32, layers=2, vocabulary=material.VOCABULARY, matmul=128, passes=1, families=("llama",), few=2,
    batches=(1, 4), scored={"labels": (8, 4, 4), "options": (6, 2, 2)}, tuned={"MNLI-like": 1},
    spoken=("short prompts",), prompts=4, new_tokens=4,
)  # fmt: skip
