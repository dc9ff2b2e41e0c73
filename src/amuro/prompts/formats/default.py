"""The plain layout: each field after its label, then the answer prefix. Tuning uses it unless a study says so."""

from amuro.core.types import Example, Format, Task
from amuro.prompts import templates


def render(task: Task, example: Example) -> str:
    """`label: value` for each field, then the task's answer prefix."""
    own = templates.override("default", task, example)
    return templates.join(task, [*templates.labelled(task, example), task.answer_prefix]) if own is None else own


FORMAT = Format("default", "labelled fields, then the answer prefix", render)
