"""Questions as the paper asked them (docs/protocol.md): its defects are what makes its numbers comparable.

Shots are the first rows of the evaluated split itself, which are scored all the same (P3), nothing is cut to the
context (P4), the prompt keeps the trailing space of its template (P5), and a label scores what the likeliest of all its
sub-tokens scores at the next position (P6). Multiple choice draws its shots from train anew for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from amuro.core.errors import DataError
from amuro.core.types import Example, Task
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run.requests import EncodedEvalSet, Ids, encode_rows, option_ids


def encode(
    task: Task,
    format_name: str,
    examples: Sequence[Example],
    train: Sequence[Example],
    shots: int,
    encoder: Encoder,
    context_length: int,
) -> EncodedEvalSet:
    """The encoded set of a task whose protocol is the paper's. `train` is read by multiple choice alone."""
    shared = shots_text(task, format_name, examples[:shots])
    heads = (
        [shots_text(task, format_name, row_shots(train, shots, i)) for i in range(len(examples))]
        if task.shots_from == "train_by_row"
        else [shared] * len(examples)
    )
    bodies = [render.prompt(task, format_name, example) for example in examples]
    read = [(*encoder.bos, *ids) for ids in encoder.prompts([h + b for h, b in zip(heads, bodies, strict=True)])]
    candidates, owners = _candidates(task, examples, bodies, encoder)
    truncated = [False] * len(read)
    if task.shots_from == "train_by_row":  # of the paper's two evaluations, only this one cuts to the context
        rooms = [context_length - max(map(len, options)) for options in candidates]
        truncated = [len(ids) > room for ids, room in zip(read, rooms, strict=True)]
        read = [ids[-room:] for ids, room in zip(read, rooms, strict=True)]
    shown = min(shots, len(examples))
    texts = [(shown, head, body) for head, body in zip(heads, bodies, strict=True)]
    return encode_rows(task, examples, texts, read, candidates, truncated, encoder, owners)


def shots_text(task: Task, format_name: str, shots: Sequence[Example]) -> str:
    """The few-shot prefix: prompt, answer and separator of each shot.

    The tuned tasks join them as they are, the prompt's own space between; multiple choice strips both.
    """
    pairs = [(render.prompt(task, format_name, shot), shot.answer) for shot in shots]
    if task.encoding == "whole_text":
        return "".join(f"{prompt}{answer}{task.separator}" for prompt, answer in pairs)
    return "".join(f"{prompt.strip()} {answer.strip()}{task.separator}" for prompt, answer in pairs)


def row_shots(train: Sequence[Example], shots: int, row: int) -> list[Example]:
    """Shots of one row of multiple choice: drawn from train with the row's number as the seed, as catwalk does."""
    if shots > len(train):
        raise DataError(f"{shots} shots are asked, and train holds {len(train)} rows", "ask with fewer shots")
    return Random(row).sample(train, shots) if shots else []


def _candidates(
    task: Task, examples: Sequence[Example], bodies: Sequence[str], encoder: Encoder
) -> tuple[list[tuple[Ids, ...]], tuple[int, ...]]:
    """Candidate ids of each row, and the label that owns each of them where labels are scored by sub-tokens."""
    if task.label_scoring == "sub_tokens":
        texts = [*task.labels, *(f" {label}" for label in task.labels)]
        pairs = [
            (token, place % len(task.labels))
            for place, ids in enumerate(encoder.prompts(texts))
            for token in (*encoder.bos, *ids)
        ]
        return [tuple((token,) for token, _ in pairs)] * len(examples), tuple(owner for _, owner in pairs)
    if task.encoding == "prompt_then_answer":
        return option_ids(task, examples, bodies, encoder), ()
    texts = sorted({text for example in examples for text in render.options(task, example)})
    known = dict(zip(texts, encoder.prompts(texts), strict=True))
    return [tuple(known[text] for text in render.options(task, example)) for example in examples], ()
