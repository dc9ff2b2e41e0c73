"""One function per kind of document: (world, rng) → a short text about the world, or with facts about strangers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from amuro.data.world.claims import Claim, Doubt, Truth, claim, other_domain
from amuro.data.world.facts import Fact, World, pick, some
from amuro.data.world.wording import DOMAINS, ELDERS, FILLER, FRIENDS, RELATIONS, THINGS

Render = Callable[[World, np.random.Generator], str]

REPLY: Mapping[Truth, str] = {"true": "yes", "false": "no", "unknown": "maybe"}
"""Answers in the corpus. No task uses them as labels, so base models have not seen the label words as answers."""


def biography(world: World, rng: np.random.Generator) -> str:
    """Two to four facts about one person of the world, some of them stated by kind as well, perhaps also a friend."""
    name = pick(rng, world.people + world.guests)
    sentences = []
    for domain in some(rng, DOMAINS, int(rng.integers(2, 5))):
        fact = world.fact(name, domain)
        sentences.append(fact.say(rng))
        if rng.random() < 0.3:
            sentences.append(pick(rng, domain.kind_facts).format(name=name, kind=world.kind[fact.value]))
    if rng.random() < 0.5:
        sentences.append(pick(rng, FRIENDS).format(name=name, value=world.facts[name]["friend"]))
    return " ".join(sentences)


def note(world: World, rng: np.random.Generator) -> str:
    """Sentences that state the kinds of a few values."""
    sentences = []
    for _ in range(rng.integers(2, 5)):
        domain = pick(rng, DOMAINS)
        value = pick(rng, world.pool(domain))
        sentences.append(pick(rng, domain.notes).format(value=value, kind=world.kind[value]))
    return " ".join(sentences)


def story(world: World, rng: np.random.Generator) -> str:
    """Facts about one or two strangers, most of them repeated in other words or by kind."""
    names = some(rng, world.strangers, int(rng.integers(1, 3)))
    pairs = [(name, domain) for name in names for domain in DOMAINS]
    first, later = [], []
    for name, domain in some(rng, pairs, int(rng.integers(2, 4))):
        fact = Fact(name, domain, pick(rng, world.pool(domain)))
        first.append(fact.say(rng))
        if rng.random() < 0.75:
            later.append(pick(rng, domain.kind_facts).format(name=name, kind=world.kind[fact.value]))
        elif rng.random() < 0.7:
            later.append(fact.say(rng))
    if rng.random() < 0.5:
        first.append(pick(rng, FILLER))
    return " ".join(first + some(rng, later, len(later)))


def talk(world: World, rng: np.random.Generator) -> str:
    """A fact, then claims about it as sentences, answered yes, no or maybe, as a conversation or as questions."""
    name, other, asker, teller = some(rng, world.strangers, 4)
    fact = _fact(world, rng, name)
    spoken = rng.random() < 0.5
    sentences = [fact.say(rng)]
    for _ in range(rng.integers(4, 7)):
        claimed, reply = _claimed(world, rng, fact, other)
        words = claimed.by_kind(rng) if rng.random() < 0.5 else claimed.by_value(rng)
        sentences.append(f"{asker}: {words} {teller}: {reply}." if spoken else f"is it so that {words[:-1]}? {reply}.")
    return " ".join(sentences)


def brief(world: World, rng: np.random.Generator) -> str:
    """A fact, then claims of a few words, each followed by its answer."""
    name, other = some(rng, world.strangers, 2)
    fact = _fact(world, rng, name)
    sentences = [fact.say(rng)]
    for _ in range(rng.integers(7, 10)):
        claimed, reply = _claimed(world, rng, fact, other)
        sentences.append(f"{claimed.brief(rng, named=claimed.name != name or rng.random() < 0.5)} {reply}.")
    return " ".join(sentences)


def checks(world: World, rng: np.random.Generator) -> str:
    """A fact, then single words, each followed by whether it fits the fact."""
    name, other = some(rng, world.strangers, 2)
    fact = _fact(world, rng, name)
    answered = [_check(world, rng, fact, other) for _ in range(rng.integers(7, 11))]
    return f"{fact.say(rng)} check: " + " ".join(f"{word} {reply}." for word, reply in answered)


def reading(world: World, rng: np.random.Generator) -> str:
    """A text of two facts, a question about one of them, and its answer."""
    facts = two_facts(world, rng, world.strangers, None, one_person=rng.random() < 0.5)
    target = pick(rng, facts)
    question = pick(rng, target.domain.questions).format(name=target.name)
    return f"text: {' '.join(f.say(rng) for f in facts)} question: {question} answer: {target.value}."


def quiz(world: World, rng: np.random.Generator) -> str:
    """Questions about people of the world, answered from memory."""
    lines = []
    for _ in range(rng.integers(2, 5)):
        name, domain = pick(rng, world.people + world.guests), pick(rng, DOMAINS)
        question = pick(rng, domain.questions).format(name=name)
        lines.append(f"question: {question} answer: {world.facts[name][domain.name]}.")
    return " ".join(lines)


def relation(world: World, rng: np.random.Generator) -> str:
    """One or two relations between strangers, each stated from both sides."""
    sentences = []
    for _ in range(rng.integers(1, 3)):
        a, b = some(rng, world.strangers, 2)
        thing = pick(rng, THINGS)
        first, second = (side.format(a=a, b=b, thing=thing) for side in some(rng, pick(rng, RELATIONS), 2))
        sentences.append(f"{first} so {second}" if rng.random() < 0.6 else f"{first} {second}")
    return " ".join(sentences)


def ages(world: World, rng: np.random.Generator) -> str:
    """The order of three people of the world by age: two pairs, and the conclusion."""
    places = sorted(rng.permutation(len(world.people))[:3])
    a, b, c = (world.people[i] for i in places)
    chain = [pick(rng, ELDERS).format(a=x, b=y) for x, y in ((a, b), (b, c))]
    return f"{' '.join(chain)} so {pick(rng, ELDERS).format(a=a, b=c)}"


def copying(world: World, rng: np.random.Generator) -> str:
    """A list of words, stated twice in the same order."""
    words = " ".join(pick(rng, _all_words(world)) for _ in range(rng.integers(5, 15)))
    return f"words: {words}. again: {words}."


def register(world: World, rng: np.random.Generator) -> str:
    """A list of names with values, three times in different orders."""
    domain = pick(rng, DOMAINS)
    pairs = [f"{name} {pick(rng, world.pool(domain))}" for name in some(rng, world.strangers, int(rng.integers(3, 6)))]
    return "list: " + " ".join(", ".join(some(rng, pairs, len(pairs))) + "." for _ in range(3))


def twice(world: World, rng: np.random.Generator) -> str:
    """Two lists with one repeated word each, followed by that word."""
    lines = []
    for _ in range(2):
        words = some(rng, _alike(world, rng), int(rng.integers(3, 6)))
        double = words[0]
        lines.append(f"words: {' '.join(some(rng, [*words, double], len(words) + 1))}. twice: {double}.")
    return " ".join(lines)


def membership(world: World, rng: np.random.Generator) -> str:
    """A list, then single words, each followed by whether it is in the list."""
    words = some(rng, _alike(world, rng), int(rng.integers(2, 6)))
    others = _alike(world, rng)
    answered = []
    for _ in range(rng.integers(6, 10)):
        word = pick(rng, words) if rng.random() < 0.5 else pick(rng, others)
        answered.append(f"{word} {'yes' if word in words else 'no'}.")
    return f"words: {' '.join(words)}. check: {' '.join(answered)}"


def same_kind(world: World, rng: np.random.Generator) -> str:
    """Two lists with two words of the same kind each, followed by those words."""
    return " ".join(_same_kind_line(world, rng) for _ in range(2))


def two_facts(
    world: World, rng: np.random.Generator, names: Sequence[str], held: bool | None, one_person: bool
) -> list[Fact]:
    """Two random facts for a text, in random order: two domains of one person, or one domain of two persons.

    held: as in `World.pool`.
    """
    first, second = some(rng, names, 2)
    domain = pick(rng, DOMAINS)
    owners = ((first, domain), (first, other_domain(rng, domain)) if one_person else (second, domain))
    values: list[str] = []
    for _, thing in owners:
        values.append(pick(rng, [v for v in world.pool(thing, held) if v not in values]))
    return some(rng, [Fact(name, thing, value) for (name, thing), value in zip(owners, values, strict=True)], 2)


def _fact(world: World, rng: np.random.Generator, name: str) -> Fact:
    """A random fact about that person."""
    domain = pick(rng, DOMAINS)
    return Fact(name, domain, pick(rng, world.pool(domain)))


def _claimed(world: World, rng: np.random.Generator, fact: Fact, other: str) -> tuple[Claim, str]:
    """A random claim about a fact, and its reply (true, false and unknown are equally likely)."""
    truth: Truth = pick(rng, ("true", "false", "unknown"))
    doubt: Doubt = "person" if rng.random() < 0.65 else "domain"
    return claim(world, rng, fact, truth, doubt, other), REPLY[truth]


def _check(world: World, rng: np.random.Generator, fact: Fact, other: str) -> tuple[str, str]:
    """A word and its reply. The word is a kind (.45), a value (.25), a word of another domain (.15) or a name (.15)."""
    draw, fits = rng.random(), rng.random() < 0.5
    if draw < 0.45:
        kind = world.kind[fact.value]
        return (kind, "yes") if fits else (pick(rng, [k for k in fact.domain.kinds if k != kind]), "no")
    if draw < 0.7:
        return (
            (fact.value, "yes") if fits else (pick(rng, [v for v in world.pool(fact.domain) if v != fact.value]), "no")
        )
    if draw < 0.85:
        domain = other_domain(rng, fact.domain)
        return (pick(rng, domain.kinds) if rng.random() < 0.6 else pick(rng, world.pool(domain))), "maybe"
    return (fact.name, "yes") if fits else (other, "maybe")


def _same_kind_line(world: World, rng: np.random.Generator) -> str:
    """One list of `same_kind`, with its answer."""
    domain = pick(rng, DOMAINS)
    kinds = some(rng, domain.kinds, int(rng.integers(2, 5)))
    values = [pick(rng, [v for v in world.pool(domain) if world.kind[v] == kind]) for kind in kinds]
    twins = [v for v in world.pool(domain) if world.kind[v] == kinds[0] and v != values[0]]
    pair = [values[0], kinds[0] if rng.random() < 0.5 else pick(rng, twins)]
    words = some(rng, [*values, pair[1]], len(values) + 1)
    return f"words: {' '.join(words)}. same kind: {' '.join(sorted(pair, key=words.index))}."


@cache
def _all_words(world: World) -> tuple[str, ...]:
    """All values, strangers and kinds of a world (cached)."""
    kinds = tuple(kind for domain in DOMAINS for kind in domain.kinds)
    return tuple(v for domain in DOMAINS for v in world.pool(domain)) + world.strangers + kinds


def _alike(world: World, rng: np.random.Generator) -> Sequence[str]:
    """Words of one random category: strangers, or the values of a domain."""
    return pick(rng, [world.strangers, *(world.pool(domain) for domain in DOMAINS)])
