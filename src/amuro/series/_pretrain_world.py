"""The declaration of one pre-training run on the embedded world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from amuro.data.world.corpus import WorldCorpus
from amuro.series._pretrain_config import Pretraining

SEMANTICS = 1
"""Raised when the same configuration leads to other weights (documents, packing, optimiser, …)."""


@dataclass(frozen=True, slots=True)
class PretrainConfig(Pretraining):
    """How a checkpoint series of the embedded world is made. The defaults are the demo's recipe: nearly every word of
    the world is one token, documents are shorter than a row, and the steps after 0 are log-spaced and lie beyond the
    copy phase, whose lists are another kind of text.
    """

    KIND: ClassVar[str] = "world"

    world_seed: int = 0
    """Seed of the embedded world: its names, facts and kinds. Use that of the study, whose tasks ask about them."""
    copy_steps: int = 300
    """Steps at the start that read lists which come again: comparing words grows from them."""

    def corpus(self) -> WorldCorpus:
        return WorldCorpus(self.world_seed, self.pretrain_seed, self.copy_steps, self.vocabulary_documents)

    def unique_tokens_at(self, step: int) -> int:
        """All of them: no document is read twice."""
        return self.tokens_at(step)

    def _declared(self) -> dict[str, Any]:
        # A slotted dataclass is made twice, so that `super()` would name the first one.
        return {"semantics": SEMANTICS, **Pretraining._declared(self)}
