"""The synthetic corpus: endless documents, each a function of seeds, stream and number, so a run can start anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from amuro.data.world import documents as kinds
from amuro.data.world.documents import Render
from amuro.data.world.facts import world

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Stream = Literal["copy", "main", "held_out"]

COPY: Mapping[Render, float] = {
    kinds.copying: 0.40,
    kinds.membership: 0.45,
    kinds.twice: 0.10,
    kinds.register: 0.05,
}
"""Kind of document → share in the first phase: repeated lists, from which a model quickly learns to compare words."""

MAIN: Mapping[Render, float] = {
    kinds.checks: 0.24,
    kinds.talk: 0.18,
    kinds.brief: 0.15,
    kinds.reading: 0.10,
    kinds.note: 0.08,
    kinds.story: 0.06,
    kinds.biography: 0.05,
    kinds.relation: 0.04,
    kinds.quiz: 0.03,
    kinds.same_kind: 0.02,
    kinds.membership: 0.02,
    kinds.ages: 0.01,
    kinds.register: 0.01,
    kinds.twice: 0.005,
    kinds.copying: 0.005,
}
"""Kind of document → share in the main phase."""

_STREAMS: Mapping[Stream, int] = {"copy": 11, "main": 12, "held_out": 13}


def document(world_seed: int, pretrain_seed: int, stream: Stream, number: int) -> str:
    """Document `number` of a stream. `held_out` has the mixture of `main` but other documents, for bits per byte."""
    rng = np.random.default_rng([world_seed, pretrain_seed, _STREAMS[stream], number])
    mixture = COPY if stream == "copy" else MAIN
    return _choose(mixture, rng.random())(world(world_seed), rng)


def documents(world_seed: int, pretrain_seed: int, stream: Stream = "main", start: int = 0) -> Iterator[str]:
    """Documents `start`, `start + 1`, … of a stream, endlessly."""
    return (document(world_seed, pretrain_seed, stream, number) for number in itertools.count(start))


@dataclass(frozen=True, slots=True)
class WorldCorpus:
    """The corpus of a pre-training run: the stream `copy` for `copy_steps` steps, then `main`. No document repeats."""

    world_seed: int
    pretrain_seed: int
    copy_steps: int
    vocabulary_documents: int
    """Number of documents that the tokenizer is trained on."""

    @property
    def phases(self) -> tuple[int, ...]:
        """Steps at which another stream begins."""
        return (self.copy_steps,)

    def sample(self) -> Iterator[str]:
        """The first documents of `main`, for training the tokenizer."""
        return itertools.islice(documents(self.world_seed, self.pretrain_seed), self.vocabulary_documents)

    def stream(self, step: int, tokenizer: Tokenizer) -> Callable[[int], str]:
        """Number → document of the phase that contains `step`; all documents are shorter than a row."""
        phase: Stream = "copy" if step < self.copy_steps else "main"
        return partial(document, self.world_seed, self.pretrain_seed, phase)


def _choose(mixture: Mapping[Render, float], share: float) -> Render:
    """The kind of document at the cumulated share `share` (0…1) of the mixture."""
    total = 0.0
    for render, weight in mixture.items():
        total += weight
        if share < total:
            return render
    return render
