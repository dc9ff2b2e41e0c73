"""The ground truth: who and what there is, and what is true of them. All of it follows from the world seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from amuro.core.errors import StudyError
from amuro.data.world.wording import DOMAIN, DOMAINS, Domain

VALUES_PER_KIND = 8
HELD_PER_KIND = 4
"""Values of each kind that no tuning row of the training split ever holds: 64 in all."""
PEOPLE = 64
GUESTS = 24
"""People whose facts are known as well, and who serve as examples in few-shot prompts; the others are asked about."""
STRANGERS = 104
HELD_STRANGERS = 52

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_T = TypeVar("_T")


def pick(rng: np.random.Generator, items: Sequence[_T]) -> _T:
    """One of the items, each with the same chance."""
    return items[int(rng.integers(len(items)))]


def some(rng: np.random.Generator, items: Sequence[_T], count: int) -> list[_T]:
    """That many different items in random order."""
    return [items[i] for i in rng.permutation(len(items))[:count]]


@dataclass(frozen=True, slots=True)
class Fact:
    """That `name` has `value`: true in the world for people, said in passing for strangers."""

    name: str
    domain: Domain
    value: str

    def say(self, rng: np.random.Generator) -> str:
        return pick(rng, self.domain.facts).format(name=self.name, value=self.value)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Names and the truths about them."""

    world_seed: int
    values: Mapping[str, tuple[str, ...]]
    """Domain → its values."""
    kind: Mapping[str, str]
    """Value → its kind."""
    held_values: frozenset[str]
    people: tuple[str, ...]
    """From the oldest to the youngest: the ordering of the world."""
    guests: tuple[str, ...]
    facts: Mapping[str, Mapping[str, str]]
    """Person or guest → domain → value, and `friend` → a person."""
    strangers: tuple[str, ...]
    """Names without facts of their own, for texts that tell all that is needed."""

    def pool(self, domain: Domain, held: bool | None = None) -> tuple[str, ...]:
        """Values of a domain: all, or only those (not) held out of tuning."""
        return _pool(self, domain.name, held)

    def names(self, held: bool) -> tuple[str, ...]:
        """Strangers that are (not) held out of tuning."""
        return self.strangers[:HELD_STRANGERS] if held else self.strangers[HELD_STRANGERS:]

    def fact(self, name: str, domain: Domain) -> Fact:
        return Fact(name, domain, self.facts[name][domain.name])

    def older(self, first: str, second: str) -> bool:
        return self.people.index(first) < self.people.index(second)


@lru_cache(maxsize=8)
def world(world_seed: int) -> World:
    """The world of a seed. Raises StudyError on a negative seed."""
    if world_seed < 0:
        raise StudyError(f"world_seed is {world_seed}", "give a whole number of at least 0")
    rng = np.random.default_rng([world_seed, 1])
    words = _Words(rng)
    people, guests = words.draw("cvcv", PEOPLE), words.draw("cvcv", GUESTS)
    strangers = words.draw("cvcvc", STRANGERS)
    values = {d.name: words.draw("cvc", VALUES_PER_KIND * len(d.kinds), d.ending) for d in DOMAINS}
    kind = {v: d.kinds[i // VALUES_PER_KIND] for d in DOMAINS for i, v in enumerate(values[d.name])}
    held = frozenset(v for d in DOMAINS for i, v in enumerate(values[d.name]) if i % VALUES_PER_KIND < HELD_PER_KIND)
    facts = {name: _life(rng, name, values, people) for name in people + guests}
    return World(world_seed, values, kind, held, people, guests, facts, strangers)


@lru_cache(maxsize=256)
def _pool(world: World, domain: str, held: bool | None) -> tuple[str, ...]:
    return tuple(v for v in world.values[domain] if held is None or (v in world.held_values) == held)


class _Words:
    """Pronounceable words, none drawn twice."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._used: set[str] = set()

    def draw(self, pattern: str, count: int, ending: str = "") -> tuple[str, ...]:
        drawn: list[str] = []
        while len(drawn) < count:
            word = "".join(pick(self._rng, _CONSONANTS if sound == "c" else _VOWELS) for sound in pattern) + ending
            if word not in self._used:
                self._used.add(word)
                drawn.append(word)
        return tuple(drawn)


def _life(
    rng: np.random.Generator, name: str, values: Mapping[str, Sequence[str]], people: Sequence[str]
) -> dict[str, str]:
    life = {domain: pick(rng, values[domain]) for domain in DOMAIN}
    return life | {"friend": pick(rng, [other for other in people if other != name])}
