"""Writes docs/api.md: name, signature and docstrings of everything that `import amuro` offers.

python scripts/api.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import amuro

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
HEAD = """# The Python interface

What `import amuro` offers, made from the docstrings by `scripts/api.py`. Each name is imported when it is first used:
`import amuro` loads neither torch nor polars. The names are kept; where the modules below `amuro` lie may change.

```python
import amuro

if __name__ == "__main__":                      # workers are processes of their own, which import this file
    study = amuro.load("my_study.toml")         # results are kept in ./amuro-store, as on the command line
    print(len(study.plan().cells), "cells")
    study.run()                                 # fills what is missing
    for finding in study.findings:
        print(finding.verdict, "·", finding.statement)
    print(study.scores.head())                  # polars: one row per cell and metric; `items`: per prediction
```

A plugin is made of the types below: `from amuro import Example, Task` ([extend.md](extend.md)).
"""
Function = ast.FunctionDef
Definition = ast.FunctionDef | ast.ClassDef


def page() -> str:
    """The whole page."""
    names = [(module, name) for module, held in amuro._NAMES_OF.items() for name in held]
    return "\n".join([HEAD, *(line for module, name in names for line in _entry(module, name))])


def _entry(module: str, name: str) -> Iterator[str]:
    """The lines of one name."""
    path = ROOT.joinpath("src", "amuro", *module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, Definition) and node.name == name)
    if isinstance(found, Function):
        yield from (f"## amuro.{name}", "", f"`amuro.{module}`", "", *_signature(name, found), "", *_text(found))
        return
    bases = f", extends `{ast.unparse(found.bases[0])}`" if found.bases else ""
    yield from (f"## amuro.{name}", "", f"`amuro.{module}`{bases}", "", *_text(found))
    yield from _fields(found)
    for method in found.body:
        if isinstance(method, Function) and not method.name.startswith("_"):
            yield from _method(method)


def _fields(of: ast.ClassDef) -> Iterator[str]:
    """One line per field, with the text that stands below it in the source."""
    fields = [i for i, node in enumerate(of.body) if isinstance(node, ast.AnnAssign)]
    for i in fields:
        node, below = of.body[i], of.body[i + 1] if i + 1 < len(of.body) else None
        assert isinstance(node, ast.AnnAssign)
        default = f" = {_default(node.value)}" if node.value is not None else ""
        said = f": {' '.join(text.split())}" if (text := _literal(below)) else ""
        yield f"- `{ast.unparse(node.target)}: {ast.unparse(node.annotation)}{default}`{said}"
    if fields:
        yield ""


def _default(value: ast.expr) -> str:
    """A default as a call of the class would say it: what a factory makes, or the value."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        given = {word.arg: word.value for word in value.keywords}
        made = given.get("default_factory")
        return (
            "…" if made is None else ast.unparse(made.body if isinstance(made, ast.Lambda) else ast.Call(made, [], []))
        )
    return "…" if isinstance(value, ast.Lambda) else ast.unparse(value)


def _literal(node: ast.stmt | None) -> str:
    """The text of a string that stands alone; empty where there is none."""
    alone = node.value if isinstance(node, ast.Expr) else None
    return alone.value if isinstance(alone, ast.Constant) and isinstance(alone.value, str) else ""


def _method(node: Function) -> Iterator[str]:
    """The lines of a method or property."""
    returns = ast.unparse(node.returns) if node.returns else "None"
    if {ast.unparse(mark) for mark in node.decorator_list} & {"property", "cached_property"}:
        yield from (f"**.{node.name}** → `{returns}`", "", *_text(node))
    else:
        yield from (f"**.{node.name}**", "", *_signature(node.name, node), "", *_text(node))


def _signature(name: str, node: Function) -> tuple[str, ...]:
    """A block of code: on one line where it fits, else one line per parameter. `self` is left out."""
    returns = ast.unparse(node.returns) if node.returns else "None"
    node.args.args = [each for each in node.args.args if each.arg != "self"]
    line = f"{name}({ast.unparse(node.args)}) -> {returns}"
    if len(line) > 110:
        line = f"{name}(\n{''.join(f'    {part},' + chr(10) for part in _parameters(node.args))}) -> {returns}"
    return "```python", line, "```"


def _parameters(args: ast.arguments) -> Iterator[str]:
    """Each parameter with annotation and default, and the star before those that are called by name."""
    without = [None] * (len(args.args) - len(args.defaults))
    pairs = [*zip(args.args, [*without, *args.defaults], strict=True)]
    by_name = [*zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    for each, default in pairs:
        yield ast.unparse(each) + (f" = {ast.unparse(default)}" if default else "")
    if by_name:
        yield "*"
    for each, default in by_name:
        yield ast.unparse(each) + (f" = {ast.unparse(default)}" if default else "")


def _text(node: Definition) -> tuple[str, ...]:
    """The docstring as paragraphs, and an empty line; nothing where there is none."""
    text = ast.get_docstring(node)
    return (text, "") if text else ()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
