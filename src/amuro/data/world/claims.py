"""Claims about a stated fact: true, false, or undecided by it. Used by the corpus and by the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from amuro.data.world.facts import Fact, World, pick
from amuro.data.world.wording import DOMAINS, Domain

Truth = Literal["true", "false", "unknown"]
Doubt = Literal["person", "domain"]
"""Why a claim is undecided: it is about another person, or about another domain of the same person."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim that the person `name` has `value`, or something of `kind`, in a domain."""

    name: str
    domain: Domain
    value: str
    kind: str

    def by_value(self, rng: np.random.Generator) -> str:
        """A sentence that names the value."""
        return pick(rng, self.domain.facts).format(name=self.name, value=self.value)

    def by_kind(self, rng: np.random.Generator) -> str:
        """A sentence that names only the kind."""
        return pick(rng, self.domain.kind_facts).format(name=self.name, kind=self.kind)

    def brief(self, rng: np.random.Generator, named: bool) -> str:
        """The claim in a few words, by value or by kind, with the name if `named`."""
        words = pick(rng, (self.domain.brief_value, self.domain.brief_kind)).format(value=self.value, kind=self.kind)
        return f"{self.name} {words}" if named else words


def claim(
    world: World, rng: np.random.Generator, fact: Fact, truth: Truth, doubt: Doubt, other: str, held: bool | None = None
) -> Claim:
    """A random claim whose truth follows from `fact`.

    A false claim differs in value and in kind. doubt, other: why an unknown claim is undecided, and the other person.
    held: True: only values held out of tuning; False: only the others; None: all.
    """
    if truth == "true":
        return Claim(fact.name, fact.domain, fact.value, world.kind[fact.value])
    if truth == "false":
        values = [v for v in world.pool(fact.domain, held) if world.kind[v] != world.kind[fact.value]]
        return _about(world, rng, fact.name, fact.domain, values)
    name = other if doubt == "person" else fact.name
    domain = fact.domain if doubt == "person" else other_domain(rng, fact.domain)
    return _about(world, rng, name, domain, world.pool(domain, held))


def other_domain(rng: np.random.Generator, domain: Domain) -> Domain:
    """A random domain other than this one."""
    return pick(rng, [d for d in DOMAINS if d is not domain])


def _about(world: World, rng: np.random.Generator, name: str, domain: Domain, values: Sequence[str]) -> Claim:
    """The claim that `name` has a random one of the values."""
    value = pick(rng, values)
    return Claim(name, domain, value, world.kind[value])
