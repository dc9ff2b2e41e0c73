"""Options that each stand behind a question of their own (WinoGrande): asked apart, judged beside each other.

The rows are unfolded into one line an option, made a encoded set like any other, and folded again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from amuro.core.hashing import digest
from amuro.core.requests import Request
from amuro.core.types import Example, Task
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run import requests

_RIGHT, _WRONG = 0, -1
"""Place of the right option among the one that a line has; there is none in a line of a wrong option."""


def encode(
    task: Task,
    format_name: str,
    examples: Sequence[Example],
    shots: Sequence[Example],
    encoder: Encoder,
    context_length: int,
    own_shots: Mapping[int, Sequence[Example]],
) -> requests.EncodedEvalSet:
    """As `asks.encoded set`. All options of a row are shown the same number of shots."""
    rows = [row for row, example in enumerate(examples) for _ in example.options]
    lines = [line for example in examples for line in _lines(example)]
    shown = {line: own_shots.get(row, shots) for line, row in enumerate(rows)}
    own = {line: shown[line] for line, row in enumerate(rows) if row in own_shots}

    def fitted() -> requests.EncodedEvalSet:
        return requests.encode(task, format_name, lines, shots, encoder, context_length, own)

    found = fitted()
    fewest = _fewest(found, rows)
    uneven = {rows[line] for line, k in enumerate(found.k_effective()) if k > fewest[rows[line]]}
    if uneven:
        own |= {line: shown[line][: fewest[row]] for line, row in enumerate(rows) if row in uneven}
        found = fitted()
    return _folded(found, task, examples, rows)


def _lines(example: Example) -> list[Example]:
    """The example once an option, each with that option alone."""
    return [
        replace(example, inputs=inputs, options=(option,), answer=option, contexts=(),
                gold=_RIGHT if place == example.gold else _WRONG)
        for place, (inputs, option) in enumerate(zip(example.contexts, example.options, strict=True))
    ]  # fmt: skip


def _fewest(lines: requests.EncodedEvalSet, rows: Sequence[int]) -> dict[int, int]:
    """Row → the fewest shots that any of its lines has room for."""
    fewest: dict[int, int] = {}
    for row, k in zip(rows, lines.k_effective(), strict=True):
        fewest[row] = min(k, fewest.get(row, k))
    return fewest


def _folded(
    lines: requests.EncodedEvalSet, task: Task, examples: Sequence[Example], rows: Sequence[int]
) -> requests.EncodedEvalSet:
    """The encoded set of the rows, which asks what the encoded set of their lines asks."""
    of: list[list[int]] = [[] for _ in examples]
    for line, row in enumerate(rows):
        of[row].append(line)
    folded = [
        Request(example.id, (), tuple(lines.requests[line].options[0] for line in own), render.gold(task, example))
        for example, own in zip(examples, of, strict=True)
    ]
    texts = lines.texts["text"].to_list()
    prefixes = lines.texts["prefix"].to_list()
    return replace(
        lines,
        examples=tuple(examples),
        requests=tuple(folded),
        groups=tuple((k, prefix, tuple(dict.fromkeys(rows[i] for i in own))) for k, prefix, own in lines.groups),
        truncated=tuple(any(lines.truncated[line] for line in own) for own in of),
        texts=requests.text_frame([(prefixes[own[0]], "\n".join(texts[line] for line in own)) for own in of]),
        ids_digest=digest([lines.ids_digest, [request.gold for request in folded]]),
        lines=lines,
        rows=tuple(rows),
    )
