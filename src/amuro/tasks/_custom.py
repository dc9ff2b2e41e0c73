"""A task that a study states in its own file: data of one's own, without a line of Python.

[tasks.hate]                                  # CSV, Parquet, JSONL or a saved data set, with a map of its columns
source = "file:my_data"                       # or hub:ORG/NAME[:CONFIG]
layout = "fields"
fields = { text = "Text" }                    # column = what stands before it in a prompt
answer = "label"                              # column of the answer
answers = { "0" = "fine", "1" = "hateful" }   # its values → label words; labels = [...] where it holds the words
cluster = "author"                            # column of what rows share; without it each row stands alone
missing = "drop"                              # rows with an empty, null or NaN value are left out, not refused
answer_prefix = "Label:"
instruction = "Say whether the text is hateful."

[tasks.quiz]                                  # options that differ from row to row
source = "file:quiz"
fields = { question = "Question" }
options = ["A", "B", "C", "D"]                # one column for each, or the name of a column of lists
answer = "right"
answer_by = "letter"                          # text (as the option stands), index (from 0), number (from 1), letter

[tasks.winogrande]                            # options whose contexts differ: what follows the blank is scored
source = "hub:allenai/winogrande:winogrande_xl"
cloze = "sentence"                            # or contexts = a column of lists, or one column for each option
options = ["option1", "option2"]
answer = "answer"
answer_by = "number"

[tasks.chat]                                  # JSONL as TRL documents it: prompt and completion, or messages
source = "file:chat"
layout = "messages"
"""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_uppercase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from amuro.core.errors import DataError
from amuro.core.text import normalized
from amuro.core.types import EVERY_FORMAT, STATED_SPLITS, Example, Kind, Normalize, Task
from amuro.data import columns
from amuro.data.columns import MissingError, Row
from amuro.tasks import _chat, _custom_checks

CONTEXT, BLANK = "option context", "_"


class OwnTask(BaseModel):
    """The table of a user-defined task. Defaults suit generation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    """Where the rows are: `file:PATH`, or `hub:ORG/NAME[:CONFIG]`."""
    layout: Literal["fields", "prompt_completion", "messages"] = "fields"
    """The form of a row: columns that the table maps, prompt and completion, or a dialogue (as in TRL)."""
    splits: dict[str, str] = dict(STATED_SPLITS)
    """Split as amuro names it → split of the source, which may be cut: train[:200]."""
    fields: dict[str, str] = {}
    """Column → label before it in the prompt, in their order."""
    answer: str = ""
    """Column of the gold answer."""
    answers: dict[str, str] = {}
    """Value of that column → answer text."""
    labels: tuple[str, ...] = ()
    """Labels, if the answer column has them as they are."""
    options: str | tuple[str, ...] = ""
    """Column with a list of options, or one column per option; makes the task multiple choice."""
    contexts: str | tuple[str, ...] = ""
    """Column with a list of texts, or one column per option: the context of each option, if they differ."""
    cloze: str = ""
    """Column of a text with one blank, `_`. The text before it with an option in the blank is that option's context;
    the text after it is scored.
    """
    answer_by: Literal["text", "index", "number", "letter"] = "text"
    """How the answer names an option: by its text, its place from 0 or from 1, or its letter from A."""
    missing: Literal["refuse", "drop", "omit"] = "refuse"
    """What to do if a value is null, NaN or empty: refuse the row, or leave it out (drop); omit leaves out a field
    with its label, or an option, and refuses other cases.
    """
    normalize: Normalize = "none"
    """Normalisation of each text: none, blanks at its ends removed (ends), or one line with single spaces (spaces)."""
    id: str = ""
    """Column that names a row; without it the column `id`, else the row's place in the split."""
    cluster: str = ""
    """Column that rows of a cluster share (a person, a passage), the unit of resampling; without it each row is a
    cluster.
    """
    answer_prefix: str | None = None
    """Text before the answer; if not set, "Answer:", or nothing if options have contexts of their own."""
    instruction: str = ""
    """The sentence with which the format `instruct` begins."""
    family: str = "own"
    """Kind of question, in a word; in the families `facts` and `corpus` that word is the role of the cells."""
    metric: str = ""
    """Primary metric, a name that `amuro list metrics` prints; where empty, rouge_l for free text and else accuracy."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ("\n",)
    """Texts that end a generation."""
    max_new_tokens: int = Field(60, gt=0)
    """Most tokens of a generation."""

    def task(self, name: str) -> Task:
        """Returns the task. Raises DataError if the table is incomplete or contradicts itself."""
        return {"fields": self._of_fields, "prompt_completion": self._of_pairs, "messages": self._of_messages}[
            self.layout
        ](name)

    def _of_fields(self, name: str) -> Task:
        """Returns the task of the layout `fields`."""
        if not (self.fields or self.has_contexts) or not self.answer:
            lacking = "fields" if self.answer else "answer"
            cure = 'say fields = { COLUMN = "Label" } and answer = "COLUMN"'
            raise DataError(f"tasks.{name} names no {lacking}", cure)
        labels = () if self.options else self.labels or tuple(dict.fromkeys(self.answers.values()))
        _custom_checks.refuse_half_a_choice(name, self)
        _custom_checks.refuse_one_word(name, self)
        kind: Kind = "multiple_choice" if self.options else "classification" if labels else "generation"
        chance = 1 / len(labels) if labels else None  # of options: in each cell from its rows
        fields = (*self.fields.items(), *([(CONTEXT, "")] if self.has_contexts else []))
        return self._made(name, kind, self._row, fields, labels=labels, chance=chance)

    @property
    def has_contexts(self) -> bool:
        """Whether options have contexts of their own."""
        return bool(self.contexts or self.cloze)

    def _of_pairs(self, name: str) -> Task:
        """Returns the task of the layout `prompt_completion`."""
        templates = {EVERY_FORMAT: "{prompt}"}
        return self._made(name, "generation", self._pair, (("prompt", ""),), templates=templates)

    def _of_messages(self, name: str) -> Task:
        """Returns the task of the layout `messages`."""
        templates = {EVERY_FORMAT: _chat.WORDING}
        return self._made(
            name, "generation", self._dialogue, (("messages", ""),), templates=templates, stop=(_chat.STOP,)
        )

    def _made(
        self,
        name: str,
        kind: Kind,
        example: Callable[[Row], Example],
        fields: tuple[tuple[str, str], ...],
        **more: Any,
    ) -> Task:
        """Returns a task with the facts that all layouts share."""
        facts: dict[str, Any] = {"stop": self.stop, **more}
        return Task(
            name=name,
            source=self.source,
            family=self.family,
            kind=kind,
            metric=self.metric or ("rouge_l" if kind == "generation" else "accuracy"),
            example=example,
            fields=fields,
            answer_prefix=("" if self.has_contexts else "Answer:")
            if self.answer_prefix is None
            else self.answer_prefix,
            instruction=self.instruction,
            cluster=self.cluster or "row",
            splits=self.splits,
            max_new_tokens=self.max_new_tokens,
            page="the study",
            normalize=self.normalize,
            missing="drop" if self.missing == "drop" else "refuse",
            **facts,
        )

    def _row(self, row: Row) -> Example:
        """Returns the example of a row with fields."""
        inputs = {column: self._field(row, column) for column in self.fields}
        if self.has_contexts:
            return self._branching(row, inputs)
        if not any(inputs.values()):
            raise MissingError(f"columns {', '.join(inputs)} are all empty", "a question needs a text")
        if self.options:
            gold, options, _ = self._choice(row)
            return self._example(row, inputs, options[gold], options=options, gold=gold)
        return self._example(row, inputs, self._answer(row))

    def _field(self, row: Row, column: str) -> str:
        """Returns a field's text; '' if it is missing and may be omitted."""
        if self.missing == "omit" and columns.is_missing(columns.value(row, column)):
            return ""
        return self._text(columns.text(row, column))

    def _answer(self, row: Row) -> str:
        """Returns the answer text. A value that `answers` maps is looked up as it is written; any other is text."""
        if not self.answers:
            return self._text(columns.text(row, self.answer))
        said = columns.name(row, self.answer)
        if said not in self.answers:
            raise DataError(f"column {self.answer} is {said!r}", f"answers names {', '.join(self.answers)}")
        return self.answers[said]

    def _branching(self, row: Row, inputs: dict[str, str]) -> Example:
        """Returns an example whose options have contexts of their own."""
        gold, options, kept = self._choice(row)
        if self.cloze:
            before, after = self._parted(row)
            heads, options = [before.replace(BLANK, option) for option in options], (after,) * len(options)
        else:
            found = columns.texts(row, self.contexts)
            if len(found) < max(kept) + 1:
                raise DataError(f"{len(found)} contexts stand beside {max(kept) + 1} options", "each needs its own")
            heads = [self._text(columns.written(found[i], f"contexts.{i}")) for i in kept]
        contexts = tuple({**inputs, CONTEXT: head} for head in heads)
        more = {"options": options, "contexts": contexts, "gold": gold}
        return self._example(row, dict(contexts[gold]), options[gold], **more)

    def _parted(self, row: Row) -> tuple[str, str]:
        """Returns a cloze text up to and including its blank, and the text after it."""
        text = self._text(columns.text(row, self.cloze))
        before, blank, after = text.partition(BLANK)
        if not blank or BLANK in after or not after.strip():
            raise DataError(f"column {self.cloze} is {text!r:.80}", f"it needs one {BLANK} with words behind it")
        return before + blank, after.strip()

    def _choice(self, row: Row) -> tuple[int, tuple[str, ...], list[int]]:
        """Returns the index of the gold option, the options, and their places in the row (omitted options are left
        out).
        """
        found = columns.texts(row, self.options)
        names = [
            self.options[i] if isinstance(self.options, tuple) else f"{self.options}.{i}" for i in range(len(found))
        ]
        kept = [i for i, each in enumerate(found) if self.missing != "omit" or not columns.is_missing(each)]
        options = tuple(self._text(columns.written(found[i], names[i])) for i in kept)
        if len(options) < 2:
            raise DataError(f"the row has {len(options)} options", "a choice has two or more")
        return self._gold(row, kept, options), options, kept

    def _gold(self, row: Row, kept: list[int], options: tuple[str, ...]) -> int:
        """Returns the index of the gold option. Raises DataError if the answer does not name exactly one."""
        said = self._answer(row) if self.answers else self._text(columns.name(row, self.answer))
        places = [i for i, each in enumerate(self._option_names(kept, options)) if each == said]
        if len(places) != 1:
            count = "no option" if not places else f"{len(places)} options"
            raise DataError(f"column {self.answer} is {said!r}, which names {count} by {self.answer_by}",
                            f"the options are {list(options)}; answer_by says how one is named")  # fmt: skip
        return places[0]

    def _option_names(self, kept: list[int], options: tuple[str, ...]) -> list[str]:
        """Returns the names by which an answer may name the options."""
        if self.answer_by == "text":
            return list(options)
        if self.answer_by == "letter":
            return [ascii_uppercase[i : i + 1] for i in kept]
        return [str(i + (self.answer_by == "number")) for i in kept]

    def _pair(self, row: Row) -> Example:
        """Returns the example of a row with prompt and completion."""
        if isinstance(row["prompt"], list):
            raise DataError("the prompt is no text", 'for lists of messages say layout = "messages"')
        prompt, completion = (self._text(columns.text(row, column)) for column in ("prompt", "completion"))
        before, after = prompt.rstrip(), completion.lstrip()
        between = prompt[len(before) :] + completion[: len(completion) - len(after)]
        if between not in ("", " "):
            raise DataError(
                f"{between!r} stands between prompt and completion, where one space is put",
                'say normalize = "ends" in the task, which takes such blanks off',
            )
        return self._example(row, {"prompt": before}, after)

    def _dialogue(self, row: Row) -> Example:
        """Returns the example of a row with messages."""
        parts = ["prompt", "completion"] if _holds_a_pair(row) else ["messages"]  # as TRL has it
        *earlier, (inputs, answer) = _chat.turns(
            [each for part in parts for each in columns.texts(row, part)], self.normalize
        )
        return self._example(row, inputs, answer, earlier=tuple(earlier))

    def _text(self, text: str) -> str:
        """Returns a text, normalised."""
        return normalized(text, self.normalize)

    def _example(self, row: Row, inputs: dict[str, str], answer: str, **more: Any) -> Example:
        """Returns an example with id and cluster of the row."""
        own = columns.name(row, self.id or "id")
        return Example(own, columns.name(row, self.cluster) if self.cluster else own, inputs, answer, **more)


def _holds_a_pair(row: Row) -> bool:
    """Whether a dialogue is given as prompt and completion, also beside an empty column of messages."""
    names = list(row)  # `in` would read a null, and refuse it
    return "messages" not in names or ("prompt" in names and columns.is_missing(columns.value(row, "messages")))
