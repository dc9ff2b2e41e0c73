"""The contract of formats, run by `amuro check`."""

from __future__ import annotations

from collections.abc import Iterator

from amuro.core import registry
from amuro.core.errors import StudyError
from amuro.core.types import Example, Format
from amuro.tasks import load_task


def check(plugin: Format) -> Iterator[str]:
    """Checks that every task is rendered with all its fields, without a trailing space, with braces kept as text.

    Yields one line per passed check. Raises StudyError at the first fault.
    """
    for name in registry.names("tasks"):
        task = load_task(name)
        inputs = {key: f"<{key}> {{x}} {{{key}}}" for key, _ in task.fields}
        text = plugin.render(task, Example("id", "cluster", inputs, "<answer>"))
        if text != text.rstrip():
            raise StudyError(f"format {plugin.name} ends {name} with white space: {text[-20:]!r}", cure="strip it")
        lost = [key for key, value in inputs.items() if value not in text]
        if lost:
            raise StudyError(f"format {plugin.name} loses {', '.join(lost)} of {name}", cure="show every field")
        if "<answer>" in text:
            raise StudyError(f"format {plugin.name} shows the answer of {name}", cure="render inputs only")
    yield f"{len(registry.names('tasks'))} tasks are worded with every field, nothing trailing, and no answer"
