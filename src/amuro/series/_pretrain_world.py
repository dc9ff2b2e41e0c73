"""The configuration of a pre-training run on the embedded world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from amuro.data.world.corpus import WorldCorpus
from amuro.series._pretrain_config import Pretraining

SEMANTICS = 1
"""Raised when the same configuration leads to other weights (documents, packing, optimiser, …)."""


@dataclass(frozen=True, slots=True)
class PretrainConfig(Pretraining):
    """Configuration of a series of the embedded world. The defaults are those of the demo: nearly every word of the
    world is one token, documents are shorter than a row, and the steps after 0 are log-spaced and come after the copy
    phase, whose lists are another kind of text.
    """

    KIND: ClassVar[str] = "world"

    world_seed: int = 0
    """Seed of the embedded world: its names, facts and kinds. Use the seed of the study, whose
    tasks are about them.
    """
    copy_steps: int = 300
    """Steps at the start on lists with repetitions, from which the model learns to compare words."""

    def corpus(self) -> WorldCorpus:
        """Returns the documents of the world."""
        return WorldCorpus(self.world_seed, self.pretrain_seed, self.copy_steps, self.vocabulary_documents)

    def unique_tokens_at(self, step: int) -> int:
        """Returns all tokens: no document is repeated."""
        return self.tokens_at(step)

    def _declared(self) -> dict[str, Any]:
        # A slotted dataclass is made twice, so that `super()` would name the first one.
        return {"semantics": SEMANTICS, **Pretraining._declared(self)}
