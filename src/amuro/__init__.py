"""amuro: what did pre-training teach a language model, and what does fine-tuning reveal, add and destroy?

`amuro.load("study.toml")` opens a study from Python; the other names are the types that a plugin of one's own is made
of (`from amuro import Example, Task`). Each name is imported when it is first used (PEP 562), so that `import amuro`
loads neither torch nor polars.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amuro.core.errors import AmuroError, DataError, SeriesError, StudyError
    from amuro.core.types import Checkpoint, Example, Finding, Format, Task
    from amuro.engine.base import Engine
    from amuro.facade import LoadedStudy, load
    from amuro.report.exporters.base import Exporter, Source
    from amuro.results.analyses.base import Analysis, Evidence
    from amuro.results.importers.base import Imported, Importer, SetFacts
    from amuro.run.runner import Outcome
    from amuro.series.base import SeriesKind
    from amuro.study.plan import Plan
    from amuro.tasks.metrics.base import Context, Metric

__version__ = "0.2.0"

__all__ = [
    "AmuroError",
    "Analysis",
    "Checkpoint",
    "Context",
    "DataError",
    "Engine",
    "Evidence",
    "Example",
    "Exporter",
    "Finding",
    "Format",
    "Imported",
    "Importer",
    "LoadedStudy",
    "Metric",
    "Outcome",
    "Plan",
    "SeriesError",
    "SeriesKind",
    "SetFacts",
    "Source",
    "StudyError",
    "Task",
    "load",
]

_NAMES_OF = {
    "facade": ("load", "LoadedStudy"),
    "study.plan": ("Plan",),
    "run.runner": ("Outcome",),
    "core.types": ("Finding", "Task", "Example", "Format", "Checkpoint"),
    "tasks.metrics.base": ("Metric", "Context"),
    "results.analyses.base": ("Analysis", "Evidence"),
    "series.base": ("SeriesKind",),
    "report.exporters.base": ("Exporter", "Source"),
    "results.importers.base": ("Importer", "Imported", "SetFacts"),
    "engine.base": ("Engine",),
    "core.errors": ("AmuroError", "StudyError", "DataError", "SeriesError"),
}
"""Module below `amuro` → the public names that it holds, in the order of docs/api.md."""
_MODULE_OF = {name: f"amuro.{module}" for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    """The public object of that name, imported from where it lives. Raises AttributeError on any other name."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'amuro' has no attribute {name!r}; its names are {', '.join(__all__)}")
    globals()[name] = found = getattr(import_module(_MODULE_OF[name]), name)
    return found


def __dir__() -> list[str]:
    """The names that are there already, and the public ones that are not imported yet."""
    return sorted({*globals(), *__all__})
