"""One function per task: (world, rng, split, number) → a row without its id. `number` cycles classes and clusters.

Every function draws domain, wording and the other person before the label, so that no single part of a row reveals
the label.
"""

from __future__ import annotations

import numpy as np

from amuro.data.world.claims import Doubt, Truth, claim, other_domain
from amuro.data.world.documents import two_facts
from amuro.data.world.facts import Fact, World, pick, some
from amuro.data.world.wording import DOMAINS, FILLER, HELD_RELATIONS, RELATIONS, THINGS

Row = dict[str, object]

DEV_GUESTS = 8
TRUTHS: tuple[Truth, ...] = ("true", "false", "unknown")


def inference(world: World, rng: np.random.Generator, split: str, number: int) -> Row:
    """A fact about one person and a claim by kind; label: true, false, or unknown (other person or other domain)."""
    fact, other = _fact(world, rng, split, number // len(TRUTHS))
    truth = TRUTHS[number % len(TRUTHS)]
    doubt: Doubt = pick(rng, ("person", "domain"))
    claimed = claim(world, rng, fact, truth, doubt, other, held=split == "test_ood")
    return {"cluster": fact.value, "text": fact.say(rng), "claim": claimed.by_kind(rng), "label": truth}


def paraphrase(world: World, rng: np.random.Generator, split: str, number: int) -> Row:
    """Two sentences in different words: the same fact, or another value (3 in 4) or another person (1 in 4)."""
    fact, other = _fact(world, rng, split, number // 2)
    first, second = some(rng, fact.domain.facts, 2)
    rivals = [v for v in world.pool(fact.domain, split == "test_ood") if v != fact.value]
    name, value = (other, fact.value) if rng.random() < 0.25 else (fact.name, pick(rng, rivals))
    same = number % 2 == 0
    twin = fact if same else Fact(name, fact.domain, value)
    return {
        "cluster": fact.value,
        "first": first.format(name=fact.name, value=fact.value),
        "second": second.format(name=twin.name, value=twin.value),
        "label": "same" if same else "different",
    }


def reading(world: World, rng: np.random.Generator, split: str, number: int) -> Row:
    """Two facts about one person, a question about one of them as in the corpus, and four options."""
    held = split == "test_ood"
    facts = two_facts(world, rng, world.names(held), held, one_person=True)
    target, other = facts if rng.random() < 0.5 else facts[::-1]
    rivals = [v for v in world.pool(target.domain, held) if v != target.value]
    return {
        "cluster": target.value,
        "text": " ".join(fact.say(rng) for fact in facts),
        "question": pick(rng, target.domain.questions).format(name=target.name),
        "answer": target.value,
        "options": some(rng, [target.value, other.value, *some(rng, rivals, 2)], 4),
    }


def inverse(world: World, rng: np.random.Generator, split: str, number: int) -> Row:
    """A relation between two strangers; the answer states it from the other side. Held out: names and two relations."""
    held = split == "test_ood"
    names = world.names(held)
    subject = names[number % len(names)]
    name = pick(rng, [n for n in names if n != subject])
    relation, rival = some(rng, HELD_RELATIONS if held else RELATIONS[: -len(HELD_RELATIONS)], 2)
    stated, inverted = some(rng, relation, 2)
    thing = pick(rng, THINGS)
    sides = [_predicate(side, name, subject, thing) for side in (inverted, stated, *rival)]
    text = f"{subject} {_predicate(stated, subject, name, thing)}."
    return {"cluster": subject, "text": text, "name": name, "answer": sides[0], "options": some(rng, sides, 4)}


def question(world: World, rng: np.random.Generator, split: str, number: int) -> Row:
    """Two facts about one person and a value from them; the answer is the question that the value answers."""
    held = split == "test_ood"
    facts = two_facts(world, rng, world.names(held), held, one_person=True)
    target = pick(rng, facts)
    return {
        "cluster": target.value,
        "text": " ".join(fact.say(rng) for fact in facts),
        "reply": target.value,
        "question": target.domain.questions[0].format(name=target.name).rstrip("?"),
    }


def summary(world: World, rng: np.random.Generator, split: str, number: int) -> Row:
    """Two facts about one person and an irrelevant sentence; the summary states both facts by kind."""
    held = split == "test_ood"
    first, second = two_facts(world, rng, world.names(held), held, one_person=True)
    sentences = [first.say(rng), second.say(rng)]
    sentences.insert(int(rng.integers(3)), pick(rng, FILLER))
    clauses = [f.domain.clause.format(kind=world.kind[f.value]) for f in (first, second)]
    return {"cluster": first.value, "text": " ".join(sentences), "summary": f"{first.name} {' and '.join(clauses)}"}


def instruct(world: World, rng: np.random.Generator, split: str, number: int) -> Row:
    """A request in a wording of no task and no document, and its reply, as chat messages."""
    fact, other = _fact(world, rng, split, number // len(REQUESTS))
    request, reply = REQUESTS[number % len(REQUESTS)](world, rng, fact, other)
    messages = [{"role": "user", "content": request}, {"role": "assistant", "content": reply}]
    return {"cluster": fact.value, "messages": messages}


def facts(world: World, rng: np.random.Generator, split: str, number: int) -> Row:
    """A question about a person of the world without a context. Held out: its wording.

    Train and dev rows are about guests, so that no shot reveals the answer to a test row.
    """
    guests = {"train": world.guests[DEV_GUESTS:], "dev": world.guests[:DEV_GUESTS]}
    names = guests.get(split, world.people)
    name = names[number % len(names)]
    domain = DOMAINS[number // len(names) % len(DOMAINS)]
    wording = domain.unseen_question if split == "test_ood" else domain.questions[number // (4 * len(names)) % 2]
    answer = world.facts[name][domain.name]
    rivals = some(rng, [v for v in world.pool(domain) if v != answer], 3)
    options = some(rng, [answer, *rivals], 4)
    return {"cluster": name, "question": wording.format(name=name), "answer": answer, "options": options}


def _tell(world: World, rng: np.random.Generator, fact: Fact, other: str) -> tuple[str, str]:
    """Find: the value of one of two facts in a text."""
    domain = other_domain(rng, fact.domain)
    second = Fact(fact.name, domain, pick(rng, world.pool(domain, _held(world, fact))))
    sentences = " ".join(some(rng, [fact.say(rng), second.say(rng)], 2))
    return f"here is a letter. {sentences} tell me the {fact.domain.name} in it.", fact.value


def _sort(world: World, rng: np.random.Generator, fact: Fact, other: str) -> tuple[str, str]:
    """Sort: the kind of a value."""
    kinds = " ".join(some(rng, fact.domain.kinds, 4))
    return f"here are four baskets, {kinds}. put {fact.value} in one of them.", world.kind[fact.value]


def _judge(world: World, rng: np.random.Generator, fact: Fact, other: str) -> tuple[str, str]:
    """Judge: whether a claim follows from a fact."""
    truth = pick(rng, TRUTHS)
    sentence = claim(world, rng, fact, truth, pick(rng, ("person", "domain")), other, _held(world, fact)).by_kind(rng)
    reply = {"true": "right", "false": "wrong", "unknown": "open"}[truth]
    return f"someone told me this. {fact.say(rng)} my friend said this. {sentence} was my friend right?", reply


def _last(world: World, rng: np.random.Generator, fact: Fact, other: str) -> tuple[str, str]:
    """Pick: the last of a few words."""
    others = [v for v in world.pool(fact.domain, _held(world, fact)) if v != fact.value]
    words = [*some(rng, others, int(rng.integers(2, 5))), fact.value]
    return f"these words stand in a row. {' '.join(words)}. give me the last of them.", fact.value


def _reword(world: World, rng: np.random.Generator, fact: Fact, other: str) -> tuple[str, str]:
    """Reword: a fact in its simplest wording."""
    simple, *others = (words.format(name=fact.name, value=fact.value) for words in fact.domain.facts)
    return f"say it as a child would. {pick(rng, others)}", simple.rstrip(".")


def _held(world: World, fact: Fact) -> bool:
    """Whether the fact's value is held out of tuning."""
    return fact.value in world.held_values


REQUESTS = (_tell, _sort, _judge, _last, _reword)
"""The kinds of requests of `instruct`: (world, rng, fact, other person) → (request, reply)."""


def _fact(world: World, rng: np.random.Generator, split: str, number: int) -> tuple[Fact, str]:
    """A fact about a stranger, and another stranger. `number` cycles the values, so clusters are of similar size."""
    held = split == "test_ood"
    name, other = some(rng, world.names(held), 2)
    values = [(domain, value) for domain in DOMAINS for value in world.pool(domain, held)]
    domain, value = values[number * _STRIDE % len(values)]
    return Fact(name, domain, value), other


_STRIDE = 37
"""Coprime to the number of values: consecutive rows differ in domain and kind, and all values are equally frequent."""


def _predicate(side: str, subject: str, name: str, thing: str) -> str:
    """A relation's wording with `subject` as subject and `name` as object, without the subject and the full stop."""
    first = side.index("{a}") < side.index("{b}")
    a, b = (subject, name) if first else (name, subject)
    return side.format(a=a, b=b, thing=thing).removeprefix(f"{subject} ").rstrip(".")
