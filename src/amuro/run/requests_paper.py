"""Requests as the paper made them (docs/protocol.md). Its defects are kept: they make the numbers comparable.

Shots are the first rows of the evaluated split itself, which are also scored (P3); nothing is cut to the context
(P4); the prompt keeps the trailing space of its template (P5); a label gets the score of the likeliest of all its
sub-tokens at the next position (P6). Multiple choice samples its shots from train again for each row.
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
    """Returns the encoded set of a task in the paper's protocol. `train`: rows for the shots of
    multiple choice only.
    """
    shared = shots_text(task, format_name, examples[:shots])
    heads = (
        [shots_text(task, format_name, row_shots(train, shots, i)) for i in range(len(examples))]
        if task.shots_from == "train_by_row"
        else [shared] * len(examples)
    )
    bodies = [render.prompt(task, format_name, example) for example in examples]
    prompts = [(*encoder.bos, *ids) for ids in encoder.prompts([h + b for h, b in zip(heads, bodies, strict=True)])]
    candidates, owners = _candidates(task, examples, bodies, encoder)
    truncated = [False] * len(prompts)
    if task.shots_from == "train_by_row":  # of the paper's two evaluations, only this one cuts to the context
        rooms = [context_length - max(map(len, options)) for options in candidates]
        truncated = [len(ids) > room for ids, room in zip(prompts, rooms, strict=True)]
        prompts = [ids[-room:] for ids, room in zip(prompts, rooms, strict=True)]
    shown = min(shots, len(examples))
    texts = [(shown, head, body) for head, body in zip(heads, bodies, strict=True)]
    return encode_rows(task, examples, texts, prompts, candidates, truncated, encoder, owners)


def shots_text(task: Task, format_name: str, shots: Sequence[Example]) -> str:
    """Returns the few-shot prefix: prompt, answer and separator of each shot.

    Tasks with whole-text encoding join prompt and answer unchanged (the prompt ends in a space); multiple choice
    strips both.
    """
    pairs = [(render.prompt(task, format_name, shot), shot.answer) for shot in shots]
    if task.encoding == "whole_text":
        return "".join(f"{prompt}{answer}{task.separator}" for prompt, answer in pairs)
    return "".join(f"{prompt.strip()} {answer.strip()}{task.separator}" for prompt, answer in pairs)


def row_shots(train: Sequence[Example], shots: int, row: int) -> list[Example]:
    """Returns the shots of one row of multiple choice, sampled from train with the row number as seed, as catwalk
    does.

    Raises DataError if train has too few rows.
    """
    if shots > len(train):
        raise DataError(f"{shots} shots are wanted, and train has {len(train)} rows", "use fewer shots")
    return Random(row).sample(train, shots) if shots else []


def _candidates(
    task: Task, examples: Sequence[Example], bodies: Sequence[str], encoder: Encoder
) -> tuple[list[tuple[Ids, ...]], tuple[int, ...]]:
    """Returns the candidate ids of each row, and the label of each candidate if labels are scored by sub-tokens."""
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
