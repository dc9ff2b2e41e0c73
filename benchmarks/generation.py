"""Greedy generation: amuro beside lm_eval's `generate_until`, 4 shots, at most 60 new tokens.

Equality in float32: the same text for every prompt. lm_eval takes the best of its batch sizes. Both sides decode and
cut at the stop string; lm_eval also encodes its prompts, which amuro has done once for all checkpoints.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import material
import table
from amuro.core.requests import RequestBatch
from amuro.prompts.tokenizer import Encoder
from side_by_side import Done, UnequalError, timed
from table import NO_TARGETS, OURS, THEIRS, Row, Targets, Wish

BATCHES = (1, 8, 32)
NEW_TOKENS = 60
SHORT = material.Lengths(260, 60, 1, 0)
LONG = material.Lengths(1200, 300, 1, 0)


@dataclass(frozen=True)
class Question:
    """One kind of prompt on one model."""

    name: str
    model: str
    lengths: material.Lengths | None
    """None: real rows of the set `name`."""
    stops: bool
    """At a line feed, which one word in twenty begins with; else every text has 60 tokens."""
    rows: int
    """Texts a pass of amuro."""
    part: int
    """Texts a pass of lm_eval."""
    targets: Targets = NO_TARGETS


QUESTIONS = (
    Question("short prompts, 60 tokens", "S", SHORT, False, 96, 32, Targets(3)),
    Question("short prompts, stop", "S", SHORT, True, 96, 32, Targets(3)),
    Question("long prompts, 60 tokens", "S", LONG, False, 64, 16, Targets(6)),
    Question("long prompts, stop", "S", LONG, True, 64, 16, Targets(6)),
    Question("short prompts, stop", "M", SHORT, True, 64, 16, Targets(3)),
    Question("socialiqa_question", material.REAL, None, True, 16, 8),
)


class Ours:
    """amuro's engine."""

    def __init__(self, work: material.Work) -> None:
        import engine_jobs

        self._work, self._timed = work, work.first(work.rows)
        self._engine = engine_jobs.loaded(work.folder, work.precision)
        self._decode = Encoder.from_folder(work.folder).decode
        self._said = self._engine.generate(work.request_batch, self._decode)
        self.flops = engine_jobs.needed_flops(self._engine, self._spoken()) / work.rows

    def outputs(self) -> tuple[list[str], float]:
        """Texts, and the mean number of tokens said."""
        return [said.text for said in self._said], sum(said.tokens for said in self._said) / len(self._said)

    def once(self) -> Done:
        return timed(self._work.rows, lambda: self._engine.generate(self._timed, self._decode))

    def _spoken(self) -> RequestBatch:
        """The timed prompts with options as long as what was said: they need the same operations."""
        pairs = zip(self._timed.requests, self._said, strict=False)
        return replace(self._timed, requests=tuple(replace(q, options=((0,) * said.tokens,)) for q, said in pairs))


class Theirs:
    """lm_eval at the batch size that costs least here."""

    flops = 0.0

    def __init__(self, work: material.Work) -> None:
        import peers

        self._work = work
        self._lm = peers.hflm(work.folder, work.precision, BATCHES[1])
        self._requests = self._made_requests()
        lengths = [len(request.context) for request in work.first(work.rows).requests]
        self._parts = itertools.cycle(list(material.neighbours(lengths, work.part)))

    def outputs(self) -> tuple[list[str], int]:
        """The text of all prompts, and the batch size that will be timed."""
        texts = self._lm.generate_until(self._requests, disable_tqdm=True)
        part = next(self._parts)
        self._lm.batch_size_per_gpu = min(BATCHES, key=lambda size: self._cost(size, part))
        return texts, self._lm.batch_size_per_gpu

    def once(self) -> Done:
        return self._pass(next(self._parts))

    def _cost(self, size: int, part: Sequence[int]) -> float:
        self._lm.batch_size_per_gpu = size
        return self._pass(part).seconds

    def _pass(self, part: Sequence[int]) -> Done:
        sent = [self._requests[index] for index in part]
        return timed(len(part), lambda: self._lm.generate_until(sent, disable_tqdm=True))

    def _made_requests(self) -> list[Any]:
        from lm_eval.api.instance import Instance

        request_batch, decode = self._work.request_batch, Encoder.from_folder(self._work.folder).decode
        until = {"until": list(request_batch.stop), "max_gen_toks": request_batch.max_new_tokens, "do_sample": False}
        texts = [decode([*request_batch.prefix, *request.context]) for request in request_batch.requests]
        return [Instance("generate_until", {}, (text, until), number) for number, text in enumerate(texts)]


class Agreement:
    """Compares the texts; keeps what it saw as a note."""

    note = ""

    def __call__(self, outputs: Mapping[str, Any]) -> None:
        (ours, tokens), (theirs, batch) = outputs[OURS], outputs[THEIRS]
        self.note = f"{same_texts(ours, theirs)}, {tokens:.0f} tokens each; lm_eval at batch {batch}"


def same_texts(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """What is equal, in words. Raises UnequalError at the first text that differs."""
    for number, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        if left != right:
            raise UnequalError(f"text {number}: amuro says {left!r}, the peer {right!r}")
    return f"{len(ours)} texts of {len(ours)} identical"


def rows(wish: Wish) -> Iterator[Row]:
    """Every wanted question, measured. None in bfloat16, which changes texts on both sides."""
    for question in () if wish.bf16 else table.wanted(QUESTIONS, wish):
        work = _work(question, wish)
        yield table.measured(question, wish, "text", partial(Ours, work), partial(Theirs, work), Agreement())


def _work(question: Question, wish: Wish) -> material.Work:
    folder = material.model_folder(question.model, wish.folder)
    if question.lengths is None:
        request_batch = material.real_ask(question.name, question.rows, "float32")
    else:
        count = max(question.rows, min(wish.check, 96))
        request_batch = material.synthetic_ask(question.name, question.lengths, count, "float32", NEW_TOKENS)
    asked = replace(request_batch, stop=request_batch.stop if question.stops else ())
    return material.Work(folder, asked, len(request_batch.requests), question.rows, question.part, "float32")


if __name__ == "__main__":
    table.run(__doc__, rows)
