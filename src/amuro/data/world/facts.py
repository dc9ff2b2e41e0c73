"""The ground truth of a synthetic world: people, values, and facts about them, all determined by the world seed."""

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
"""Values of each kind that are held out of tuning, i.e. in no train, dev or test row: 64 in all."""
PEOPLE = 64
"""People whose facts the corpus states and the test rows query."""
GUESTS = 24
"""Further people whose facts the corpus states; they are used for train and dev rows, and hence in shots."""
STRANGERS = 104
"""Names without facts."""
HELD_STRANGERS = 52
"""Strangers that are held out of tuning."""

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_T = TypeVar("_T")


def pick(rng: np.random.Generator, items: Sequence[_T]) -> _T:
    """A random one of the items, all with the same probability."""
    return items[int(rng.integers(len(items)))]


def some(rng: np.random.Generator, items: Sequence[_T], count: int) -> list[_T]:
    """`count` random items without replacement, in random order."""
    return [items[i] for i in rng.permutation(len(items))[:count]]


@dataclass(frozen=True, slots=True)
class Fact:
    """The fact that `name` has `value` in a domain. Facts of strangers hold only within one text."""

    name: str
    domain: Domain
    value: str

    def say(self, rng: np.random.Generator) -> str:
        """The fact as a sentence, in a random wording."""
        return pick(rng, self.domain.facts).format(name=self.name, value=self.value)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """All names and values of a world, and the facts about its people."""

    world_seed: int
    values: Mapping[str, tuple[str, ...]]
    """Domain → its values."""
    kind: Mapping[str, str]
    """Value → its kind."""
    held_values: frozenset[str]
    """Values held out of tuning."""
    people: tuple[str, ...]
    """From the oldest to the youngest."""
    guests: tuple[str, ...]
    facts: Mapping[str, Mapping[str, str]]
    """Person or guest → domain → value, and `friend` → a person."""
    strangers: tuple[str, ...]
    """Names without facts, for texts that state all the facts they need."""

    def pool(self, domain: Domain, held: bool | None = None) -> tuple[str, ...]:
        """Values of a domain: all (None), only those held out of tuning (True), or only the others (False)."""
        return _pool(self, domain.name, held)

    def names(self, held: bool) -> tuple[str, ...]:
        """Strangers: those held out of tuning (True), or the others (False)."""
        return self.strangers[:HELD_STRANGERS] if held else self.strangers[HELD_STRANGERS:]

    def fact(self, name: str, domain: Domain) -> Fact:
        """The fact about a person or guest in a domain."""
        return Fact(name, domain, self.facts[name][domain.name])

    def older(self, first: str, second: str) -> bool:
        """Whether the first person is older than the second."""
        return self.people.index(first) < self.people.index(second)


@lru_cache(maxsize=8)
def world(world_seed: int) -> World:
    """The world of a seed (cached). Raises StudyError on a negative seed."""
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
    """`World.pool`, cached."""
    return tuple(v for v in world.values[domain] if held is None or (v in world.held_values) == held)


class _Words:
    """A generator of pronounceable words that never repeats one."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._used: set[str] = set()

    def draw(self, pattern: str, count: int, ending: str = "") -> tuple[str, ...]:
        """`count` new words. pattern: of `c` (consonant) and `v` (vowel), such as `cvcv`; `ending` is appended."""
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
    """Random facts of one person: domain → value, and `friend` → another person."""
    life = {domain: pick(rng, values[domain]) for domain in DOMAIN}
    return life | {"friend": pick(rng, [other for other in people if other != name])}
