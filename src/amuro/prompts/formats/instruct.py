"""The instruction format: an instruction in a sentence, the labelled fields, then words that request the answer."""

from amuro.core.types import Example, Format, Task
from amuro.prompts import templates


def render(task: Task, example: Example) -> str:
    """Returns the task's instruction, `label: value` for each field, then `the answer is`."""
    answer_prefix = templates.cased_like(task, "the answer is")
    return templates.join(task, [task.instruction, *templates.labelled(task, example), answer_prefix])


FORMAT = Format("instruct", "an instruction, labelled fields, then 'the answer is'", render)
