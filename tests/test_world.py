"""The embedded world: its truths, its documents, its rows, and the declaration of its pre-training."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core.errors import DataError, StudyError
from amuro.core.hashing import digest
from amuro.data.world import corpus
from amuro.data.world.facts import Fact, World, world
from amuro.data.world.rows import NAMES, SIZES, rows
from amuro.data.world.wording import DOMAINS
from amuro.prompts.render import answer, prompt
from amuro.series import load_series_kind
from amuro.series._pretrain_world import SEMANTICS, PretrainConfig
from amuro.tasks import load_task

TASKS = [name for name in NAMES if name != "corpus"]
WITH_VALUES = [name for name in TASKS if name != "facts"]
WORLD = world(0)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _text(row: dict[str, object]) -> str:
    return " ".join(str(value) for key, value in row.items() if key not in ("id", "cluster"))


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_deterministic_and_of_the_promised_size(name: str) -> None:
    """The same seed gives the same rows; another seed gives others; every split has its size and unique ids."""
    for split in load_task(f"world_{name}").splits:
        found = rows(name, split, 3)
        assert found == rows(name, split, 3)
        assert found != rows(name, split, 4)
        assert len(found) == (300 if name == "corpus" else SIZES[split])
        assert len({row["id"] for row in found}) == len(found)


@pytest.mark.parametrize("name", NAMES)
def test_test_sets_have_at_least_fifty_clusters(name: str) -> None:
    """Intervals over clusters need many: no test set has fewer than 50, and none is a third of a set."""
    for split in (s for s in load_task(f"world_{name}").splits if s.startswith("test")):
        counts = Counter(str(row["cluster"]) for row in rows(name, split, 0))
        assert len(counts) >= 50
        assert max(counts.values()) <= 0.05 * sum(counts.values())


@pytest.mark.parametrize("name", WITH_VALUES)
def test_held_out_words_appear_in_test_ood_alone(name: str) -> None:
    """Values and strangers of the out-of-domain set stand in no other split, and the reverse."""
    held = WORLD.held_values | set(WORLD.names(held=True))
    free = {v for d in DOMAINS for v in WORLD.pool(d, held=False)} | set(WORLD.names(held=False))
    for split in SIZES:
        said = {word for row in rows(name, split, 0) for word in _words(_text(row))}
        assert not said & (free if split == "test_ood" else held)


@pytest.mark.parametrize("name", TASKS)
def test_no_prompt_of_a_test_set_is_trained_on(name: str) -> None:
    """In domain, too, every dev and test prompt is new."""
    task = load_task(f"world_{name}")
    trained = {prompt(task, "default", task.example(row)) for row in rows(name, "train", 0)}
    for split in ("dev", "test", "test_ood"):
        assert not trained & {prompt(task, "default", task.example(row)) for row in rows(name, split, 0)}


def test_inference_labels_follow_from_the_world() -> None:
    """true and false speak of the same person and domain and differ by kind alone; unknown changes person or domain."""
    for row in rows("inference", "test", 0) + rows("inference", "test_ood", 0):
        text, claimed = _words(str(row["text"])), _words(str(row["claim"]))
        value = next(word for word in text if word in WORLD.kind)
        domain = next(d for d in DOMAINS if value in WORLD.values[d.name])
        kind = next(word for word in claimed if any(word in d.kinds for d in DOMAINS))
        name = next(word for word in text if word in WORLD.strangers)
        if name not in claimed or kind not in domain.kinds:
            expected = "unknown"
        else:
            expected = "true" if WORLD.kind[value] == kind else "false"
        assert row["label"] == expected


def test_paraphrase_labels_follow_from_the_words() -> None:
    """Two sentences are the same exactly if they speak of one person and one value, and never word for word equal."""
    for row in rows("paraphrase", "test", 0) + rows("paraphrase", "test_ood", 0):
        said = [
            {w for w in _words(str(row[side])) if w in WORLD.kind or w in WORLD.strangers}
            for side in ("first", "second")
        ]
        assert (said[0] == said[1]) == (row["label"] == "same")
        assert row["first"] != row["second"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("inference", ("text",)),
        ("inference", ("claim",)),
        ("inference", ("text", "claim")),
        ("paraphrase", ("first",)),
        ("paraphrase", ("second",)),
        ("paraphrase", ("first", "second")),
    ],
)
def test_no_words_give_the_label_away(name: str, parts: tuple[str, ...]) -> None:
    """A bag of words, trained on either part or on both, stays near chance: there is no label shortcut."""
    train, test = rows(name, "train", 0), rows(name, "test", 0)
    labels = load_task(f"world_{name}").labels
    tables = {label: Counter[str]() for label in labels}
    for row in train:
        tables[str(row["label"])].update(w for part in parts for w in set(_words(str(row[part]))))
    hits = 0
    for row in test:
        said = [w for part in parts for w in set(_words(str(row[part])))]
        scores = {
            label: sum(log(table[w] + 1) - log(sum(table.values())) for w in said) for label, table in tables.items()
        }
        hits += max(scores, key=lambda label: scores[label]) == row["label"]
    chance = 1 / len(labels)
    assert abs(hits / len(test) - chance) < 4 * (chance * (1 - chance) / len(test)) ** 0.5


@pytest.mark.parametrize("name", ["inference", "paraphrase"])
@pytest.mark.parametrize("split", list(SIZES))
def test_classes_are_balanced(name: str, split: str) -> None:
    """Each label has its share within one row, and no value leans to a label."""
    found = rows(name, split, 0)
    counts = Counter(str(row["label"]) for row in found)
    assert max(counts.values()) - min(counts.values()) <= 1
    by_value = Counter((str(row["cluster"]), str(row["label"])) for row in found)
    for value in {value for value, _ in by_value}:
        shares = [by_value[value, label] for label in counts]
        assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("name", ["reading", "inverse", "facts"])
def test_choices_hold_the_answer_once_at_any_place(name: str) -> None:
    """Four different options, the right one among them, at each place about as often."""
    found = rows(name, "test", 0)
    places = Counter()
    for row in found:
        options = row["options"]
        assert isinstance(options, list)
        assert len(set(options)) == 4
        places[options.index(row["answer"])] += 1
    assert min(places[i] for i in range(4)) > 0.17 * len(found)


def test_fact_answers_are_true_and_test_people_serve_as_no_example() -> None:
    """The probe asks what is true in the world; whom it asks about is shown in no shot."""
    asked = {str(row["cluster"]) for row in rows("facts", "test", 0)}
    shown = {str(row["cluster"]) for split in ("train", "dev") for row in rows("facts", split, 0)}
    assert not asked & shown
    for row in rows("facts", "test", 0) + rows("facts", "test_ood", 0):
        assert row["answer"] in WORLD.facts[str(row["cluster"])].values()


def test_summaries_and_questions_are_true_of_their_texts() -> None:
    """A summary names the kinds of both values; a question asks about the person and is answered by the reply."""
    for row in rows("summary", "test", 0):
        told = [w for w in _words(str(row["text"])) if w in WORLD.kind]
        kinds = [w for w in _words(str(row["summary"])) if any(w in d.kinds for d in DOMAINS)]
        assert kinds == [WORLD.kind[value] for value in told]
    for row in rows("question", "test", 0):
        assert str(row["reply"]) in _words(str(row["text"]))
        assert {w for w in _words(str(row["question"])) if w in WORLD.strangers} <= set(_words(str(row["text"])))


def test_the_corpus_never_shows_a_task_that_is_to_be_latent() -> None:
    """No document holds an answer prefix or label of inference, paraphrase, question, summary or instruction tasks."""
    cues = [
        "claim:",
        "the claim is",
        "first:",
        "second:",
        "the meaning is",
        "passage:",
        "reply:",
        "one asks:",
        "in short:",
    ]
    cues += ["user:", "assistant:", "input:", "output:", "the answer is true", "the answer is same"]
    for text in itertools.islice(corpus.documents(0, 0), 4000):
        assert not [cue for cue in cues if cue in text]


def test_the_corpus_shows_the_tasks_that_are_to_be_learned() -> None:
    """Prompt and answer of a reading task are a document, word for word; so are those of a relation."""
    reading, inverse = load_task("world_reading"), load_task("world_inverse")
    for task, pattern in ((reading, "text: "), (inverse, " so ")):
        example = task.example(rows(task.name.removeprefix("world_"), "train", 0)[0])
        whole = f"{prompt(task, 'default', example)} {answer(task, example.answer)}"
        shape = _shape(WORLD, whole)
        stream = itertools.islice(corpus.documents(0, 0), 40_000)
        assert any(shape in _shape(WORLD, text) for text in stream if pattern in text)


def _shape(told: World, text: str) -> str:
    """The text with names and values made anonymous."""
    for mark in (".", ",", "?"):
        text = text.replace(mark, f" {mark}")
    return " ".join("NAME" if w in told.strangers else "VALUE" if w in told.kind else w for w in text.split())


def test_documents_do_not_depend_on_where_reading_starts() -> None:
    """Document 5 is document 5, read alone or after the four before it; streams and seeds differ."""
    assert (
        list(itertools.islice(corpus.documents(0, 0, start=5), 2))
        == list(itertools.islice(corpus.documents(0, 0), 7))[5:]
    )
    main, held, other = (corpus.document(0, s, stream, 5) for s, stream in ((0, "main"), (0, "held_out"), (1, "main")))
    assert len({main, held, other}) == 3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 10_000))
def test_every_world_is_whole_and_speaks_plainly(world_seed: int, number: int) -> None:
    """Whatever the seed: words are distinct, held-out sets have their size, documents are lower-case sentences."""
    told = world(world_seed)
    names = [*told.people, *told.guests, *told.strangers, *told.kind]
    assert len(set(names)) == len(names)
    assert len(told.held_values) == 64
    text = corpus.document(world_seed, 0, "main", number)
    assert text == text.lower() == " ".join(text.split())
    assert text.endswith(".")


def test_orders_of_age_are_consistent() -> None:
    """What the corpus says of ages never contradicts the one order of the world."""
    for text in itertools.islice(corpus.documents(0, 0), 6000):
        for sentence in text.replace(" so ", " ").split(". "):
            words = _words(sentence)
            if len(words) == 5 and set(words[2:4]) & {"older", "younger"} and {words[0], words[4]} <= set(WORLD.people):
                assert WORLD.older(words[0], words[4]) == (words[2] == "older")


@pytest.mark.parametrize(
    ("name", "split", "hint"), [("inferense", "test", "inference"), ("inference", "tests", "test")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, split: str, hint: str) -> None:
    """A misspelt task or split stops with the word that was probably meant."""
    with pytest.raises(DataError, match=f"did you mean '{hint}'"):
        rows(name, split, 0)


def test_a_digest_covers_all_that_decides_weights_and_nothing_else() -> None:
    """Every field but the list of checkpoints changes the digest."""
    config = PretrainConfig()
    assert config.digest() == PretrainConfig(steps=(0, 50)).digest()
    changed = {"world_seed": 1, "pretrain_seed": 1, "heads": 8, "muon_rate": 0.03, "max_length": 256, "copy_steps": 7}
    assert len({config.digest(), *(replace(config, **{k: v}).digest() for k, v in changed.items())}) == len(changed) + 1


def test_the_digest_of_the_demo_is_what_it_was() -> None:
    """Checkpoints that were made once keep their name: a renamed field would make every one of them anew."""
    assert PretrainConfig().digest()[:16] == "627ed4cfefddb98f"
    assert PretrainConfig(anneal_steps=120).digest()[:16] == "89ca1bab6f00c542"


def test_arithmetic_of_a_config() -> None:
    """Tokens are step × rows × length, all of them new; FLOPs exceed 6 a weight and token; states are named."""
    config = PretrainConfig(steps=(0, 10), rows=4, row_length=64, warmup_steps=5)
    assert config.tokens_at(10) == config.unique_tokens_at(10) == 2560
    assert config.flops_at(10) > 6 * config.parameters() * 2560
    assert [config.schedule_at(step) for step in (0, 4, 5)] == ["initial", "warmup", "constant"]


@pytest.mark.parametrize(
    "options",
    [
        {"steps": (0, 5, 5)},
        {"steps": ()},
        {"steps": (1.5,)},
        {"hidden_size": 30},
        {"rows": 0},
        {"muon_rate": 0},
        {"word_seed": 1},
    ],
)
def test_a_bad_config_is_refused_with_a_cure(options: dict[str, object]) -> None:
    """Steps that do not rise, sizes that do not fit, rates of zero and unknown keys stop before any compute."""
    with pytest.raises(StudyError, match="; ") as error:
        PretrainConfig.from_options(options)
    assert error.value.cure


def test_a_world_series_declares_its_checkpoints() -> None:
    """One checkpoint a step, with tokens, schedule state and the digest that stands for its weights."""
    found = load_series_kind("world").checkpoints("world", {"kind": "world", "steps": [0, 100], "world_seed": 3})
    assert [(c.step, c.tokens, c.schedule) for c in found] == [(0, 0, "initial"), (100, 102_400, "constant")]
    assert found[0].identity == PretrainConfig(world_seed=3).digest()


def test_a_fact_is_said_in_different_words() -> None:
    """Saying a fact draws among all its wordings."""
    rng = np.random.default_rng(0)
    fact = Fact("bogid", DOMAINS[0], "lagton")
    assert len({fact.say(rng) for _ in range(60)}) == len(DOMAINS[0].facts)


def test_documents_and_rows_are_what_they_were() -> None:
    """Texts are pinned: whoever changes a document raises SEMANTICS, for the same configuration gives other weights."""
    texts = [text for stream in ("copy", "main", "held_out") for text in _first(stream, 200)]
    assert (SEMANTICS, _digest(texts)) == (1, "21914743ce4e")
    assert _digest([rows(name, "test", 0) for name in NAMES]) == "baab8a6f6d0e"


def _first(stream: corpus.Stream, count: int) -> list[str]:
    return list(itertools.islice(corpus.documents(0, 0, stream), count))


def _digest(value: object) -> str:
    return digest(value)[:12]
