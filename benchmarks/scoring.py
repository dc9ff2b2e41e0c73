"""Scoring answers: amuro beside lm_eval's `hf` model, the few-shot prefix fixed, tokenising left out on both sides.

Equality in float32: summed log-probabilities within 1e-4 and the same argmax wherever the margin is above 1e-4; where
the two differ by more, the same is asked of amuro beside float64, and how far lm_eval is from that is told. In
bfloat16 amuro counts only where it is no farther from float32 than lm_eval, in the largest and the RMS difference.
lm_eval takes the best of its batch sizes and its one-token cache; its batch size "auto" finds 64 on a CPU, by five
readings of 64 rows of full length, and is left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import material
import table
from amuro.core.requests import Request
from side_by_side import Done, UnequalError, Variant, outputs_of, timed
from table import NO_TARGETS, OURS, THEIRS, Row, Targets, Wish

BATCHES = (1, 8, 32)
NEAR = 1e-4
"""Nats: what float32 may differ by, and the margin below which an argmax is a tie."""

Sums = list[tuple[float, ...]]


@dataclass(frozen=True)
class Question:
    """One kind of question on one model."""

    name: str
    model: str
    lengths: material.Lengths | None
    """None: real rows of the set `name`."""
    rows: int
    """Documents a pass of amuro."""
    part: int
    """Documents a pass of lm_eval (32 requests or fewer): a pass need not take all, its cost a document is the same."""
    targets: Targets = NO_TARGETS
    check: int = 1000
    """Requests that are compared at the most."""


QUESTIONS = (
    Question("one-token labels (MNLI)", "S", material.LABELS, 256, 32, Targets(5, 4.4)),
    Question("options (ARC)", "S", material.OPTIONS, 256, 8, Targets(16, 16)),
    Question("long endings (HellaSwag)", "S", material.ENDINGS, 128, 8, Targets(9, 8)),
    Question("long context (1.9k)", "S", material.LONG, 96, 4, Targets(15, 12), check=200),
    Question("one-token labels (MNLI)", "M", material.LABELS, 128, 32, Targets(5, 4.4), check=200),
    Question("options (ARC)", "M", material.OPTIONS, 96, 8, Targets(16, 16), check=200),
    Question("long endings (HellaSwag)", "M", material.ENDINGS, 64, 4, Targets(9, 8), check=200),
    Question("long context (1.9k)", "M", material.LONG, 16, 1, Targets(15, 12), check=40),
    Question("boolq", material.REAL, None, 16, 4),
    Question("arc_easy", material.REAL, None, 16, 4),
    Question("hellaswag", material.REAL, None, 16, 2),
)


class Ours:
    """amuro's engine."""

    def __init__(self, work: material.Work) -> None:
        import engine_jobs

        self._work, self._timed = work, work.first(work.rows)
        self._engine = engine_jobs.loaded(work.folder, work.precision)
        self.flops = engine_jobs.needed_flops(self._engine, self._timed) / work.rows

    def outputs(self) -> Sums:
        return self._engine.score(self._work.first(self._work.checked))

    def once(self) -> Done:
        return timed(self._work.rows, lambda: self._engine.score(self._timed))


class Theirs:
    """lm_eval: every option after its context, at the batch size that costs least here."""

    flops = 0.0

    def __init__(self, work: material.Work) -> None:
        import peers

        self._work = work
        self._lm = peers.hflm(work.folder, work.precision, BATCHES[1])
        self._lengths = material.document_tokens(work.first(work.rows))
        self._parts = itertools.cycle(list(material.neighbours(self._lengths, work.part)))

    def outputs(self) -> tuple[Sums, int]:
        """The sums of the checked queries, and the batch size that will be timed."""
        sums = self._score(self._work.request_batch.requests[: self._work.checked])
        self._lm.batch_size_per_gpu = self._best_batch()
        return sums, self._lm.batch_size_per_gpu

    def once(self) -> Done:
        return self._pass(next(self._parts))

    def _best_batch(self) -> int:
        part = next(self._parts)
        self._pass(part)
        return min(BATCHES, key=lambda size: self._cost(size, part))

    def _cost(self, size: int, part: Sequence[int]) -> float:
        self._lm.batch_size_per_gpu = size
        return self._pass(part).seconds

    def _pass(self, part: Sequence[int]) -> Done:
        """Counts as so many mean documents as its tokens make."""
        tokens = sum(self._lengths[index] for index in part)
        requests = [self._work.request_batch.requests[index] for index in part]
        return timed(tokens / float(np.mean(self._lengths)), lambda: self._score(requests))

    def _score(self, requests: Sequence[Request]) -> Sums:
        prefix = self._work.request_batch.prefix
        sent = [(("", ""), [*prefix, *q.context], list(option)) for q in requests for option in q.options]
        got = iter(self._lm._loglikelihood_tokens(sent, disable_tqdm=True))
        return [tuple(next(got)[0] for _ in request.options) for request in requests]


class Agreement:
    """Compares the outputs of both sides; keeps what it saw as a note."""

    def __init__(self, work: material.Work, reference: Sums | None) -> None:
        """reference: in bfloat16, the sums in float32."""
        self._work, self._reference, self.note = work, reference, ""

    def __call__(self, outputs: Mapping[str, Any]) -> None:
        ours, (theirs, batch) = outputs[OURS], outputs[THEIRS]
        agreed = self._equal(ours, theirs) if self._reference is None else self._nearer(ours, theirs)
        self.note = f"{agreed}; lm_eval at batch {batch}"

    def _equal(self, ours: Sums, theirs: Sums) -> str:
        """Where the two differ by more than float32 may, float64 says who is wrong."""
        try:
            return float32_agreement(ours, theirs)
        except UnequalError as difference:
            import peers

            right = peers.exact(self._work.folder, self._work.first(self._work.checked))
            agreed = float32_agreement(ours, right)
            return f"from float64: {agreed}; lm_eval's max Δ {distance(theirs, right)[0]:.1e} ({difference})"

    def _nearer(self, ours: Sums, theirs: Sums) -> str:
        assert self._reference is not None
        (most, rms), (their_most, their_rms) = (distance(sums, self._reference) for sums in (ours, theirs))
        seen = f"from float32: max {most:.3g} (lm_eval {their_most:.3g}), RMS {rms:.3g} (lm_eval {their_rms:.3g})"
        if not (most <= their_most and rms <= their_rms):
            raise UnequalError(seen)
        return seen


def float32_agreement(ours: Sums, theirs: Sums) -> str:
    """What is equal, in words. Raises UnequalError beyond NEAR, or where an argmax differs that is not a tie."""
    most, _ = distance(ours, theirs)
    flips = [min(margin(a), margin(b)) for a, b in zip(ours, theirs, strict=True) if np.argmax(a) != np.argmax(b)]
    ties = sum(margin(sums) <= NEAR for sums in theirs)
    seen = f"max Δ {most:.1e} over {sum(map(len, ours))} requests, {len(flips)} flips, {ties} near ties"
    if not most <= NEAR or any(lost > NEAR for lost in flips):
        raise UnequalError(seen)
    return seen


def distance(left: Sums, right: Sums) -> tuple[float, float]:
    """Largest and RMS difference."""
    gaps = [a - b for one, other in zip(left, right, strict=True) for a, b in zip(one, other, strict=True)]
    return max(map(abs, gaps)), math.sqrt(float(np.mean(np.square(gaps))))


def margin(sums: Sequence[float]) -> float:
    """Between the best and the second."""
    best = sorted(sums)[-2:]
    return best[-1] - best[0]


def rows(wish: Wish) -> Iterator[Row]:
    """Every wanted question, measured."""
    for question in table.wanted(QUESTIONS, wish):
        work = _work(question, wish)
        exact = partial(Ours, replace(work, precision="float32"))
        agreement = Agreement(work, outputs_of(Variant(OURS, exact)) if wish.bf16 else None)
        yield table.measured(question, wish, "document", partial(Ours, work), partial(Theirs, work), agreement)


def _work(question: Question, wish: Wish) -> material.Work:
    folder = material.model_folder(question.model, wish.folder)
    if question.lengths is None:
        checked = question.rows
        request_batch = material.real_ask(question.name, question.rows, wish.precision)
    else:
        checked = -(-min(wish.check, question.check) // question.lengths.options)
        request_batch = material.synthetic_ask(
            question.name, question.lengths, max(question.rows, checked), wish.precision
        )
    return material.Work(folder, request_batch, checked, question.rows, question.part, wish.precision)


if __name__ == "__main__":
    table.run(__doc__, rows)
