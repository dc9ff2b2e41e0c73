"""The bare format: the values after one word, the answer after another, and no description of the task."""

from amuro.core.types import Example, Format, Task
from amuro.prompts import templates


def render(task: Task, example: Example) -> str:
    """Returns `input:` with the values of all fields, then `output:`. The field separator is kept: only the template
    differs.
    """
    values = task.field_separator.join(value for value in templates.values(task, example) if value)
    word = templates.cased_like(task, "input:")
    return templates.join(task, [f"{word} {values}" if values else word, templates.cased_like(task, "output:")])


FORMAT = Format("input_output", "values after 'input:', the answer after 'output:'", render)
