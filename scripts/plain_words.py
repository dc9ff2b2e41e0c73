"""Values, types and docstrings of the code as a reader of TOML says them: what scripts/reference.py is written with."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from amuro.core import limits


def docstrings(owner: Any) -> dict[str, str]:
    """Names in a class (those of its bases among them) or a module → the docstring below each, in one line."""
    found: dict[str, str] = {}
    for one in reversed(owner.__mro__[:-1]) if inspect.isclass(owner) else (owner,):
        if one is not BaseModel:
            found |= dict(_below(_body(one)))
    return found


def _body(owner: Any) -> list[ast.stmt]:
    tree = ast.parse(inspect.getsource(sys.modules[owner.__module__] if inspect.isclass(owner) else owner))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner.__name__)
    return next(classes).body if inspect.isclass(owner) else tree.body


def _below(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node, below in pairwise(body):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield from ((each.id, " ".join(str(below.value.value).split())) for each in targets if hasattr(each, "id"))


def toml(value: Any) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {toml(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return repr(value) if type(value) in (int, float) else json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else json.dumps(name)


def words(schema: Mapping[str, Any], many: bool = False) -> str:
    """A JSON schema in plain words; many: of several such values."""
    if "anyOf" in schema:
        return " or ".join(words(each, many) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return f"one of {', '.join(map(toml, schema['enum']))}"
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "integer" | "number" as kind:
            noun = {"integer": "whole number", "number": "number"}[kind] + "s" * many
            return f"{noun} {_bounds(schema)}".strip()
        case "array":
            return f"list of {words(schema['items'], many=True)}"
        case "object":
            return f"table of name = {words(schema['additionalProperties'])}"
    if schema.get("pattern") == limits.NAME:
        return "text of a-z, 0-9, `.`, `_` and `-`, at most 64"
    return "texts" if many else "text"


def _bounds(schema: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {schema[key]:,}".removesuffix(".0") for key, sign in signs.items() if key in schema)
