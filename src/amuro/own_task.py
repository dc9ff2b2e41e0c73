"""A task that a study states in its own file: data of one's own, without a line of Python.

[tasks.hate]                                  # CSV, Parquet, JSONL or a saved data set, with a map of its columns
source = "file:my_data"                       # or hub:ORG/NAME[:CONFIG]
layout = "fields"
fields = { text = "Text" }                    # column = what stands before it in a prompt
answer = "label"                              # column of the answer
answers = { "0" = "fine", "1" = "hateful" }   # its values → label words; labels = [...] where it holds the words
cluster = "author"                            # column of what rows share; without it each row stands alone
cue = "Label:"
instruction = "Say whether the text is hateful."

[tasks.chat]                                  # JSONL as TRL documents it: prompt and completion, or messages
source = "file:chat"
layout = "messages"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from amuro import messages
from amuro.errors import DataError
from amuro.types import Example, Kind, Task
from amuro.wording import single_spaced

FORMATS = ("default", "instruct", "input_output")


class OwnTask(BaseModel):
    """What a study says about a task of its own. Defaults suit text that is to be written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    layout: Literal["fields", "prompt_completion", "messages"] = "fields"
    splits: dict[str, str] = {"train": "train[200:]", "dev": "train[:200]", "test": "test"}
    """Our split → the source's, which may be cut: train[:200]."""
    fields: dict[str, str] = {}
    answer: str = ""
    answers: dict[str, str] = {}
    labels: tuple[str, ...] = ()
    """Label words, where the column holds them as they are."""
    chance: float | None = None
    """Of a question with options; that of labels is known."""
    options: str = ""
    """Column with a list of candidate answers: the question is then one of choice."""
    cluster: str = ""
    cue: str = "Answer:"
    instruction: str = ""
    family: str = "own"
    metric: str = ""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ("\n",)
    max_new_tokens: int = Field(60, gt=0)

    def task(self, name: str) -> Task:
        """The task. Raises DataError where the table does not say enough."""
        return {"fields": self._of_fields, "prompt_completion": self._of_pairs, "messages": self._of_messages}[
            self.layout
        ](name)

    def _of_fields(self, name: str) -> Task:
        if not self.fields or not self.answer:
            lacking = "answer" if self.fields else "fields"
            cure = 'say fields = { COLUMN = "Label" } and answer = "COLUMN"'
            raise DataError(f"tasks.{name} names no {lacking}", cure)
        labels = self.labels or tuple(dict.fromkeys(self.answers.values()))
        kind: Kind = "choice" if self.options else "label" if labels else "generate"
        chance = 1 / len(labels) if labels else self.chance
        return self._made(name, kind, self._row, tuple(self.fields.items()), labels=labels, chance=chance)

    def _of_pairs(self, name: str) -> Task:
        wording = dict.fromkeys(FORMATS, "{prompt}")
        return self._made(name, "generate", self._pair, (("prompt", ""),), wording=wording)

    def _of_messages(self, name: str) -> Task:
        wording = dict.fromkeys(FORMATS, messages.WORDING)
        return self._made(name, "generate", self._dialogue, (("messages", ""),), wording=wording, stop=(messages.STOP,))

    def _made(
        self,
        name: str,
        kind: Kind,
        example: Callable[[Mapping[str, Any]], Example],
        fields: tuple[tuple[str, str], ...],
        **more: Any,
    ) -> Task:
        facts: dict[str, Any] = {"stop": self.stop, **more}
        return Task(
            name=name,
            source=self.source,
            family=self.family,
            kind=kind,
            metric=self.metric or ("rouge_l" if kind == "generate" else "accuracy"),
            example=example,
            fields=fields,
            cue=self.cue,
            instruction=self.instruction,
            cluster=self.cluster or "row",
            splits=self.splits,
            max_new_tokens=self.max_new_tokens,
            page="the study",
            **facts,
        )

    def _row(self, row: Mapping[str, Any]) -> Example:
        inputs = {column: single_spaced(str(row[column])) for column in self.fields}
        said = str(row[self.answer])
        if self.answers and said not in self.answers:
            raise DataError(f"{self.answer} is {said!r}", f"answers names {', '.join(self.answers)}")
        options = tuple(single_spaced(text) for text in row[self.options]) if self.options else ()
        return self._example(row, inputs, self.answers.get(said, single_spaced(said)), options=options)

    def _pair(self, row: Mapping[str, Any]) -> Example:
        if not isinstance(row["prompt"], str):
            raise DataError("the prompt is no text", 'for lists of messages say layout = "messages"')
        return self._example(row, {"prompt": row["prompt"].strip()}, row["completion"].strip())

    def _dialogue(self, row: Mapping[str, Any]) -> Example:
        said = row["messages"] if "messages" in row else [*row["prompt"], *row["completion"]]  # as TRL has it
        *earlier, (inputs, answer) = messages.turns(said)
        return self._example(row, inputs, answer, earlier=tuple(earlier))

    def _example(self, row: Mapping[str, Any], inputs: dict[str, str], answer: str, **more: Any) -> Example:
        return Example(str(row["id"]), str(row[self.cluster or "id"]), inputs, answer, **more)
