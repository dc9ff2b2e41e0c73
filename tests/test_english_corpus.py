"""The script that parts real English into a corpus and tuning rows: on invented rows, and on the real files if there.

What is proved: no passage, context or question is both read in pre-training and asked or tuned on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amuro.data import sources
from amuro.tasks import load_task

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("AMURO_REAL", "~/.cache/amuro-real")).expanduser() / "english"
real = pytest.mark.skipif(not (FOLDER / "MANIFEST.json").is_file(), reason=f"no English in {FOLDER}: make english")
Rows = dict[str, list[dict[str, Any]]]


def _load() -> ModuleType:
    """The script, which imports its neighbour as it does when it is called."""
    place = ROOT / "scripts" / "english_corpus.py"
    sys.path.insert(0, str(place.parent))
    try:
        spec = importlib.util.spec_from_file_location("english_corpus", place)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["english_corpus"] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(place.parent))


script = _load()


def invented() -> tuple[Rows, Rows]:
    """Training and validation rows in which contexts come again, within a split and across splits."""
    social = [
        {"context": f"Mirel met  person {i // 3}.", "question": f"Why {i}?", "answerA": "a", "answerB": "b",
         "answerC": "c", "label": "1"}
        for i in range(600)
    ]  # fmt: skip
    boolq = [{"passage": f"Tarn {i // 2} is a lake. " * 30, "question": "is it", "answer": True} for i in range(300)]
    train = {"socialiqa": social, "boolq": boolq}
    validation = {
        "socialiqa": [{**social[i], "context": social[i]["context"].upper()} for i in range(0, 90, 3)],
        "boolq": [{**row, "passage": row["passage"] + " too"} for row in boolq[:20]],
    }
    return train, validation


def clusters(rows: list[dict[str, Any]], name: str) -> set[str]:
    return {script.cluster(script.SOURCES[name].common(row)) for row in rows}


def test_no_context_is_both_read_and_tuned_on_or_asked() -> None:
    """Corpus, held-out corpus, tuning rows and validation rows share no cluster, whatever the capitals and blanks."""
    files = script.parted(*invented())
    read, held_out = ({row["cluster"] for row in files[f"corpus/{split}"]} for split in ("train", "test"))
    tuned = clusters(files["socialiqa/train"], "socialiqa") | clusters(files["boolq/train"], "boolq")
    asked = clusters(files["socialiqa/validation"], "socialiqa") | clusters(files["boolq/validation"], "boolq")
    sets = [read, held_out, tuned, asked]
    assert all(sets)
    assert sum(map(len, sets)) == len(set().union(*sets))
    assert len(read | held_out | tuned) == 200 + 150 - 30
    assert 0.4 < len(tuned) / len(read | held_out | tuned) < 0.6


def test_a_document_is_in_the_corpus_once_and_holds_no_question() -> None:
    """Three rows of one context are one document, and the question that tuning asks for is not a part of it."""
    files = script.parted(*invented())
    texts = [row["text"] for row in files["corpus/train"]]
    assert len(texts) == len(set(texts))
    assert not any("Why" in text for text in texts)
    assert "Mirel met person" in " ".join(texts)


def test_rows_of_a_cluster_stand_together() -> None:
    """A cut between dev and train parts one cluster at most."""
    rows = script.parted(*invented())["socialiqa/train"]
    contexts = [row["context"] for row in rows]
    changes = sum(one != other for one, other in pairwise(contexts))
    assert changes + 1 == len(set(contexts)) < len(contexts)


def test_the_same_rows_give_the_same_files() -> None:
    """Neither the order of rows nor anything random enters."""
    train, validation = invented()
    turned = {name: rows[::-1] for name, rows in train.items()}
    assert script.parted(train, validation)["corpus/train"] == script.parted(turned, validation)["corpus/train"]


@given(st.text(alphabet="aß漢 ", min_size=1, max_size=600))
def test_held_out_documents_fit_any_byte_level_context(text: str) -> None:
    """A cut document is a beginning of the whole one, ends with a word, and has few enough bytes."""
    plain = script.plain(text)
    cut = script.cut(plain)
    assert len(cut.encode()) <= script.HELD_OUT_BYTES
    assert plain.startswith(cut)
    assert plain[len(cut) : len(cut) + 1] in ("", " ")


def test_gold_texts_hold_the_right_ending() -> None:
    """Of each kind of row the text that is true, in plain words."""
    gold = {name: source.gold for name, source in script.SOURCES.items()}
    ending = {"activity_label": "Home", "ctx_a": "[header] How [title] Open it.", "ctx_b": "", "endings": ["a", " go"]}
    assert script.plain(gold["hellaswag"]({**ending, "label": "1"})) == "Home: How. Open it. go"
    assert gold["piqa"]({"goal": "To dry", "sol1": "wait.", "sol2": "run.", "label": 0}) == "To dry wait."
    choices = {"text": ["ice", "fire"], "label": ["A", "B"]}
    assert gold["arc_easy"]({"question": "Hot?", "choices": choices, "answerKey": "B"}) == "Hot? fire"
    assert gold["boolq"]({"passage": "A tarn is a lake.", "question": "is it"}) == "A tarn is a lake."


def test_hellaswag_training_rows_have_the_fields_of_the_task() -> None:
    """A rebuilt row becomes an example; the activity ends at the first colon only."""
    doc = {"ind": 4, "query": "Removing ice: Then: the man", "choices": [" a", " b", " c", " d"], "gold": 3}
    example = load_task("hellaswag").example({"id": "train-0", **script.hellaswag(doc)})
    assert example.inputs == {"context": "Removing ice: Then: the man"}
    assert (example.answer, example.options) == ("d", ("a", "b", "c", "d"))


def _real(place: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{place}.jsonl").read_bytes().split(b"\n") if line]


@real
def test_the_real_halves_are_disjoint() -> None:
    """No context, passage or question that is tuned on or asked stands in the real corpus or its held-out part."""
    kept = [_real("corpus/train"), _real("corpus/test")]
    read, held_out = ({row["cluster"] for row in rows} for rows in kept)
    assert not read & held_out
    texts = {" ".join(row["text"].lower().split()) for rows in kept for row in rows}
    for name in ("socialiqa", "boolq", "arc_easy", "openbookqa", "hellaswag"):
        for split in ("train", "validation"):
            rows = _real(f"{name}/{split}")
            assert not clusters(rows, name) & (read | held_out)
            assert not {" ".join(script.SOURCES[name].gold(row).lower().split()) for row in rows} & texts
        assert not clusters(_real(f"{name}/train"), name) & clusters(_real(f"{name}/validation"), name)


@real
def test_the_study_pins_the_real_corpus() -> None:
    """The digest in the study is that of the file which the script wrote."""
    study = tomllib.loads((ROOT / "studies" / "english_small.toml").read_text())
    found = hashlib.sha256((FOLDER / "corpus" / "train.jsonl").read_bytes()).hexdigest()
    assert study["series"]["english"]["corpus_sha256"] == found


@real
@pytest.mark.parametrize(
    ("name", "folder", "test"),
    [("hellaswag", "hellaswag", 10_042), ("english_corpus", "corpus", 2_085), ("arc_easy", "arc_easy", 570)],
)
def test_real_rows_all_become_examples(name: str, folder: str, test: int) -> None:
    """Every row of every split fits its task."""
    task = replace(load_task(name), source=f"file:{FOLDER}/{folder}")
    found = {split: sources.examples(task, split) for split in task.splits}
    assert len(found["test"]) == test
    assert all(found.values())
