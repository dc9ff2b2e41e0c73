"""The plain layout: each field after its label, then the cue. Tuning uses it unless the study says otherwise."""

from amuro.core.types import Example, Format, Task
from amuro.prompts import templates


def render(task: Task, example: Example) -> str:
    """`label: value` for each field, then the task's cue."""
    own = templates.override("default", task, example)
    return templates.join(task, [*templates.labelled(task, example), task.cue]) if own is None else own


FORMAT = Format("default", "labelled fields, then the cue", render)
