"""The lock file of a study: which commits the hub revisions of its series and data sets resolved to on first use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amuro.core import hub, regular_files
from amuro.core.errors import StudyError
from amuro.series import load_series_kind
from amuro.study.tables import Series

if TYPE_CHECKING:
    from amuro.study.config import Study

_DATA = "data sets"
"""Key of the data sets in the lock file. No series can have this name, because names hold no space."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


def lock_path(path: Path) -> Path:
    """Returns the path of a study's lock file: the study's path with the suffix .lock."""
    return path.with_suffix(".lock")


def lock(study: Study, path: Path) -> Study:
    """Resolves the hub revisions of series and tasks to commits, writes the lock file, returns the locked study.

    `path`: the study's file. Raises HubError if the hub cannot be reached.
    """
    pins = {name: load_series_kind(s.kind).lock(name, s.options) for name, s in study.series.items()}
    locks: dict[str, Any] = {name: dict(pinned) for name, pinned in pins.items() if pinned}
    if unpinned := _unpinned(study):
        locks[_DATA] = {
            task: {**at, "commit": study.revisions.get(task) or hub.data_commit(**at)} for task, at in unpinned.items()
        }
    if locks:
        lock_path(path).write_text(json.dumps(locks, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return with_lock(study, lock_path(path))


def with_lock(study: Study, path: Path) -> Study:
    """Returns the study with the commits of the lock file at `path`; the study itself if there is no such file.

    Revisions stated in the study take precedence. Raises StudyError for a damaged lock file.
    """
    if not path.is_file():
        return study
    locks = _read_lock(path)
    series = {n: Series(**{**s.model_dump(), "lock": locks[n]}) if n in locks else s for n, s in study.series.items()}
    known = locks.get(_DATA, {})
    locked = {
        task: known[task]["commit"]
        for task, at in _unpinned(study).items()
        if at.items() <= known.get(task, {}).items() and "commit" in known[task]
    }
    return study.model_copy(update={"series": series, "revisions": {**locked, **study.revisions}})


def _read_lock(path: Path) -> dict[str, dict[str, Any]]:
    """Returns the tables of a lock file. Raises StudyError if it is not valid."""
    cure = "delete it, and it is written again"
    try:
        locks = json.loads(regular_files.content(path))
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"{path} is not valid JSON: {error}", cure) from error
    if not (_holds_tables(locks) and _holds_tables(locks.get(_DATA, {}))):
        raise StudyError(f"{path} is no lock of a study", cure)
    return dict(locks)


def _holds_tables(value: Any) -> bool:
    """Whether a JSON value is an object whose values are objects."""
    return isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())


def _unpinned(study: Study) -> dict[str, dict[str, str]]:
    """Returns, for each hub data set that is not pinned to a commit: task → its repository and branch."""
    unpinned = {}
    for name in study.task_names:
        task = study.task(name)
        source = study.sources.get(name, task.source)
        branch = task.revision if source == task.source else None
        if source.startswith("hub:") and not _COMMIT.fullmatch(branch or ""):
            repository, _, _ = hub.parts(source.removeprefix("hub:"))
            unpinned[name] = {"repository": repository, "revision": branch or "main"}
    return unpinned
