"""Rows of one's own: what a cell holds is what is asked, or the row and the column are named."""

import json
import os
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core.errors import DataError
from amuro.core.types import Example
from amuro.data import files, sources
from amuro.tasks._custom import OwnTask

SPLITS = {"train": "all", "test": "all"}


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **table: Any) -> list[Example]:
    facts = {"fields": {"text": "Text"}, "answer": "label", "splits": SPLITS, **table}
    return sources.examples(OwnTask(source=f"file:{path}", **facts).task("own"), "test")


def rows_of(**changed: Any) -> list[dict[str, Any]]:
    """Two rows, the second of which holds what is given."""
    first = {"id": "a", "text": "one", "label": "yes", "who": "x", "options": ["yes", "no"]}
    return [first, {**first, "id": "b", "label": "no", **changed}]


@pytest.mark.parametrize(
    ("changed", "table", "message"),
    [
        ({"text": None}, {}, "row b: column text is null"),
        ({"text": " "}, {}, "row b: column text is empty text"),
        ({"text": 0.5}, {}, "row b: column text holds the number 0.5"),
        ({"text": True}, {}, "row b: column text holds the truth value true"),
        ({"text": ["one"]}, {}, r"row b: column text holds the list .*text\.0"),
        ({"text": {"en": "one"}}, {}, r"row b: column text holds the struct .*text\.en"),
        ({"label": None}, {}, "row b: column label is null"),
        ({"label": {"text": ["no"]}}, {}, r"row b: column label holds the struct .*label\.text"),
        ({"label": None}, {"answers": {"yes": "Yes", "no": "No", "None": "?"}}, "row b: column label is null"),
        ({"who": None}, {"cluster": "who"}, "row b: column who is null"),
        ({"options": "yes,no"}, {"options": "options"}, "row b: column options holds the str 'yes,no' and no list"),
        ({"options": ["no", None]}, {"options": "options"}, r"row b: column options\.1 is null"),
        ({"options": ["no"]}, {"options": "options"}, "row b: the row has 1 options"),
        ({"options": ["no", "no"]}, {"options": "options"}, "row b: .*names 2 options"),
        ({"id": None}, {}, "row 2 has no id, and 1 other"),
        ({"id": ["b"]}, {}, "row 2: column id holds the list"),
        ({"key": 0.5}, {"id": "key"}, "row a: column key is null or absent"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_with_its_row_and_column(
    changed: dict[str, Any], table: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A missing value, a fraction, a list, a struct: none becomes words of a prompt, an answer or a cluster."""
    path = jsonl(tmp_path / "rows.jsonl", rows_of(**changed))
    with pytest.raises(DataError, match=message):
        read(path, **table)


PARQUET_CELLS = [float("nan"), 1.5, date(2024, 1, 2), Decimal("1.50"), b"bytes", ["a"], {"a": "b"}, None, "", True]


@pytest.mark.parametrize("cell", PARQUET_CELLS)
def test_columns_of_other_types_are_refused(cell: Any, tmp_path: Path) -> None:
    """NaN, fractions, dates, decimals, bytes and nested columns of a Parquet file are not taken for text."""
    frame = pl.DataFrame({"id": ["a", "b"], "text": ["one", "two"], "label": ["yes", "no"]})
    frame.with_columns(text=pl.Series([cell, cell])).write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="row a: column text"):
        read(tmp_path / "rows.parquet")


def test_coded_columns_and_parts_of_nested_ones_are_text(tmp_path: Path) -> None:
    """A categorical column holds its words, a path reaches into structs and lists, a whole number is its digits."""
    frame = pl.DataFrame({
        "kind": ["fruit", "tool"], "said": [{"text": ["an apple"]}, {"text": ["a saw"]}], "n": [5, 12],
    }).with_columns(pl.col("kind").cast(pl.Categorical))  # fmt: skip
    frame.write_parquet(tmp_path / "rows.parquet")
    found = read(tmp_path / "rows.parquet", fields={"kind": "Kind", "n": "Number"}, answer="said.text.0")
    assert [(dict(e.inputs), e.answer) for e in found] == [
        ({"kind": "fruit", "n": "5"}, "an apple"), ({"kind": "tool", "n": "12"}, "a saw"),
    ]  # fmt: skip


@pytest.mark.parametrize("values", [(0, 1), (0.0, 1.0), ("0", "1"), (False, True)])
def test_answers_maps_numbers_however_they_are_kept(values: tuple[Any, Any], tmp_path: Path) -> None:
    """0 and 1 as whole numbers, as 0.0 and 1.0, or as text are one label; false and true are named so."""
    rows = [{"text": f"t{i}", "label": value} for i, value in enumerate(values)]
    names = ("false", "true") if isinstance(values[0], bool) else ("0", "1")
    found = read(jsonl(tmp_path / "rows.jsonl", rows), answers=dict(zip(names, ("bad", "good"), strict=True)))
    assert [example.answer for example in found] == ["bad", "good"]


def test_rows_with_missing_values_are_left_out_where_the_study_says_so(tmp_path: Path) -> None:
    """`drop` leaves out the rows and counts them; a value that is there and wrong is refused all the same."""
    rows = [
        *rows_of(),
        *({**rows_of(**gap)[1], "id": f"c{i}"} for i, gap in enumerate([{"text": None}, {"label": ""}])),
    ]
    path = jsonl(tmp_path / "rows.jsonl", rows)
    table = {"fields": {"text": "Text"}, "answer": "label", "splits": SPLITS, "missing": "drop"}
    loaded = sources.load(OwnTask(source=f"file:{path}", **table).task("own"), "test", limit=1)
    assert [e.id for e in loaded.examples] == ["a"]
    assert (loaded.there, loaded.whole, loaded.dropped) == (4, 2, ("c0", "c1"))
    with pytest.raises(DataError, match="column text holds the list"):
        read(jsonl(path, rows_of(text=["x"])), missing="drop")


def test_a_missing_field_or_option_is_left_out_where_the_study_says_so(tmp_path: Path) -> None:
    """`omit` asks without the field, and among the options that are there; their letters stay those of the columns."""
    path = tmp_path / "rows.csv"
    path.write_text("q,hint,A,B,C,right\none,,x,y,,B\ntwo,look,x,,z,C\n", encoding="utf-8")
    table = {"fields": {"q": "Q", "hint": "Hint"}, "options": ["A", "B", "C"], "answer": "right", "answer_by": "letter"}
    found = read(path, missing="omit", **table)
    assert [(dict(e.inputs), e.options, e.gold, e.answer) for e in found] == [
        ({"q": "one", "hint": ""}, ("x", "y"), 1, "y"), ({"q": "two", "hint": "look"}, ("x", "z"), 1, "z"),
    ]  # fmt: skip
    with pytest.raises(DataError, match="column hint is empty text"):
        read(path, **table)


@pytest.mark.parametrize(
    ("by", "answers"), [("text", ["y", "x"]), ("index", [1, 0]), ("number", ["2", "1"]), ("letter", ["B", "A"])]
)
def test_an_answer_names_its_option_in_four_ways(by: str, answers: list[Any], tmp_path: Path) -> None:
    """Text, place from 0, place from 1, and letter give one gold; a name of no option is refused."""
    rows = [{"id": str(i), "text": "t", "o": ["x", "y"], "label": answer} for i, answer in enumerate(answers)]
    path = jsonl(tmp_path / "rows.jsonl", rows)
    assert [e.gold for e in read(path, options="o", answer_by=by)] == [1, 0]
    jsonl(path, [{**row, "label": "Z"} for row in rows])
    with pytest.raises(DataError, match=f"which names no option by {by}"):
        read(path, options="o", answer_by=by)


@pytest.mark.parametrize("place", ["text", "label", "id", "who"])
def test_half_a_character_is_refused_wherever_it_stands(place: str, tmp_path: Path) -> None:
    """A lone surrogate has no bytes: it stops at its line, not when the results are written."""
    path = jsonl(tmp_path / "rows.jsonl", rows_of(**{place: "x\ud800"}))
    with pytest.raises(DataError, match="line 2 holds half a character"):
        read(path)


def test_half_a_character_of_a_task_in_python_is_refused() -> None:
    """Rows of the hub, and what a task of Python makes of them, pass the same door."""
    task = OwnTask(source="file:x", fields={"text": "Text"}, answer="label").task("own")
    with pytest.raises(DataError, match="example b holds half a character"):
        sources._check_one(task, Example("b", "b", {"text": "x\udc00"}, "yes"), "here")


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.floats(), st.text(max_size=6), st.lists(st.text(max_size=2)),
    st.dictionaries(st.text(max_size=2), st.text(max_size=2)), st.dates(), st.sampled_from(["None", "nan", "0"]),
)  # fmt: skip


@given(cells=st.lists(CELLS, min_size=4, max_size=4), kind=st.sampled_from(["csv", "jsonl", "parquet"]))
@settings(max_examples=60, deadline=None)
def test_any_cell_is_asked_as_it_is_or_refused(
    cells: list[Any], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever two rows hold, inputs and answers are the words of the cells, or an error names row and column."""
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    if not _written(path, kind, [{"text": cells[0], "label": cells[1]}, {"text": cells[2], "label": cells[3]}]):
        return
    try:
        found = read(path)
    except DataError as refused:
        told = re.search(r"row \S+: column (text|label)|line \d .*(half a character|not JSON)|answers in", str(refused))
        assert told, str(refused)  # noqa: PT017 (either way out is right)
        return
    held = files.read(str(path), "all")
    for example, row in zip(found, held, strict=True):
        for said, cell in ((example.inputs["text"], row["text"]), (example.answer, row["label"])):
            assert isinstance(cell, str) or type(cell) is int
            assert said == str(cell)


def _written(path: Path, kind: str, rows: list[dict[str, Any]]) -> bool:
    """Whether such cells can stand in such a file at all."""
    try:
        if kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        elif kind == "csv":
            pl.DataFrame(rows, strict=True).write_csv(path)
        else:
            pl.DataFrame(rows, strict=True).write_parquet(path)
    except (TypeError, UnicodeError, pl.exceptions.PolarsError):
        return False
    return True


def test_marks_and_blank_lines_around_a_file_are_no_rows(tmp_path: Path) -> None:
    """A byte-order mark, blank last lines and a cell beyond csv's own limit are read; a blank line between is not."""
    long = "word " * 40_000
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "1"}\r\n\r\n\n')
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbfid,text\n1," + long.encode() + b"\n\n\n")
    (tmp_path / "c.csv").write_bytes(b"id,text\n\n1,x\n")
    assert files.read(str(tmp_path / "a.jsonl"), "all") == [{"id": "1"}]
    assert files.read(str(tmp_path / "b.csv"), "all") == [{"id": "1", "text": long}]
    with pytest.raises(DataError, match="line 2 is blank"):
        files.read(str(tmp_path / "c.csv"), "all")


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        (b'{"id": "1", "x": NaN}', "write null"),
        (b'{"id": "1"}\0\0', "NUL bytes"),
        (b'{"id": "1", "id": "2"}', "keep one"),
        (b"[" * 100_000, "flatten it"),
        (b'{"id": "1" "x": 2}', "mend the line"),
        (b'{"id": "1", "x', "cut off"),
    ],
)
def test_each_broken_line_has_its_own_cure(line: bytes, cure: str, tmp_path: Path) -> None:
    """Only a last line that stops in the middle is said to be cut off."""
    (tmp_path / "a.jsonl").write_bytes(b'{"id": "0"}\n' + line)
    with pytest.raises(DataError, match="line 2") as raised:
        files.read(str(tmp_path / "a.jsonl"), "all")
    assert cure in raised.value.cure


@pytest.mark.parametrize("ask", [files.read, files.sha256])
def test_a_pipe_is_no_data(ask: Any, tmp_path: Path) -> None:
    """A named pipe, alone or as a split of a folder, is refused at once: nobody may ever write to it."""
    os.mkfifo(tmp_path / "test.jsonl")
    for place, split in ((tmp_path, "test"), (tmp_path / "test.jsonl", "all")):
        with pytest.raises(DataError, match="no ordinary file but a pipe"):
            ask(str(place), split)
