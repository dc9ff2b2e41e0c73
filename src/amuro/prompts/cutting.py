"""What is left of ids for which there is too little room: the one cutter, for what is learned and what is asked.

What stands before every text (BOS) is never cut: what is learned begins as what is asked.
"""

from __future__ import annotations

from itertools import accumulate

Ids = tuple[int, ...]
Turns = tuple[Ids, ...]
"""Alternately prompt and answer: one pair for an ordinary example."""


def prompt(ids: Ids, begins: int, room: int) -> Ids:
    """At most `room` ids: the first `begins`, which stand before every text, and as many of the last as fit."""
    kept = max(room - begins, 0)
    return ids if len(ids) <= room else (*ids[:begins], *ids[len(ids) - kept :])


def turns(parts: Turns, begins: int, length: int) -> Turns:
    """At most `length` ids: the first turns of a dialogue go first, then the left of the last prompt.

    An answer that leaves no room for a prompt loses its end, and the prompt keeps half of the room at most.
    begins: ids that stand before the first prompt, and stay before whatever becomes the first.
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
    """The first `length` ids, short of a prompt at the end whose answer is cut off: as the paper cuts."""
    ends = [0, *accumulate(map(len, parts))]
    kept = [part[: length - start] for part, start in zip(parts, ends, strict=False) if start < length]
    return tuple(kept[: len(kept) // 2 * 2])
