"""Writes docs/reference.md from the code: keys of a study, commands, JSON, exit codes, variables of the environment.

python scripts/reference.py

Meanings are the docstrings below the fields, examples are those of scripts/reference_study.toml.
"""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import typer.main
from plain_words import docstrings, toml, words
from pydantic import BaseModel, TypeAdapter

from amuro.cli import json_output
from amuro.cli.main import app
from amuro.core import environment, errors, limits, registry, simulator, stopping
from amuro.series import load_series_kind
from amuro.series._pretrain_config import MAY_BE_ZERO
from amuro.series.base import SeriesKind
from amuro.study import config, tables
from amuro.tasks._custom import OwnTask

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
EXAMPLES = Path(__file__).with_name("reference_study.toml")
NEEDED, NOT_SET = "needed", "not set"
HEADINGS = {"series": "[series.NAME]", "tune": "[[tune]]", "evaluate": "[[evaluate]]", "tasks": "[tasks.NAME]",
            "toy": "[toy]"}  # fmt: skip
"""Key of a study that is a table, or tables → how it begins in a file."""
BEGIN = """# Reference

Made from the code by `python scripts/reference.py`: change a docstring there, never this page. Every example stands in
[`scripts/reference_study.toml`](../scripts/reference_study.toml), a study that a test reads.

A key that is not on this page is refused, and the message names the nearest one. What studies are for is told in
[studies.md](studies.md), where checkpoints come from in [series.md](series.md).
"""


class Key(NamedTuple):
    """One line of the page; each part is Markdown without bars."""

    name: str
    type: str
    default: str
    meaning: str
    example: str


def of_model(model: type[BaseModel], examples: Sequence[Mapping[str, Any]]) -> Iterator[Key]:
    """The keys of a table of a study."""
    meanings, schemas = docstrings(model), model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        meaning = meanings.get(name, "")
        default = NEEDED if field.is_required() else _set(field.default)
        if model is config.Study and name in HEADINGS:
            yield Key(name, "table" if name == "toy" else "tables", default, meaning, HEADINGS[name])
            continue
        alone = any(getattr(each, "func", None) is limits.listed for each in field.metadata)
        yield Key(name, words(schemas[name]) + ", or one alone" * alone, default, meaning, _example(name, examples))


def _set(default: Any) -> str:
    return NOT_SET if default is None else f"`{toml(default)}`"


def of_pretraining(declared: Any, examples: Sequence[Mapping[str, Any]]) -> Iterator[Key]:
    """The keys of a series that is pre-trained here: the fields of its declaration."""
    meanings, types = docstrings(declared), get_type_hints(declared)
    for field in dataclasses.fields(declared):
        schema = TypeAdapter(types[field.name]).json_schema()
        least = "≥ 0" if field.name.endswith(MAY_BE_ZERO) or field.name == "steps" else "> 0"
        kind = words(schema) + f" {least}" * ("number" in words(schema))
        default = NEEDED if field.name == "source" else _set(field.default)
        yield Key(field.name, kind, default, meanings.get(field.name, ""), _example(field.name, examples))


def of_kinds(kinds: Mapping[str, SeriesKind], examples: Sequence[Mapping[str, Any]]) -> Iterator[Key]:
    """The keys of kinds that take nearly the same ones; what only some of them know says so."""
    for name in dict.fromkeys(key for kind in kinds.values() for key in kind.options):
        knowing = {which: kind.options[name] for which, kind in kinds.items() if name in kind.options}
        first, defaults = next(iter(knowing.values())), {each.default for each in knowing.values()}
        each = ", ".join(f"{_shown(option.default)} ({which})" for which, option in knowing.items())
        only = f" Only of {', '.join(knowing)}." if len(knowing) < len(kinds) else ""
        default = _shown(first.default) if len(defaults) == 1 else each
        yield Key(name, first.type, default, first.meaning + only, _example(name, examples))


def _shown(default: str) -> str:
    return default if default[0].isalpha() and default not in ("true", "false") else f"`{default}`"


def of_simulator(examples: Sequence[Mapping[str, Any]]) -> Iterator[Key]:
    """The simulator parameters of the toy engine."""
    meanings, defaults = docstrings(simulator.SimulatorParameters), simulator.SimulatorParameters()
    for name in simulator.NAMES:
        kind = "number from {:g} to {:g}".format(*simulator.bounds(name))
        yield Key(name, kind, _set(getattr(defaults, name)), meanings.get(name, ""), _example(name, examples))


def _example(name: str, examples: Sequence[Mapping[str, Any]]) -> str:
    found = [table[name] for table in examples if name in table]
    return f"{name} = {toml(found[0])}" if found else ""


def study_keys() -> dict[str, list[Key]]:
    """Heading of each table of a study → its keys."""
    given = tomllib.loads(EXAMPLES.read_text(encoding="utf-8"))
    series = list(given["series"].values())
    kinds = {name: load_series_kind(name) for name in registry.names("series")}
    published = {name: kind for name, kind in kinds.items() if "at" in kind.options}
    recipe = Key(config.RECIPE, "text", NOT_SET, docstrings(config)["RECIPE"], _example(config.RECIPE, given["tune"]))
    found = {
        "The top of the file": [*of_model(config.Study, [given])],
        "`[series.NAME]`, whatever its kind": [*of_model(tables.Series, series)],
    }
    for names in [(name,) for name in kinds if name not in published] + [tuple(published)]:
        own = [table for table in series if table["kind"] in names]
        made = kinds[names[0]].pretraining
        found[f"`[series.NAME]` of kind {', '.join(f'`{name}`' for name in names)}"] = [
            *(of_pretraining(get_type_hints(made)["return"], own) if made
              else of_kinds({name: kinds[name] for name in names}, own))
        ]  # fmt: skip
    return found | {
        "`[[tune]]`": [recipe, *of_model(tables.Tune, given["tune"])],
        "`[[evaluate]]`": [*of_model(tables.Evaluate, given["evaluate"])],
        "`[tasks.NAME]`": [*of_model(OwnTask, list(given["tasks"].values()))],
        "`[toy]`": [*of_simulator([given["toy"]])],
    }


def commands() -> dict[str, Any]:
    """Words of each command → the command as typer has it, `amuro` alone first; `audit` has commands of its own."""

    def walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        if command.params or not hasattr(command, "commands"):
            yield words, command
        for word, each in getattr(command, "commands", {}).items():
            yield from walk(f"{words} {word}", each)

    return dict(walk("amuro", typer.main.get_command(app)))


def of_command(name: str, command: Any) -> str:
    """The section of one command: what it does, its options, its example, and what it prints as JSON."""
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(command.help).split("\n\n"))
    parts = [f"### {name}\n\n{text}"]
    if command.params:
        parts.append(table(("argument or option", "default", "meaning"), map(_parameter, command.params)))
    if keys := json_output.KEYS.get(name.removeprefix("amuro ")):
        rows = {"schema": f"{json_output.SCHEMA}, the number of this schema: it rises when a key changes.", **keys}
        parts += ["With `--json`, one object:", table(("key", "holds"), ((f"`{key}`", rows[key]) for key in rows))]
    return "\n\n".join(parts)


def _parameter(given: Any) -> tuple[str, str, str]:
    name = ", ".join(f"`{word}`" for word in given.opts) if given.opts[0].startswith("-") else f"`{given.name.upper()}`"
    usual = {None: NOT_SET, False: "off"}.get(given.default) if given.default in (None, False) else f"`{given.default}`"
    default = NEEDED if given.required else usual
    return name, default, given.help


def exit_codes() -> dict[int, str]:
    """Exit code → when a command ends with it: the docstrings of the errors."""
    found = {
        0: "All was done.",
        errors.AmuroError.exit_code: "Some cells failed, or something that no line below names.",
    }
    for error in errors.AmuroError.__subclasses__():
        found[error.exit_code] = inspect.getdoc(error) or ""
    stopped = {128 + number: f"Ended by {number.name}; finished cells are kept." for number in stopping.SIGNALS}
    return dict(sorted((found | stopped).items()))


def table(head: Sequence[str], rows: Any) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


def page() -> str:
    """The whole page."""
    head = ("key", "type", "default", "meaning", "example")
    parts = [BEGIN, "## A study's file"]
    for title, keys in study_keys().items():
        rows = [(f"`{k.name}`", k.type, k.default, k.meaning, f"`{k.example}`") for k in keys]
        parts += [f"### {title}", table(head, rows)]
    parts += ["## Commands", *(of_command(name, command) for name, command in commands().items()), "## Exit codes"]
    parts += [table(("code", "when"), exit_codes().items()), "## Variables of the environment"]
    parts.append("Paths and sources of a study may name any variable as `$NAME` or `${NAME}`. Besides these:")
    parts.append(table(("variable", "meaning"), ((f"`{name}`", text) for name, text in environment.VARIABLES.items())))
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
