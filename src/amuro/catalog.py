"""Names → members. A shelf is a folder; a member is a file (or package) there, and its name is the file's name.

Listing reads file names only and imports nothing. A dotted name (`my_lab.tasks.hate`) is a module outside the package.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from amuro.errors import StudyError, nearest
from amuro.series_kind import SeriesKind
from amuro.types import Format, Task

if TYPE_CHECKING:
    from amuro.metric import Metric

SHELVES = {"tasks": "TASK", "formats": "FORMAT", "metrics": "METRIC", "analyses": "ANALYSIS", "series": "SERIES",
           "importers": "IMPORTER", "exporters": "EXPORTER"}  # fmt: skip
"""Shelf → the constant that each of its files holds."""

_ROOT = Path(__file__).parent
_DOTTED = re.compile(r"\w+(\.\w+)+")


def names(shelf: str) -> tuple[str, ...]:
    """The members of a shelf in alphabetical order. Raises StudyError on an unknown shelf."""
    if shelf not in SHELVES:
        raise StudyError(f"there is no shelf '{shelf}'", nearest(shelf, (*SHELVES, "recipes")))
    files = (path for path in (_ROOT / shelf).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
    return tuple(sorted(path.stem for path in files if not path.stem.startswith("_")))


def member(shelf: str, name: str) -> Any:
    """The member of that name, or of that dotted module.

    Raises StudyError where it is unknown (with the nearest known name), cannot be imported, or lacks its constant.
    """
    if "." in name and not _DOTTED.fullmatch(name):
        raise StudyError(f"{name!r:.80} is no name among {shelf}", "name one of them, or a module: my_lab.mine")
    module = _outside(shelf, name) if "." in name else _inside(shelf, name)
    constant = SHELVES[shelf]
    if not hasattr(module, constant):
        raise StudyError(f"{module.__name__} has no {constant}", f"a file for {shelf} holds its member as {constant}")
    return getattr(module, constant)


def said(shelf: str, name: str) -> str:
    """What a member is, in a sentence: its own words, else the first sentence of its file."""
    found = member(shelf, name)
    words = (str(getattr(found, attribute, "")) for attribute in ("description", "question", "instruction"))
    return next(filter(None, words), "") or first_sentence(sys.modules[f"amuro.{shelf}.{name}"].__doc__ or "")


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a line or stands before a capital letter, on one line."""
    return re.split(r"(?<=[.:])\s+(?=[A-Z`])", " ".join(text.split()), maxsplit=1)[0]


def task(name: str, protocol: str = "sound") -> Task:
    """The task `tasks/NAME.py`, or that of a dotted module, as a protocol puts it. Errors as in `member`.

    Raises StudyError where the protocol is the paper's and the paper did not have the task, and where a task of the
    sound protocol takes its shots as the paper did.
    """
    sound = cast(Task, member("tasks", name))
    if protocol == "sound":
        if sound.shots_from != "train":
            cure = "leave it out: shots are drawn from train; the paper's own ways stand in its `paper`"
            raise StudyError(f"task '{name}' says shots_from = '{sound.shots_from}', as the paper did", cure)
        return sound
    if sound.paper is None:
        have = ", ".join(name for name in names("tasks") if member("tasks", name).paper)
        raise StudyError(f"task '{name}' is not in the paper", f'with protocol = "paper" there are: {have}')
    return sound.paper


def format(name: str) -> Format:  # noqa: A001 — named like its shelf, as its sisters are
    """The format `formats/NAME.py`, or that of a dotted module. Errors as in `member`."""
    return cast(Format, member("formats", name))


def metric(name: str) -> Metric:
    """The metric `metrics/NAME.py`, or that of a dotted module, called as it was asked for. Errors as in `member`.

    Raises StudyError where the module holds something else under METRIC.
    """
    from amuro.metric import Metric  # with polars behind it: the help of the command line needs none of it

    found = member("metrics", name)
    if not isinstance(found, Metric):
        raise StudyError(
            f"METRIC of '{name}' is a {type(found).__name__}, no amuro.metric.Metric", "see docs/extend.md"
        )
    return found if found.name == name else replace(found, name=name)


def analysis(name: str) -> Any:
    """The analysis `analyses/NAME.py`, or that of a dotted module. Errors as in `member`."""
    return member("analyses", name)


def series(name: str) -> SeriesKind:
    """The kind of series `series/NAME.py`, or that of a dotted module. Errors as in `member`."""
    return cast(SeriesKind, member("series", name))


def exporter(name: str) -> Any:
    """The exporter `exporters/NAME.py`, or that of a dotted module. Errors as in `member`."""
    return member("exporters", name)


@cache
def _inside(shelf: str, name: str) -> Any:
    known = names(shelf)
    if name not in known:
        raise StudyError(f"unknown name '{name}' among {shelf}", nearest(name, known))
    return _import(f"amuro.{shelf}.{name}")


def _outside(shelf: str, name: str) -> Any:
    names(shelf)
    # A console script does not see the folder that it is called from. At the end of the path it can hide nothing.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return _import(name)


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name and (module == missing.name or module.startswith(f"{missing.name}.")):
            cure = "call amuro from the folder that holds it, or put that folder on PYTHONPATH"
            raise StudyError(f"there is no module '{module}'", cure) from missing
        cure = f"install it: pip install {missing.name}"
        raise StudyError(f"{module} needs the package '{missing.name}'", cure) from missing
    except Exception as error:  # a stranger's module may raise anything
        fault = f"{type(error).__name__}: {error}"
        raise StudyError(f"{module} cannot be imported ({fault})", "mend that file") from error
