"""The tasks: what is asked and learned. Each file beside this one is one, listed by its name."""

from __future__ import annotations

from typing import cast

from amuro.core import registry
from amuro.core.errors import StudyError
from amuro.core.types import Task


def load_task(name: str, protocol: str = "corrected") -> Task:
    """The task `tasks/NAME.py`, or that of a dotted module, as a protocol puts it. Errors as in `registry.plugin`.

    Raises StudyError where the protocol is the paper's and the paper did not have the task, and where a task of the
    sound protocol takes its shots as the paper did.
    """
    sound = cast(Task, registry.plugin("tasks", name))
    if protocol == "corrected":
        if sound.shots_from != "train":
            cure = "leave it out: shots are drawn from train; the paper's own ways stand in its `paper`"
            raise StudyError(f"task '{name}' says shots_from = '{sound.shots_from}', as the paper did", cure)
        return sound
    if sound.paper is None:
        have = ", ".join(name for name in registry.names("tasks") if registry.plugin("tasks", name).paper)
        raise StudyError(f"task '{name}' is not in the paper", f'with protocol = "paper" there are: {have}')
    return sound.paper
