"""The plain layout: each field after its label, then the cue. Tuning uses it unless the study says otherwise."""

from amuro import wording
from amuro.types import Example, Format, Task


def render(task: Task, example: Example) -> str:
    """`label: value` for each field, then the task's cue."""
    own = wording.override("default", task, example)
    return wording.join(task, [*wording.labelled(task, example), task.cue]) if own is None else own


FORMAT = Format("default", "labelled fields, then the cue", render)
