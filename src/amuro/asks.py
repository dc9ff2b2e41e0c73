"""A cell's questions as token ids: everything about them that does not depend on a model's weights."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import polars as pl

from amuro import prompts
from amuro.errors import DataError
from amuro.identity import digest
from amuro.tokens import Encoder
from amuro.types import Ask, Cell, Example, Query, Recipe, Task

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Sheet:
    """The questions of one set × format × shots for one tokenizer and context length.

    `groups` maps the number of shots that fitted to (prefix ids, row numbers); most sheets have one group.
    """

    task: Task
    examples: tuple[Example, ...]
    queries: tuple[Query, ...]
    groups: tuple[tuple[int, Ids, tuple[int, ...]], ...]
    truncated: tuple[bool, ...]
    texts: pl.DataFrame
    """prompt_hash, prefix, text: one row an example."""
    ids_digest: str
    unconditional: tuple[Query, ...] = ()
    """Each row's options after a context that asks nothing, for a *choice* task that names one."""
    owners: tuple[int, ...] = ()
    """Where labels are scored by sub-tokens: the label that each candidate token belongs to."""

    def unconditional_ask(self, cell: Cell) -> Ask:
        """The options' own likelihoods: one short context shared by all rows."""
        return Ask(cell, (), self.unconditional)

    def asks(self, cell: Cell) -> list[tuple[Ask, tuple[int, ...]]]:
        """(ask, its row numbers) for each group."""
        stop, limit = (self.task.stop, self.task.max_new_tokens) if self.task.kind == "generate" else ((), 0)
        return [
            (
                Ask(
                    cell,
                    prefix,
                    queries,
                    stop,
                    limit,
                    tuple(self.examples[i].answer for i in rows),
                    past_window=self.task.encoding == "joint",
                ),
                rows,
            )
            for (_, prefix, rows), queries in zip(self.groups, self._queries_of_groups, strict=True)
        ]

    @cached_property
    def _queries_of_groups(self) -> tuple[tuple[Query, ...], ...]:
        """The same objects for every cell, by which an engine knows what it has laid out before."""
        return tuple(tuple(self.queries[i] for i in rows) for _, _, rows in self.groups)

    def k_effective(self) -> list[int]:
        """Shots that each row was really shown."""
        found = {row: k for k, _, rows in self.groups for row in rows}
        return [found[row] for row in range(len(self.examples))]


def sheet(
    task: Task,
    format_name: str,
    examples: Sequence[Example],
    shots: Sequence[Example],
    encoder: Encoder,
    context_length: int,
) -> Sheet:
    """Words, encodes and fits. Shots are dropped from a row until prompt and answer fit the context; where the
    bare prompt does not fit, its left end is cut and the row is marked as truncated.
    """
    if task.kind == "document":
        return _documents(task, examples, encoder, context_length)
    bodies = [prompts.prompt(task, format_name, example) for example in examples]
    options = _options(task, examples, encoder)
    shot_texts = prompts.shots_text(task, format_name, shots)
    shot_ids = _shot_ids(shot_texts, encoder)
    bare = encoder.prompts(bodies)
    joined = encoder.prompts([task.separator + body for body in bodies]) if shots else bare
    queries, groups, truncated, texts = [], defaultdict(list), [], []
    for i, example in enumerate(examples):
        room = context_length - len(encoder.bos) - _answer_room(task, options[i])
        k = _fitting(room - len(joined[i]), shot_ids)
        context, cut = _cut(encoder.bos, joined[i] if k else bare[i], room, example, k)
        gold = _gold(task, example)
        queries.append(Query(example.id, context, options[i], gold))
        truncated.append(cut)
        groups[k].append(i)
        prefix = "".join(f"{text} {reply}" for text, reply in shot_texts[:k])
        texts.append((prefix, (task.separator if k else "") + bodies[i]))
    grouped = tuple((k, _prefix(encoder, shot_ids[:k]), tuple(rows)) for k, rows in sorted(groups.items()))
    return Sheet(
        task,
        tuple(examples),
        tuple(queries),
        grouped,
        tuple(truncated),
        text_frame(texts),
        ids_digest(queries, grouped, task.unconditional),
        unconditional_queries(task, queries, encoder),
    )


def unconditional_queries(task: Task, queries: Sequence[Query], encoder: Encoder) -> tuple[Query, ...]:
    """The options of each query in the task's unconditional context; none where it has no such context."""
    if not task.unconditional:
        return ()
    context = (*encoder.bos, *encoder.prompts([task.unconditional])[0])
    return tuple(Query(q.example_id, context, q.options, q.gold) for q in queries)


def training_sequences(
    parts: Sequence[tuple[Task, Sequence[Example]]], recipe: Recipe, encoder: Encoder
) -> list[tuple[Ids, ...]]:
    """For every training example its ids, alternately prompt and answer with end-of-text, by the encoder that scores.

    A dialogue has a pair for each turn; every other example has one.
    """
    return [
        sequence
        for task, examples in parts
        for sequence in (_joint if task.encoding == "joint" else _pieces)(task, examples, recipe, encoder)
    ]


def _pieces(task: Task, examples: Sequence[Example], recipe: Recipe, encoder: Encoder) -> list[tuple[Ids, ...]]:
    turns = [turn for e in examples for turn in prompts.turns(task, recipe.format, e)]
    asked = encoder.prompts([prompt for prompt, _ in turns])
    answered = encoder.answers([answer for _, answer in turns])
    pairs = iter(zip(asked, answered, strict=True))
    return [_with_marks([next(pairs) for _ in range(len(e.earlier) + 1)], encoder) for e in examples]


def _joint(task: Task, examples: Sequence[Example], recipe: Recipe, encoder: Encoder) -> list[tuple[Ids, ...]]:
    """As the paper: each turn's text is encoded whole, and the tokens of its prompt are masked.

    A space at the end of a prompt is left out of what is masked: encoded whole, it is a part of the answer's first
    token. The line feed after a role tag of a dialogue is masked. What outgrows the recipe's length is cut on the
    right, and a row of which no answer is left is not learned.
    """
    sequences = []
    for example in examples:
        turns = prompts.turns(task, recipe.format, example)
        wholes = encoder.prompts([prompt + answer for prompt, answer in turns])
        heads = encoder.prompts([prompt.removesuffix(" ") for prompt, _ in turns])
        pairs = [(whole[: len(head)], whole[len(head) :]) for whole, head in zip(wholes, heads, strict=True)]
        sequences.append(_cut_right(_with_marks(pairs, encoder), recipe.max_length))
    return [sequence for sequence in sequences if sequence]


def _cut_right(parts: tuple[Ids, ...], length: int) -> tuple[Ids, ...]:
    """The first `length` ids of a row, short of a prompt at the end whose answer is cut off."""
    ends = [0, *accumulate(map(len, parts))]
    kept = [part[: length - start] for part, start in zip(parts, ends, strict=False) if start < length]
    return tuple(kept[: len(kept) // 2 * 2])


def _with_marks(pairs: Sequence[tuple[Ids, Ids]], encoder: Encoder) -> tuple[Ids, ...]:
    """Alternately prompt and answer; the first begins as the tokenizer begins a text, each answer ends the text."""
    first, *later = [part for prompt, answer in pairs for part in (prompt, (*answer, encoder.eos))]
    return ((*encoder.bos, *first), *later)


def sequences_digest(sequences: Sequence[tuple[Ids, ...]]) -> str:
    """Of the token ids in order: a part of a tuned model's key."""
    return digest([[list(part) for part in sequence] for sequence in sequences])


def _options(task: Task, examples: Sequence[Example], encoder: Encoder) -> list[tuple[Ids, ...]]:
    texts = [[prompts.answer(task, text) for text in prompts.options(task, e)] for e in examples]
    known = dict(zip(flat := sorted({t for row in texts for t in row}), encoder.answers(flat), strict=True))
    return [tuple(known[text] for text in row) for row in texts]


def _shot_ids(shot_texts: Sequence[tuple[str, str]], encoder: Encoder) -> list[Ids]:
    asked = encoder.prompts([text for text, _ in shot_texts])
    answered = encoder.answers([reply for _, reply in shot_texts])
    return [a + b for a, b in zip(asked, answered, strict=True)]


def _answer_room(task: Task, options: tuple[Ids, ...]) -> int:
    longest = max(len(option) for option in options)
    return max(longest, task.max_new_tokens) if task.kind == "generate" else longest


def _fitting(room: int, shot_ids: Sequence[Ids]) -> int:
    used, k = 0, 0
    while k < len(shot_ids) and used + len(shot_ids[k]) <= room:
        used += len(shot_ids[k])
        k += 1
    return k


def _cut(bos: Ids, body: Ids, room: int, example: Example, k: int) -> tuple[Ids, bool]:
    if room < 1:
        raise DataError(f"the answer of {example.id} alone fills the context", cure="use a longer context")
    cut = len(body) > room
    body = body[-room:] if cut else body
    return (body if k else (*bos, *body)), cut


def _prefix(encoder: Encoder, shot_ids: Sequence[Ids]) -> Ids:
    return (*encoder.bos, *(i for ids in shot_ids for i in ids)) if shot_ids else ()


def _gold(task: Task, example: Example) -> int:
    return prompts.options(task, example).index(example.answer)


def _documents(task: Task, examples: Sequence[Example], encoder: Encoder, context_length: int) -> Sheet:
    start = encoder.bos or (encoder.eos,)
    room = context_length - len(start)
    whole = encoder.prompts([example.answer for example in examples])
    queries = [Query(e.id, start, (ids[:room],), 0) for e, ids in zip(examples, whole, strict=True)]
    truncated = tuple(len(ids) > room for ids in whole)
    if any(truncated):
        raise DataError(
            f"document {next(e.id for e, cut in zip(examples, truncated, strict=True) if cut)} of {task.name} "
            f"has more than {room} tokens",
            cure="cut the documents of this task to the model's context",
        )
    groups = ((0, (), tuple(range(len(queries)))),)
    texts = [("", e.answer) for e in examples]
    return Sheet(
        task, tuple(examples), tuple(queries), groups, truncated, text_frame(texts), ids_digest(queries, groups)
    )


def text_frame(texts: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """(shared prefix, own text) of each row → prompt_hash, prefix, text."""
    hashes = [hashlib.sha256(f"{prefix}{text}".encode()).hexdigest()[:16] for prefix, text in texts]
    prefixes, bodies = [prefix for prefix, _ in texts], [text for _, text in texts]
    return pl.DataFrame({"prompt_hash": hashes, "prefix": prefixes, "text": bodies})


def ids_digest(
    queries: Sequence[Query], groups: Sequence[tuple[int, Ids, tuple[int, ...]]], unconditional: str = ""
) -> str:
    """Of every id that is read, and of the context in which options are scored unconditionally."""
    rows = [[q.example_id, list(q.context), [list(o) for o in q.options], q.gold] for q in queries]
    read = [rows, [[k, list(prefix), list(numbers)] for k, prefix, numbers in groups]]
    return digest([*read, unconditional] if unconditional else read)
