"""Tasks: what models are evaluated and tuned on. Each file of this package without a leading _ is one."""

from __future__ import annotations

from typing import cast

from amuro.core import registry
from amuro.core.errors import StudyError
from amuro.core.types import Task


def load_task(name: str, protocol: str = "corrected") -> Task:
    """Returns the task `tasks/NAME.py`, or that of a dotted module, in a protocol.

    Raises the errors of `registry.plugin`, StudyError if the paper's protocol does not have the task, and if a task
    of the corrected protocol takes its shots as the paper did.
    """
    corrected = cast(Task, registry.plugin("tasks", name))
    if protocol == "corrected":
        if corrected.shots_from != "train":
            cure = "leave it out: shots are drawn from train; the paper's variant belongs in its `paper`"
            raise StudyError(f"task '{name}' says shots_from = '{corrected.shots_from}', as the paper did", cure)
        return corrected
    if corrected.paper is None:
        names = ", ".join(name for name in registry.names("tasks") if registry.plugin("tasks", name).paper)
        raise StudyError(f"task '{name}' is not in the paper", f'with protocol = "paper" there are: {names}')
    return corrected.paper
