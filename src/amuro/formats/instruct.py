"""The instruction layout: what is to be done in a sentence, the labelled fields, then words that ask for the answer."""

from amuro import wording
from amuro.types import Example, Format, Task


def render(task: Task, example: Example) -> str:
    """The task's instruction, `label: value` for each field, then `the answer is`."""
    own = wording.override("instruct", task, example)
    if own is not None:
        return own
    cue = wording.cased_like(task, "the answer is")
    return wording.join(task, [task.instruction, *wording.labelled(task, example), cue])


FORMAT = Format("instruct", "an instruction, labelled fields, then 'the answer is'", render)
