"""docs/reference.md says what the code says: every key, command, JSON output, exit code and variable."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import small_study
import weight_files
from typer.testing import CliRunner

from amuro.cli import json_output
from amuro.cli.main import app
from amuro.core import registry, simulator
from amuro.series import load_series_kind
from amuro.study import config, tables
from amuro.tasks._custom import OwnTask

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import reference  # noqa: E402  # a script beside the package

PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def lines(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of the page, without its head."""
    section = PAGE.split(f"\n### {heading}\n", 1)[1].split("\n#", 1)[0]
    return [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]


def keys(heading: str) -> set[str]:
    """The keys that the page names there."""
    return {cells[0].strip("`") for cells in lines(heading)}


def headings() -> list[str]:
    """The headings of a study's tables."""
    part = PAGE.split("\n## A study's file\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^### (.+)$", part, re.MULTILINE)


def own_keys(kind: str) -> set[str]:
    """The keys that a kind of series takes besides those of every series."""
    found = load_series_kind(kind)
    if found.pretraining is None:
        return set(found.options)
    return {field.name for field in dataclasses.fields(get_type_hints(found.pretraining)["return"])}


def test_the_page_is_what_the_script_makes() -> None:
    """Proves that nobody changed code or page alone: `python scripts/reference.py` would change nothing."""
    assert reference.page() == PAGE, "run python scripts/reference.py"


def test_every_key_has_type_default_meaning_and_example() -> None:
    """Proves that no cell of a study's tables is empty, and that each example begins with its key or heading."""
    for heading in headings():
        for cells in lines(heading):
            assert len(cells) == 5, (heading, cells)
            assert all(cell.strip("` ") for cell in cells), (heading, cells)
            assert cells[4].startswith((cells[0].rstrip("`") + " = ", "`[")), (heading, cells)


def test_the_page_names_the_keys_of_the_models_and_no_other() -> None:
    """Proves that the sets of keys are equal, table by table, and that no kind of series is left out."""
    told = {
        "The top of the file": set(config.Study.model_fields),
        "`[series.NAME]`, whatever its kind": set(tables.Series.model_fields),
        "`[[tune]]`": {*tables.Tune.model_fields, config.RECIPE},
        "`[[evaluate]]`": set(tables.Evaluate.model_fields),
        "`[tasks.NAME]`": set(OwnTask.model_fields),
        "`[toy]`": set(simulator.NAMES),
    }
    of_kinds = {heading: re.findall(r"`(\w+)`", heading) for heading in headings() if "of kind" in heading}
    told |= {heading: set().union(*map(own_keys, kinds)) for heading, kinds in of_kinds.items()}
    assert {heading: keys(heading) for heading in headings()} == told
    assert sorted(kind for kinds in of_kinds.values() for kind in kinds) == sorted(registry.names("series"))


def test_a_study_accepts_every_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that the study of the examples loads, that each of its own tasks is one, and that every series in it has
    checkpoints without a network.
    """
    monkeypatch.chdir(tmp_path)
    content = weight_files.files(weight_files.pretrained()[100])
    weight_files.write(tmp_path / "runs" / "final", content)
    weight_files.write(tmp_path / "runs" / "tokenizer", {"tokenizer.json": content["tokenizer.json"]})
    study = config.load(reference.EXAMPLES)
    assert [study.task(name).name for name in study.tasks] == list(study.tasks)
    counts = {
        name: len(load_series_kind(each.kind).checkpoints(name, each.options)) for name, each in study.series.items()
    }
    assert counts == {"toy": 3, "world": 3, "text": 3, "folder": 1, "hub": 2, "pythia": 9, "olmo": 2}


def printed(*command: str) -> Mapping[str, Any]:
    """What a command prints with --json."""
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told


def test_every_json_output_has_a_schema_number_and_the_keys_of_the_page(tmp_path: Path) -> None:
    """Proves that `schema` is the first key of each output, that the others are those that the page names, and that
    each command with --json is among them.
    """
    study, store = str(small_study.write(tmp_path / "study", small_study.TUNE)), ("--store", str(tmp_path / "store"))
    told = {
        "plan": printed("plan", study, *store, "--power"),
        "status": printed("status", study, *store),
        "audit series": printed("audit", "series", study, *store),
        "audit tasks": printed("audit", "tasks", study),
    }
    with_json = {name for name, one in reference.commands().items() if any("--json" in p.opts for p in one.params)}
    assert with_json == {f"amuro {name}" for name in told}
    for name, found in told.items():
        assert next(iter(found)) == "schema"
        assert found["schema"] == json_output.SCHEMA
        section = PAGE.split(f"\n### amuro {name}\n", 1)[1].split("\n#", 1)[0].split("With `--json`", 1)[1]
        assert set(found) == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_every_command_has_its_example() -> None:
    """Proves that each command of the command line has a section with an example that begins with its name."""
    for name in reference.commands():
        section = PAGE.split(f"\n### {name}\n", 1)[1].split("\n#", 1)[0]
        assert name == "amuro" or f"Example: `{name}" in section


def test_every_variable_in_the_code_is_on_the_page() -> None:
    """Proves that no HF_… or USE_… name stands in the source that the page does not explain."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"\b(?:HF|USE)_[A-Z_]+\b", source))
    assert named == set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE.split("## Variables", 1)[1], re.MULTILINE))
