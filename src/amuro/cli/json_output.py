"""Prints the results of commands with `--json`: one object each, with the number of its schema.

A key that is renamed or removed, or whose value changes its form, raises `SCHEMA`; a new key does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer

SCHEMA = 1
KEYS: Mapping[str, Mapping[str, str]] = {
    "plan": {
        "study": "Name of the study.",
        "cells": "One record for each cell: its address, its model's, its role, whether it is done or diverged, "
        "and why it would run.",
        "estimate": "Seconds that the missing cells take, and what they are made of.",
        "arithmetic": "Operations, tokens, disk and download of the missing cells, and the tasks of unknown size.",
        "faults": "What the audits of the series say of its checkpoints.",
        "power": "What the study will be able to see; only with `--power`.",
    },
    "status": {
        "study": "Name of the study.",
        "cells": "Number of cells.",
        "done": "Number of cells that have a result.",
        "models": "Address of each model → its numbers of cells: all, done, diverged, failed.",
        "diverged": "Address of each model whose training diverged → how.",
        "failures": "Address of each failed cell → its error.",
    },
    "audit series": {
        "series": "One record for each series: checkpoints, faults, weight norms, and what could not be checked.",
    },
    "audit tasks": {
        "sets": "One record for each evaluation set: labels, chance, duplicates, overlap with train, lengths, notes.",
        "refused": "Sentences on the sets that a run would refuse.",
    },
}
"""Command → the keys of the object that it prints besides `schema`, and what they hold."""


def write(output: Mapping[str, Any]) -> None:
    """Prints one object as a line of JSON, with `schema` as its first key."""
    typer.echo(json.dumps({"schema": SCHEMA, **output}))
