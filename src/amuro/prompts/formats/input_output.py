"""The bare layout: the values under one word, the answer under another, and nothing that says what is asked."""

from amuro.core.types import Example, Format, Task
from amuro.prompts import templates


def render(task: Task, example: Example) -> str:
    """`input:` with the values of all fields, then `output:`. Values stay parted: what differs is the wording alone."""
    own = templates.override("input_output", task, example)
    if own is not None:
        return own
    values = task.field_separator.join(value for value in templates.values(task, example) if value)
    word = templates.cased_like(task, "input:")
    return templates.join(task, [f"{word} {values}" if values else word, templates.cased_like(task, "output:")])


FORMAT = Format("input_output", "values after 'input:', the answer after 'output:'", render)
