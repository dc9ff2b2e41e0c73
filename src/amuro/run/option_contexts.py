"""Options with a context of their own (WinoGrande): scored as separate lines, compared within their row.

Each row is unfolded into one line per option, encoded like any other set, and folded again.
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
"""Gold index of a line: 0 for the line of the gold option, -1 for the others."""


def encode(
    task: Task,
    format_name: str,
    examples: Sequence[Example],
    shots: Sequence[Example],
    encoder: Encoder,
    context_length: int,
    own_shots: Mapping[int, Sequence[Example]],
) -> requests.EncodedEvalSet:
    """Encodes a set as `requests.encode` does. All options of a row get the same number of shots."""
    rows = [row for row, example in enumerate(examples) for _ in example.options]
    lines = [line for example in examples for line in _lines(example)]
    shown = {line: own_shots.get(row, shots) for line, row in enumerate(rows)}
    line_shots = {line: shown[line] for line, row in enumerate(rows) if row in own_shots}

    def fitted() -> requests.EncodedEvalSet:
        return requests.encode(task, format_name, lines, shots, encoder, context_length, line_shots)

    encoded = fitted()
    fewest = _fewest(encoded, rows)
    uneven = {rows[line] for line, k in enumerate(encoded.k_effective()) if k > fewest[rows[line]]}
    if uneven:
        line_shots |= {line: shown[line][: fewest[row]] for line, row in enumerate(rows) if row in uneven}
        encoded = fitted()
    return _folded(encoded, task, examples, rows)


def _lines(example: Example) -> list[Example]:
    """Returns one example per option, with that option alone."""
    return [
        replace(example, inputs=inputs, options=(option,), answer=option, contexts=(),
                gold=_RIGHT if place == example.gold else _WRONG)
        for place, (inputs, option) in enumerate(zip(example.contexts, example.options, strict=True))
    ]  # fmt: skip


def _fewest(lines: requests.EncodedEvalSet, rows: Sequence[int]) -> dict[int, int]:
    """Returns row → the fewest shots that fit in any of its lines."""
    fewest: dict[int, int] = {}
    for row, k in zip(rows, lines.k_effective(), strict=True):
        fewest[row] = min(k, fewest.get(row, k))
    return fewest


def _folded(
    lines: requests.EncodedEvalSet, task: Task, examples: Sequence[Example], rows: Sequence[int]
) -> requests.EncodedEvalSet:
    """Returns the encoded set of the rows; its `lines` is what the engine evaluates."""
    lines_of_row: list[list[int]] = [[] for _ in examples]
    for line, row in enumerate(rows):
        lines_of_row[row].append(line)
    folded = [
        Request(
            example.id, (), tuple(lines.requests[line].options[0] for line in row_lines), render.gold(task, example)
        )
        for example, row_lines in zip(examples, lines_of_row, strict=True)
    ]
    texts = lines.texts["text"].to_list()
    prefixes = lines.texts["prefix"].to_list()
    return replace(
        lines,
        examples=tuple(examples),
        requests=tuple(folded),
        groups=tuple(
            (k, prefix, tuple(dict.fromkeys(rows[i] for i in row_lines))) for k, prefix, row_lines in lines.groups
        ),
        truncated=tuple(any(lines.truncated[line] for line in row_lines) for row_lines in lines_of_row),
        texts=requests.text_frame(
            [(prefixes[row_lines[0]], "\n".join(texts[line] for line in row_lines)) for row_lines in lines_of_row]
        ),
        ids_digest=digest([lines.ids_digest, [request.gold for request in folded]]),
        lines=lines,
        rows=tuple(rows),
    )
