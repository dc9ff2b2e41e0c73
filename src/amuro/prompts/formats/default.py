"""The plain format: each field after its label, then the answer prefix. Used in tuning by default."""

from amuro.core.types import Example, Format, Task
from amuro.prompts import templates


def render(task: Task, example: Example) -> str:
    """Returns `label: value` for each field, then the task's answer prefix."""
    return templates.join(task, [*templates.labelled(task, example), task.answer_prefix])


FORMAT = Format("default", "labelled fields, then the answer prefix", render)
