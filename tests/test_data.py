"""The door to rows: what comes in is whole, or it stops with its place and the cure."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import stub_data_hub
from hypothesis import given
from hypothesis import strategies as st

from amuro.core.errors import DataError, HubError
from amuro.core.types import Example, Task
from amuro.data import files, sources

ROWS = [{"id": f"r{i}", "text": f"it is {'good' if i % 3 else 'bad'}", "mood": i % 3 > 0} for i in range(10)]


def example(row: Any) -> Example:
    return Example(str(row["id"]), row["text"], {"text": row["text"]}, "good" if row["mood"] else "bad")


def task_of(source: str, **changes: Any) -> Task:
    task = Task(
        name="mood",
        source=source,
        family="mood",
        kind="classification",
        metric="accuracy",
        example=example,
        fields=(("text", "Text"),),
        answer_prefix="Mood:",
        instruction="Say the mood.",
        cluster="text",
        splits={"train": "train", "dev": "train[:4]", "test": "test"},
        labels=("good", "bad"),
        page="https://example.org/mood",
    )
    return replace(task, **changes)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_saved(path: Path, rows: list[dict[str, Any]]) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(rows).save_to_disk(str(path))


WRITERS: dict[str, Callable[[Path], object]] = {
    "train.jsonl": lambda path: write_jsonl(path, ROWS),
    "train.parquet": lambda path: pl.DataFrame(ROWS).write_parquet(path),
    "train": lambda path: write_saved(path, ROWS),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_kind_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    """JSON lines, Parquet and a saved data set in a folder are found by the split's name and read alike."""
    WRITERS[name](tmp_path / name)
    assert sources.rows(f"file:{tmp_path}", "train") == ROWS


def test_csv_is_text_with_its_quotes_and_line_breaks(tmp_path: Path) -> None:
    """Commas, quotes and line feeds inside quoted cells survive, and so does U+2028 in a bare one."""
    path = tmp_path / "set.csv"
    path.write_bytes('id,text\n1,"a, ""b""\nc"\n2,d\u2028e\n'.encode())
    assert sources.rows(f"file:{path}", "all") == [{"id": "1", "text": 'a, "b"\nc'}, {"id": "2", "text": "d\u2028e"}]


@given(st.lists(st.text(), min_size=1))
def test_json_lines_survive_every_letter(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """What `json` writes comes back as it was, whatever line separators a string holds."""
    path = tmp_path_factory.mktemp("rows") / "set.jsonl"
    rows = [{"id": str(i), "text": text} for i, text in enumerate(texts)]
    write_jsonl(path, json.loads(json.dumps(rows, ensure_ascii=True).encode()))
    assert files.read(str(path), "all") == rows


def test_rows_without_an_id_are_named_by_their_place_in_the_whole_split(tmp_path: Path) -> None:
    """A cut split keeps the names of the whole one, so that parts never clash."""
    write_jsonl(tmp_path / "train.jsonl", [{"text": str(i)} for i in range(5)])
    assert [row["id"] for row in sources.rows(f"file:{tmp_path}", "train[3:]")] == ["train-3", "train-4"]
    assert [row["id"] for row in sources.rows(f"file:{tmp_path}", "train[:2]")] == ["train-0", "train-1"]


BAD_FILES = [
    ("set.jsonl", b'{"id": "1", "text": "a"}\n{"id": "2", "te', r"set\.jsonl, line 2 is no whole JSON object"),
    ("set.jsonl", b'{"id": "1"}\n\n{"id": "2"}\n', r"line 2 is blank"),
    ("set.jsonl", b'{"id": "1", "text": "\xff"}\n', r"line 1 is not UTF-8 \(byte 21\)"),
    ("set.jsonl", b'{"id": "1"}\n[1, 2]\n', r"line 2 is no object but list"),
    ("set.jsonl", b'{"id": "1", "id": "2"}\n', r"line 1 .*key stands twice"),
    ("set.jsonl", b'{"id": "1", "x": NaN}\n', r"line 1 .*NaN is not JSON"),
    ("set.jsonl", b'{"id": "1"}\n{"id": "2"}\n{"id": "1"}\n', r"rows 1 and 3 have the id '1'"),
    ("set.csv", b"id,text\n1,a\n2\n", r"set\.csv, line 3 has 1 cells where the header has 2"),
    ("set.csv", b"id,id\n1,a\n", r"has the header \['id', 'id'\]"),
    ("set.csv", b'id,text\n1,"never closed\n', r"set\.csv, line"),
    ("set.csv", b"id,text\n1,\xff\n", r"line 2 is not UTF-8"),
    ("set.parquet", b"PAR1 cut off", r"set\.parquet cannot be read as Parquet"),
    ("set.txt", b"a\n", r"set\.txt is no \.jsonl, \.csv, \.parquet file"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_a_broken_file_is_named_with_line_and_reason(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """No broken file gives rows: each stops with the file, the line and the reason."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        sources.rows(f"file:{tmp_path / name}", "all")


def test_a_broken_saved_data_set_is_refused(tmp_path: Path) -> None:
    """A saved data set whose Arrow file was cut off gives an error, not fewer rows."""
    write_saved(tmp_path / "train", ROWS)
    [part] = (tmp_path / "train").glob("*.arrow")
    part.write_bytes(part.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read as a saved data set"):
        sources.rows(f"file:{tmp_path}", "train")


def test_one_file_is_one_set(tmp_path: Path) -> None:
    """A single file refuses to be train and test at once."""
    path = write_jsonl(tmp_path / "set.jsonl", ROWS)
    with pytest.raises(DataError, match=r"is one file, and has no split 'train'.*all\[:500\]"):
        sources.rows(f"file:{path}", "train")
    assert len(sources.rows(f"file:{path}", "all[7:]")) == 3


def test_a_split_that_is_missing_or_doubled_is_refused(tmp_path: Path) -> None:
    """The error names what the folder holds; two files for one split are not chosen between."""
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    with pytest.raises(DataError, match=r"no split 'test'.*train\.jsonl"):
        sources.rows(f"file:{tmp_path}", "test")
    (tmp_path / "train.csv").write_text("id\n1\n")
    with pytest.raises(DataError, match=r"as train\.jsonl and as train\.csv"):
        sources.rows(f"file:{tmp_path}", "train")


def test_a_path_may_hold_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A committed study can name a folder that lies elsewhere on each machine."""
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    monkeypatch.setenv("AMURO_TEST_ROWS", str(tmp_path))
    assert len(sources.rows("file:$AMURO_TEST_ROWS", "train")) == 10


@pytest.mark.parametrize(
    ("source", "split", "message"),
    [
        ("boolq", "train", "is none of world:NAME"),
        ("google/boolq", "train", "write hub:google/boolq"),
        ("hub:boolq", "train", "has no namespace"),
        ("file:/nowhere/at/all", "train", "does not exist"),
        ("file:/tmp", "train[1:2:3]", "cannot be read"),
        ("world:inference", "train", "is the seed of the world"),
    ],
)
def test_a_source_that_cannot_be_is_refused(source: str, split: str, message: str) -> None:
    """Each mistake in a source or split is answered with the right way to write it."""
    with pytest.raises(DataError, match=message):
        sources.rows(source, split)


class Loaded(list[dict[str, Any]]):
    """Stands for a loaded data set."""

    def to_list(self) -> list[dict[str, Any]]:
        return list(self)


class Hub:
    """Stands for `datasets.load_dataset`: records the call, then gives rows or fails."""

    def __init__(self, answer: list[dict[str, Any]] | Exception) -> None:
        self.answer = answer
        self.asked: dict[str, Any] = {}

    def __call__(self, path: str, name: str | None, **rest: Any) -> Loaded:
        self.asked = {"path": path, "name": name, **rest}
        if isinstance(self.answer, Exception):
            raise self.answer
        return Loaded(self.answer)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    stub = Hub(ROWS)
    monkeypatch.setattr("datasets.load_dataset", stub)
    return stub


def test_a_hub_set_is_asked_for_by_name_configuration_and_revision(hub: Hub, tmp_path: Path) -> None:
    """The pinned revision, the configuration and the cache reach the client, and the cut is made here."""
    rows = sources.rows("hub:allenai/ai2_arc:ARC-Easy", "test[:3]", revision="abc123", cache=tmp_path)
    assert rows == ROWS[:3]
    expected = {"path": "allenai/ai2_arc", "name": "ARC-Easy", "split": "test", "revision": "abc123"}
    assert hub.asked == {**expected, "cache_dir": str(tmp_path)}


def test_ids_that_repeat_give_way_to_places(hub: Hub) -> None:
    """Some sets of the hub give many rows one name (Tülu repeats some dialogues); each gets one of its own."""
    hub.answer = [{"id": "same", "text": "a"}, {"id": "same", "text": "b"}, {"id": "other", "text": "c"}]
    assert [row["id"] for row in sources.rows("hub:a/b", "train[1:]")] == ["train-1", "train-2"]


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (RuntimeError("Dataset scripts are no longer supported, but found x.py"), DataError, "needs a loading script"),
        (ValueError("Unknown split \"tset\". Should be one of ['train']"), DataError, "check the configuration"),
        (ConnectionError("Couldn't reach 'a/b' on the Hub (OfflineModeIsEnabled)"), HubError, "fill the cache first"),
        (FileNotFoundError("Dataset 'a/b' doesn't exist on the Hub"), HubError, "HF_TOKEN"),
    ],
)
def test_a_hub_failure_teaches(hub: Hub, failure: Exception, kind: type[Exception], message: str) -> None:
    """What the client raises becomes one sentence with what was asked, what the client said, and a cure."""
    hub.answer = failure
    with pytest.raises(kind, match=message) as raised:
        sources.rows("hub:a/b", "tset", revision="abc")
    assert str(failure).rstrip(".") in str(raised.value)
    assert "hub:a/b split 'tset' at revision abc" in str(raised.value)


def test_a_folder_never_stands_in_for_a_hub_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` reads a folder of the working directory before it asks the hub; here that is refused."""
    (tmp_path / "google" / "boolq").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"from the folder .*google/boolq instead of the hub"):
        sources.rows("hub:google/boolq", "train")


@contextmanager
def hub_process(folder: Path) -> Iterator[str]:
    """A hub with the data sets of `folder` (NAMESPACE/NAME); its address."""
    script = str(Path(__file__).with_name("stub_data_hub.py"))
    with subprocess.Popen([sys.executable, script, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def ask(url: str, home: Path, *calls: tuple[str, str, str | None], offline: bool = False) -> list[str]:
    """What the real client in a process of its own makes of some calls of `data.rows`: rows or an error, as text."""
    script = (
        "import sys, json\nfrom amuro.data import sources\nfrom amuro.core.errors import AmuroError\n"
        "for call in json.loads(sys.argv[1]):\n"
        "    try: print(json.dumps(sources.rows(*call)))\n"
        "    except AmuroError as error: print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}
    command = [sys.executable, "-c", script, json.dumps(calls)]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_real_client_loads_then_reads_its_cache_and_never_another_revision(tmp_path: Path) -> None:
    """Rows come from a hub, then offline from the cache that the real client wrote; a revision that is pinned and not
    cached is refused, where the client alone would hand out the one it has.
    """
    pytest.importorskip("datasets")
    name, commit = stub_data_hub.NAME, stub_data_hub.COMMIT
    hub, home = tmp_path / "hub", tmp_path / "home"
    (hub / name / "data").mkdir(parents=True)
    home.mkdir()
    pl.DataFrame(ROWS).write_parquet(hub / name / "data" / "test-00000-of-00001.parquet")
    asked = (f"hub:{name}", "test", commit)
    with hub_process(hub) as url:
        loaded, *refused = ask(
            url,
            home,
            asked,
            (f"hub:{name}", "tset", commit),
            (f"hub:{name}:other", "test", commit),
            (f"hub:{name}", "test", "no-such-revision"),
            ("hub:acme/nothing", "test", None),
        )
    assert json.loads(loaded) == ROWS
    said = ("Unknown split", "BuilderConfig 'other' not found", "no-such-revision", "acme/nothing.*HF_TOKEN")
    for line, message in zip(refused, said, strict=True):
        assert re.search(message, line), line
    cached, other = ask(url, home, asked, (f"hub:{name}", "test", "a" * 40), offline=True)
    assert json.loads(cached) == ROWS
    assert f"{name} was asked for at revision aaaa" in other
    assert commit in other


def test_a_parquet_export_is_read_by_folder_and_then_offline(tmp_path: Path) -> None:
    """The hub's own export has a folder a configuration and no card: one folder is read, at its branch or its commit,
    and offline again from the cache; what is not there is one sentence.
    """
    hub, home = tmp_path / "hub", tmp_path / "home"
    for language in ("english", "french"):
        for split in ("train", "test"):
            path = hub / "acme" / "news" / language / split / "0000.parquet"
            path.parent.mkdir(parents=True)
            pl.DataFrame({"id": [f"{language}-{split}"], "text": ["x"]}).write_parquet(path)
    home.mkdir()
    export, commit = "refs/convert/parquet", stub_data_hub.COMMIT
    calls = [("hub:acme/news/english", "test", export), ("hub:acme/news/french", "train", commit)]
    with hub_process(hub) as url:
        online = ask(url, home, *calls)
        refused = ask(url, home, ("hub:acme/news/welsh", "test", export), ("hub:acme/olds/english", "test", export))
    assert [json.loads(line)[0]["id"] for line in online] == ["english-test", "french-train"]
    assert ask(url, home, *calls, offline=True) == online
    refused += ask(url, home, ("hub:acme/news/french", "test", export), ("hub:acme/a/b", "test", None), offline=True)
    said = (
        "no Parquet file in welsh/test",
        "no dataset acme/olds",
        "acme/news@refs/convert/parquet is not whole",
        "hf download acme/a --repo",
    )
    for line, message in zip(refused, said, strict=True):
        assert re.search(message, line), line


def examples(folder: Path, rows: list[dict[str, Any]], split: str = "train", **changes: Any) -> list[Example]:
    write_jsonl(folder / "train.jsonl", rows)
    return sources.examples(task_of(f"file:{folder}", **changes), split)


def test_examples_keep_every_row_in_order(tmp_path: Path) -> None:
    """Nothing is dropped or reordered."""
    assert [e.id for e in examples(tmp_path, ROWS)] == [row["id"] for row in ROWS]
    assert [e.id for e in examples(tmp_path, ROWS, "dev")] == ["r0", "r1", "r2", "r3"]


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([], {}, "is empty"),
        ([{**row, "mood": True} for row in ROWS], {}, "every one of the 10 answers .* is 'good'.*hidden test set"),
        ([{"id": "r1", "text": "x"}], {}, "row r1 has no field 'mood'.*example.org/mood"),
        (ROWS, {"labels": ("good", "awful")}, "example r0 has the label 'bad'.*good, awful"),
        (ROWS, {"fields": (("txt", "Text"),)}, "has no input 'txt'"),
        ([*ROWS, {"id": "r10", "text": "", "mood": 1}], {}, "example r10 has no cluster"),
        ([*ROWS, {"id": "r10", "text": 3, "mood": 1}], {}, "r10 holds 3"),
        (ROWS, {"kind": "multiple_choice"}, "has the answer 'bad'.*options are"),
        (ROWS, {"example": lambda row: Example("same", "c", {"text": "t"}, "bad")}, "has the id 'same' twice"),
        (ROWS, {"example": lambda row: Example(row["id"], "c", {"text": "t"}, "")}, "r0 has an empty answer"),
        (ROWS, {"example": lambda row: Example(row["text"][99], "c", {}, "")}, "row r0 cannot be read"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, rows: list[dict[str, Any]], changes: dict[str, Any], message: str
) -> None:
    """An empty split, a constant gold, a foreign label, a missing field: each stops with its place and a cure."""
    with pytest.raises(DataError, match=message):
        examples(tmp_path, rows, **changes)


def test_an_unknown_split_names_the_nearest(tmp_path: Path) -> None:
    """A misspelt split of a task is answered with the one that was meant."""
    with pytest.raises(DataError, match=r"no split 'tests'.*'test'"):
        sources.examples(task_of(f"file:{tmp_path}"), "tests")


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 9))
def test_draws_nest_and_keep_the_order(small: int, more: int, draw_seed: int) -> None:
    """A draw of n is a part of a draw of n + m, in the source's order, without repeats."""
    few, many = sources.drawn(100, small, draw_seed), sources.drawn(100, small + more, draw_seed)
    assert few == sorted(set(few))
    assert len(few) == small
    assert set(few) <= set(many)


def test_a_limit_takes_the_first_or_a_seeded_draw() -> None:
    """Without a seed the first rows, with one the same draw each time and another for another seed."""
    assert sources.drawn(10, 3, None) == [0, 1, 2]
    assert sources.drawn(10, None, 1) == sources.drawn(10, 99, 1) == list(range(10))
    assert sources.drawn(1000, 9, 1) == sources.drawn(1000, 9, 1) != sources.drawn(1000, 9, 2)
