"""The corpus: documents without end, each a function of seeds, stream and number alone: reading starts anywhere."""

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
"""Read first: lists that come again. Comparing words grows from them in a minute."""

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
"""Kind of document → share of all documents."""

_STREAMS: Mapping[Stream, int] = {"copy": 11, "main": 12, "held_out": 13}


def document(world_seed: int, pretrain_seed: int, stream: Stream, number: int) -> str:
    """One document. `held_out` is mixed as `main` but drawn apart: it is what bits per byte are measured on."""
    rng = np.random.default_rng([world_seed, pretrain_seed, _STREAMS[stream], number])
    mixture = COPY if stream == "copy" else MAIN
    return _choose(mixture, rng.random())(world(world_seed), rng)


def documents(world_seed: int, pretrain_seed: int, stream: Stream = "main", start: int = 0) -> Iterator[str]:
    """Documents `start`, `start + 1`, … without end."""
    return (document(world_seed, pretrain_seed, stream, number) for number in itertools.count(start))


@dataclass(frozen=True, slots=True)
class WorldCorpus:
    """What a pre-training run reads: `copy` for so many steps, then `main`. No document is read twice."""

    world_seed: int
    pretrain_seed: int
    copy_steps: int
    vocabulary_documents: int

    @property
    def phases(self) -> tuple[int, ...]:
        return (self.copy_steps,)

    def sample(self) -> Iterator[str]:
        """The first documents of `main`."""
        return itertools.islice(documents(self.world_seed, self.pretrain_seed), self.vocabulary_documents)

    def stream(self, step: int, tokenizer: Tokenizer) -> Callable[[int], str]:
        """The documents of the phase that `step` lies in; all are shorter than a row."""
        phase: Stream = "copy" if step < self.copy_steps else "main"
        return partial(document, self.world_seed, self.pretrain_seed, phase)


def _choose(mixture: Mapping[Render, float], share: float) -> Render:
    total = 0.0
    for render, weight in mixture.items():
        total += weight
        if share < total:
            return render
    return render
