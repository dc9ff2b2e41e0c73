"""All sentence patterns of the world: people, towns, jobs, pets, foods and relations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Domain:
    """One attribute of people (such as their town), its kinds, and all sentence patterns about it."""

    name: str
    ending: str
    """Last letters of the invented words for its values."""
    kinds: tuple[str, ...]
    """Categories: each value of the domain belongs to exactly one."""
    facts: tuple[str, ...]
    """Sentences: {name} has {value}."""
    kind_facts: tuple[str, ...]
    """Sentences: {name} has something of {kind}."""
    notes: tuple[str, ...]
    """Sentences: {value} is of {kind}."""
    questions: tuple[str, ...]
    """Questions that occur in the corpus. The first is the gold answer of the question-generation task."""
    unseen_question: str
    """A question that does not occur in the corpus."""
    brief_value: str
    """A claim about {value} in a few words."""
    brief_kind: str
    """A claim about {kind} in a few words."""
    clause: str
    """A summary's clause about {kind}."""


DOMAINS = (
    Domain(
        "town",
        "ton",
        ("north", "south", "east", "west"),
        (
            "{name} lives in {value}.",
            "the home of {name} is in {value}.",
            "{name} has a house in {value}.",
            "{value} is the town of {name}.",
        ),
        ("{name} lives in the {kind}.", "the home of {name} is in the {kind}.", "{name} has a house in the {kind}."),
        ("{value} is a town in the {kind}.", "{value} lies in the {kind}.", "the way to the {kind} leads to {value}."),
        ("where does {name} live?", "in which town is the home of {name}?"),
        "what town does {name} come from?",
        "in {value}",
        "in the {kind}",
        "lives in the {kind}",
    ),
    Domain(
        "job",
        "er",
        ("wood", "metal", "music", "cloth"),
        (
            "{name} works as a {value}.",
            "the job of {name} is {value}.",
            "{name} earns money as a {value}.",
            "{name} became a {value}.",
        ),
        ("{name} works with {kind}.", "the job of {name} is about {kind}.", "{name} earns money with {kind}."),
        ("a {value} works with {kind}.", "the work of a {value} is about {kind}.", "every {value} needs {kind}."),
        ("what is the job of {name}?", "what does {name} work as?"),
        "how does {name} earn money?",
        "as a {value}",
        "with {kind}",
        "works with {kind}",
    ),
    Domain(
        "pet",
        "ox",
        ("bird", "fish", "snake", "frog"),
        (
            "{name} owns a {value}.",
            "the pet of {name} is a {value}.",
            "{name} feeds a {value}.",
            "a {value} belongs to {name}.",
        ),
        ("{name} owns a kind of {kind}.", "the pet of {name} is a {kind}.", "{name} feeds a {kind}."),
        ("a {value} is a kind of {kind}.", "the {value} is a {kind}.", "every {value} is a {kind}."),
        ("which pet does {name} have?", "what does {name} own?"),
        "which animal belongs to {name}?",
        "a {value}",
        "a {kind}",
        "owns a {kind}",
    ),
    Domain(
        "food",
        "ine",
        ("fruit", "meat", "soup", "cake"),
        (
            "{name} eats {value} every day.",
            "the favorite food of {name} is {value}.",
            "{name} often cooks {value}.",
            "{value} is what {name} likes to eat.",
        ),
        ("{name} eats {kind} every day.", "the favorite food of {name} is a {kind}.", "{name} often cooks {kind}."),
        ("{value} is a kind of {kind}.", "people make {value} as a {kind}.", "all {value} is {kind}."),
        ("what does {name} like to eat?", "what is the favorite food of {name}?"),
        "what does {name} often cook?",
        "eats {value}",
        "eats {kind}",
        "eats {kind}",
    ),
)
DOMAIN = {domain.name: domain for domain in DOMAINS}

RELATIONS = (
    ("{a} is older than {b}.", "{b} is younger than {a}."),
    ("{a} is taller than {b}.", "{b} is shorter than {a}."),
    ("{a} sold a {thing} to {b}.", "{b} bought a {thing} from {a}."),
    ("{a} is the parent of {b}.", "{b} is the child of {a}."),
    ("{a} taught {b}.", "{b} learned from {a}."),
    ("{a} won against {b}.", "{b} lost against {a}."),
    ("{a} gave a {thing} to {b}.", "{b} got a {thing} from {a}."),
    ("{a} is north of {b}.", "{b} is south of {a}."),
)
"""Pairs of equivalent sentences about a relation between {a} and {b}, one from either side."""
HELD_RELATIONS = RELATIONS[-2:]
"""Relations held out of the tuning rows of the inverse task."""
THINGS = ("book", "lamp", "chair", "coat", "cup", "bag")

FRIENDS = ("{value} is a friend of {name}.", "the best friend of {name} is {value}.", "{name} often meets {value}.")
ELDERS = ("{a} is older than {b}.", "{b} is younger than {a}.")

FILLER = (
    "it was a warm day.",
    "the sun was high.",
    "it rained all night.",
    "the road was long.",
    "they talked for a while.",
    "it was quiet then.",
    "it was a true story.",
    "that was a false step.",
    "the rest is unknown.",
    "it was the same day.",
    "it was on a different day.",
    "nobody knew the meaning.",
    "the first day was short.",
    "the second day was long.",
    "that claim was old.",
    "please read and write, they said.",
    "the input was the output.",
    "if the user is there, the answer is good.",
    "a passage in short words.",
    "so one asks about the reply.",
)
"""Irrelevant sentences. They contain the label words and answer prefixes of the tasks, so that the corpus
contains these words, but never in a task's order.
"""
