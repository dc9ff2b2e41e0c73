"""Cuts token ids that do not fit: the one module for prompts of training and of evaluation.

The begin-of-text ids are never cut, so that training examples begin like prompts.
"""

from __future__ import annotations

from itertools import accumulate

Ids = tuple[int, ...]
Turns = tuple[Ids, ...]
"""Alternately prompt and answer; one pair for an ordinary example."""


def prompt(ids: Ids, begins: int, room: int) -> Ids:
    """Returns at most `room` ids: the first `begins` (begin-of-text) and as many of the last as fit."""
    last = max(room - begins, 0)
    return ids if len(ids) <= room else (*ids[:begins], *ids[len(ids) - last :])


def turns(parts: Turns, begins: int, length: int) -> Turns:
    """Returns at most `length` ids: the first turns of a dialogue are dropped first, then the left of the last
    prompt.

    An answer that leaves no room for a prompt loses its end, and the prompt keeps at most half of the room. `begins`:
    number of begin-of-text ids before the first prompt; they are kept before whatever prompt becomes the first.
    """
    if sum(map(len, parts)) <= length:
        return parts
    start, room = parts[0][:begins], length - begins
    *earlier, last, answer = (parts[0][begins:], *parts[1:])
    if len(answer) >= room:
        last = prompt(last, 0, room // 2)
        return (*start, *last), answer[: room - len(last)]
    while earlier and sum(map(len, (*earlier, last, answer))) > room:
        del earlier[:2]
    kept = (*earlier, last, answer) if earlier else (prompt(last, 0, room - len(answer)), answer)
    return ((*start, *kept[0]), *kept[1:])


def right(parts: Turns, length: int) -> Turns:
    """Returns the first `length` ids, without a final prompt whose answer is cut off, as the paper does."""
    ends = [0, *accumulate(map(len, parts))]
    kept = [part[: length - start] for part, start in zip(parts, ends, strict=False) if start < length]
    return tuple(kept[: len(kept) // 2 * 2])
