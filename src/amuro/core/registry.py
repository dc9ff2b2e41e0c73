"""Plugins by name. Each plugin kind is a package; a plugin is a module (or package) in it, named like its file.

`base.py` holds a kind's types and `_*.py` its helpers; every other file is a plugin. Listing reads file names only and
imports nothing. A dotted name (`my_lab.tasks.hate`) is a module outside the package. Each package has a typed getter
beside its plugins (`load_task`, `load_metric`, …).
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from amuro.core.errors import StudyError, nearest

CONSTANTS = {"tasks": "TASK", "formats": "FORMAT", "metrics": "METRIC", "analyses": "ANALYSIS", "series": "SERIES",
           "importers": "IMPORTER", "exporters": "EXPORTER"}  # fmt: skip
"""Plugin kind → name of the constant that each of its modules defines."""
PACKAGES = {"tasks": "tasks", "formats": "prompts.formats", "metrics": "tasks.metrics", "series": "series",
            "analyses": "results.analyses", "importers": "results.importers",
            "exporters": "report.exporters"}  # fmt: skip
"""Plugin kind → its package within amuro."""

_ROOT = Path(__file__).parents[1]
_NO_PLUGINS = {"base", *(package.rpartition(".")[2] for package in PACKAGES.values())}
_DOTTED = re.compile(r"\w+(\.\w+)+")


def names(kind: str) -> tuple[str, ...]:
    """Names of the plugins of a kind, in alphabetical order. Raises StudyError on an unknown kind."""
    if kind not in CONSTANTS:
        raise StudyError(f"there is no plugin kind '{kind}'", nearest(kind, (*CONSTANTS, "recipes")))
    folder = _ROOT.joinpath(*PACKAGES[kind].split("."))
    files = (path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
    return tuple(sorted(path.stem for path in files if not path.stem.startswith("_") and path.stem not in _NO_PLUGINS))


def plugin(kind: str, name: str) -> Any:
    """The plugin with that name, or in that module if the name is dotted.

    Raises StudyError where it is unknown (with the nearest known name), cannot be imported, or lacks its constant.
    """
    if "." in name and not _DOTTED.fullmatch(name):
        raise StudyError(f"{name!r:.80} is no name among {kind}", "name one of them, or a module: my_lab.mine")
    module = _outside(kind, name) if "." in name else _inside(kind, name)
    constant = CONSTANTS[kind]
    if not hasattr(module, constant):
        raise StudyError(f"{module.__name__} has no {constant}", f"a file for {kind} holds its plugin as {constant}")
    return getattr(module, constant)


def described(kind: str, name: str) -> str:
    """One sentence about a plugin: its description, question or instruction, else its module docstring's first one."""
    member = plugin(kind, name)
    texts = (str(getattr(member, attribute, "")) for attribute in ("description", "question", "instruction"))
    return next(filter(None, texts), "") or first_sentence(sys.modules[f"amuro.{PACKAGES[kind]}.{name}"].__doc__ or "")


def first_sentence(text: str) -> str:
    """The first sentence of a text, on one line; it ends before a blank and a capital letter or backtick."""
    return re.split(r"(?<=[.:])\s+(?=[A-Z`])", " ".join(text.split()), maxsplit=1)[0]


@cache
def _inside(kind: str, name: str) -> Any:
    """The module of a plugin of amuro."""
    known = names(kind)
    if name not in known:
        raise StudyError(f"unknown name '{name}' among {kind}", nearest(name, known))
    return _import(f"amuro.{PACKAGES[kind]}.{name}")


def _outside(kind: str, name: str) -> Any:
    """The module of a plugin outside amuro; the current folder is searched last."""
    names(kind)  # raises on an unknown kind
    # A console script's path lacks the current folder. At the end of the path it can shadow no other module.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return _import(name)


def _import(module: str) -> Any:
    """The imported module. Raises StudyError where that fails."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name and (module == missing.name or module.startswith(f"{missing.name}.")):
            cure = "call amuro from the folder that holds it, or put that folder on PYTHONPATH"
            raise StudyError(f"there is no module '{module}'", cure) from missing
        cure = f"install it: pip install {missing.name}"
        raise StudyError(f"{module} needs the package '{missing.name}'", cure) from missing
    except Exception as error:  # a user's module may raise any error
        fault = f"{type(error).__name__}: {error}"
        raise StudyError(f"{module} cannot be imported ({fault})", "mend that file") from error
