"""Data of one's own that cannot be meant so: the sentence names the cause, not what followed from it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import small_study

from amuro.core.errors import DataError
from amuro.core.types import Example
from amuro.data import sources
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.inputs import Inputs
from amuro.study.status import state_of, states
from amuro.study.store import Store
from amuro.tasks._custom import OwnTask


def read(path: Path, text: str, **table: Any) -> list[Example]:
    """The rows of a file of this text as examples."""
    path.write_text(text, encoding="utf-8")
    facts = {"fields": {"t": "Text"}, "answer": "y", "splits": {"test": "all"}, **table}
    return sources.examples(OwnTask(source=f"file:{path}", **facts).task("own"), "test")


@pytest.mark.parametrize(
    ("name", "text", "table", "said"),
    [
        ("a.csv", "t;y\none;no\n", {}, "header 't;y', whose cells seem to be parted by ';'.*commas"),
        ("a.csv", "t,y,z\none,no\n", {}, "2 cells where the header has 3.*cut off"),
        ("a.csv", "t,y\none,no,x\n", {}, "3 cells where the header has 2.*quote"),
        ("a.csv", "s,y\none,no\n", {}, r"no field 't'; its fields: s, y$"),
        ("a.jsonl", '{"t": "a", "y": "b"}\n{"y": "c"}\n', {}, "row all-1: column t is null or absent.*missing ="),
        ("a.jsonl", '{"t": " ", "y": "b"}\n', {"missing": "drop"}, "each of the 1 rows .* missing value"),
        ("a.jsonl", '{"a.b": "x", "a": {"b": "z"}, "y": "n"}\n', {"fields": {"a.b": "T"}}, "also a part of column a"),
        ("a.csv", "t,y\none,0\n", {"answers": {"0": "no", "1": "no"}}, "every one of its 2 answers is 'no'"),
        ("a.csv", "t,y\none,no\n", {"labels": ["no", "no", "yes"]}, "names a label twice"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_cause(name: str, text: str, table: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Other marks between cells, too few cells, a key that a row lacks, two columns of one name, one label: each is
    told as what it is."""
    with pytest.raises(DataError) as refused:
        read(tmp_path / name, text, **table)
    assert re.search(said, str(refused.value)), refused.value


def test_a_key_that_a_row_lacks_is_missing_like_null(tmp_path: Path) -> None:
    """Rows without the key, with null and with empty text fare alike under `drop` and `omit`, in structs too."""
    rows: list[dict[str, Any]] = [{"y": "b", "s": {}}, {"t": None, "y": "c", "s": {"u": None}}]
    rows += [{"t": "x", "y": "d", "s": {"u": "v"}}, {"t": "z", "y": "e", "s": {"u": "w"}}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    fields = {"t": "Text", "s.u": "More"}
    assert [e.answer for e in read(tmp_path / "r.jsonl", text, fields=fields, missing="drop")] == ["d", "e"]
    kept = read(tmp_path / "r.jsonl", text, fields={**fields, "y": "Y"}, missing="omit")
    assert [e.inputs for e in kept[:2]] == [{"t": "", "s.u": "", "y": "b"}, {"t": "", "s.u": "", "y": "c"}]


def test_bounds_that_nobody_wrote_are_told(tmp_path: Path) -> None:
    """A task without splits whose train holds 150 rows names the bounds that stand where none are said."""
    (tmp_path / "train.jsonl").write_text("".join(json.dumps({"t": str(i), "y": str(i)}) + "\n" for i in range(150)))
    task = OwnTask(source=f"file:{tmp_path}", fields={"t": ""}, answer="y").task("quiz")
    with pytest.raises(DataError, match=r"no splits has train = \"train\[200:\]\", dev = \"train\[:200\]\""):
        sources.examples(task, "train")


def test_changed_rows_are_named_by_their_place(tmp_path: Path) -> None:
    """The reason why a cell runs again names the file whose rows are others, and what they are for."""
    plan = planning.make(studies.load(small_study.write(tmp_path)))
    store = Store(tmp_path / "store")
    cell = states(plan, store)[0].cell
    declared = Inputs(plan, store).declared(cell)
    before: Any = {"declared": {**declared, "rows": {**declared["rows"], "evaluated": "0" * 64}}}
    reason = state_of(Inputs(plan, store), cell, [before]).reason
    assert re.match(r"rows evaluated \(file:.* test\) changed: 00000000… → ", reason), reason
