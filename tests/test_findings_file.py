"""findings.json: real findings keep to the shipped schema, and schema, page and class agree field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from report_fixture import make_book

from amuro.core.types import EvidenceState, Finding, Verdict
from amuro.paper import study
from amuro.report import files as report_files
from amuro.report.compare import saved_report
from amuro.report.exporters import findings as exporter
from amuro.report.exporters.base import Source

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
SCHEMA: dict[str, Any] = json.loads(files("amuro.report").joinpath("findings.schema.json").read_text(encoding="utf-8"))
FINDING, POINT = SCHEMA["$defs"]["finding"], SCHEMA["$defs"]["point"]
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
         "number": (int, float)}  # fmt: skip
CHECKED = {"$schema", "$id", "$defs", "$ref", "title", "description", "type", "required", "additionalProperties",
           "properties", "items", "const", "enum", "minimum", "maximum", "exclusiveMinimum", "minLength", "allOf", "if",
           "then"}  # fmt: skip


def faults(value: Any, rule: dict[str, Any], where: str = "file") -> Iterator[str]:
    """What in `value` is against the rule, for the words of JSON Schema that ours uses."""
    assert set(rule) <= CHECKED, f"{where}: the check knows no {set(rule) - CHECKED}"
    if "$ref" in rule:
        yield from faults(value, SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]], where)
    kinds = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    fits = any(isinstance(value, TYPES[k]) and (not isinstance(value, bool) or k == "boolean") for k in kinds)
    if kinds and not fits:
        yield f"{where} is {value!r}, not {' or '.join(kinds)}"
        return
    if "const" in rule and value != rule["const"]:
        yield f"{where} is {value!r}, not {rule['const']!r}"
    if "enum" in rule and value not in rule["enum"]:
        yield f"{where} is {value!r}, none of {rule['enum']}"
    if isinstance(value, str) and len(value) < rule.get("minLength", 0):
        yield f"{where} is empty"
    if isinstance(value, int | float):
        yield from _bounds(value, rule, where)
    if isinstance(value, list) and "items" in rule:
        for place, item in enumerate(value):
            yield from faults(item, rule["items"], f"{where}[{place}]")
    if isinstance(value, dict):
        yield from _members(value, rule, where)


def _bounds(value: float, rule: dict[str, Any], where: str) -> Iterator[str]:
    low, high, above = rule.get("minimum"), rule.get("maximum"), rule.get("exclusiveMinimum")
    if (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
    ):
        yield f"{where} is {value}, out of bounds"


def _members(value: dict[str, Any], rule: dict[str, Any], where: str) -> Iterator[str]:
    yield from (f"{where} lacks {name}" for name in rule.get("required", ()) if name not in value)
    known, rest = rule.get("properties", {}), rule.get("additionalProperties", True)
    for name, inner in value.items():
        if name in known:
            yield from faults(inner, known[name], f"{where}.{name}")
        elif rest is False:
            yield f"{where} has a field {name}"
        elif isinstance(rest, dict):
            yield from faults(inner, rest, f"{where}.{name}")
    for part in rule.get("allOf", ()):
        if not list(faults(value, part["if"])):
            yield from faults(value, part["then"], where)


def table(heading: str) -> list[str]:
    """Names in the first column of the table under a heading of the page."""
    section = PAGE.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def real() -> Iterator[tuple[str, Any]]:
    """(name, file) of the synthetic study, of the released scores, and of everything that is committed."""
    book = make_book()
    yield "synthetic", json.loads(report_files.findings_json("synthetic", book.findings))
    yield "paper", json.loads(report_files.findings_json("paper", study.judged(study.load([])).findings))
    for path in sorted((ROOT / "results").glob("*/findings.json")):
        yield path.parent.name, json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "found"), [pytest.param(*each, id=each[0]) for each in real()])
def test_real_findings_keep_to_the_schema(name: str, found: Any) -> None:
    """Proves that what analyses write today and wrote into the committed results is what the schema says."""
    assert found["findings"], name
    assert list(faults(found, SCHEMA)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"verdict": "maybe"}, "verdict is 'maybe', none of"),
        ({"effect": None}, "effect is None, not number"),
        ({"evidence": "mixed"}, "evidence is 'mixed', not 'measured'"),
        ({"n": 1.5}, "n is 1.5, not integer"),
        ({"n": True}, "n is True, not integer"),
        ({"delta": -0.1}, "delta is -0.1, out of bounds"),
        ({"p_adjusted": 1.1}, "p_adjusted is 1.1, out of bounds"),
        ({"id": ""}, "id is empty"),
        ({"mood": "good"}, "has a field mood"),
        ({"points": [{"line": "base"}]}, "points[0] lacks value"),
        ({"points": [{"line": "base", "value": 1, "runs": [1]}]}, "points[0].runs is [1], not string or"),
    ],
)
def test_the_schema_refuses_what_is_no_finding(change: dict[str, Any], fault: str) -> None:
    """Proves that the schema is no empty form: each of these changes to a sound finding is against it."""
    (example,) = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    example["findings"][0] |= change
    assert [told for told in faults(example, SCHEMA) if fault in told]


def test_the_example_of_the_page_keeps_to_the_schema() -> None:
    """Proves that the one example that readers copy from is sound, and has every field."""
    (example,) = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    assert list(faults(example, SCHEMA)) == []
    assert set(example["findings"][0]) == {field.name for field in fields(Finding)}


def test_page_schema_and_class_have_the_same_fields() -> None:
    """Proves that no field is undocumented, unchecked or gone."""
    names = {field.name for field in fields(Finding)}
    assert set(FINDING["properties"]) == set(FINDING["required"]) == set(table("## A finding")) == names
    assert set(table("## A point")) == set(POINT["properties"])
    assert table("# findings.json") == list(SCHEMA["properties"])
    for rules in (SCHEMA, FINDING, POINT):
        assert all(rule.get("description") or name == "findings" for name, rule in rules["properties"].items())


def test_words_of_a_verdict_are_those_of_the_package() -> None:
    """Proves that verdicts, evidence states and the version are the same in schema and code."""
    assert FINDING["properties"]["verdict"]["enum"] == list(get_args(Verdict))
    assert FINDING["properties"]["evidence"]["enum"] == list(get_args(EvidenceState))
    assert SCHEMA["properties"]["schema"]["const"] == report_files.SCHEMA == saved_report.SCHEMA
    for word in (*get_args(Verdict), *get_args(EvidenceState)):
        assert f"`{word}`" in PAGE


def test_the_export_brings_its_schema_along() -> None:
    """Proves that `--to findings` writes the file of the report and the schema that it keeps to."""
    written = dict(exporter.files(Source(make_book())))
    assert json.loads(written["findings.schema.json"]) == SCHEMA
    assert list(faults(json.loads(written["findings.json"]), SCHEMA)) == []
