"""What a benchmark prints: one row a question, and the arguments that all benchmarks share."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import material
from side_by_side import ROOFLINE, Costs, Interval, Job, Matmul, Variant, measure

OURS, THEIRS = "amuro", "peer"


class Agreement(Protocol):
    """Raises UnequalError unless the outputs of both sides are equal; says what it saw."""

    note: str

    def __call__(self, outputs: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Row:
    """One question asked of both sides."""

    question: str
    model: str
    ratio: Interval
    ours: float
    """CPU seconds a unit."""
    theirs: float
    unit: str
    target: float | None = None
    """The lower end of the ratio should be at least this."""
    share: Interval | None = None
    """Of the roofline."""
    note: str = ""

    def __str__(self) -> str:
        share = f"{self.share.value:4.0%}" if self.share else "   –"
        aim = f"≥ {self.target:g}" if self.target else ""
        return (
            f"{self.question:<34} {self.model:<8} {self.ratio.low:6.2f} .. {self.ratio.high:6.2f}  {aim:<7}"
            f" ours {self.ours * 1e3:9.2f} ms  theirs {self.theirs * 1e3:9.2f} ms a {self.unit:<9}"
            f" roofline {share}  {self.note}"
        )


@dataclass(frozen=True)
class Wish:
    """How a run of the benchmarks is wanted."""

    rounds: int
    check: int
    """Requests (texts, steps) a question whose outputs are compared."""
    bf16: bool
    real: bool
    """Whether the real model and rows take part."""
    only: tuple[str, ...]
    """Words one of which must be in `question model`; none means all."""
    folder: Path
    """For models that are made."""

    def wants(self, *words: str) -> bool:
        label = " ".join(words)
        return not self.only or any(word in label for word in self.only)

    @property
    def precision(self) -> str:
        return "bfloat16" if self.bf16 else "float32"


def compared(costs: Costs, question: str, model: str, unit: str, target: float | None = None, note: str = "") -> Row:
    """The row of a question that was measured with OURS and THEIRS side by side."""
    return Row(
        question,
        model,
        costs.ratio(THEIRS, OURS),
        costs.mean(OURS),
        costs.mean(THEIRS),
        unit,
        target,
        costs.roofline_share(OURS) if costs.flops[OURS] else None,
        note,
    )


@dataclass(frozen=True)
class Targets:
    """What the lower end of a ratio should reach at least."""

    float32: float | None = None
    bfloat16: float | None = None


NO_TARGETS = Targets()


class Question(Protocol):
    """What every kind of question says of itself."""

    name: str
    model: str
    targets: Targets


Asked = TypeVar("Asked", bound=Question)


def wanted(questions: Iterable[Asked], wish: Wish) -> Iterator[Asked]:
    """Those that are wished for and can be asked here."""
    for question in questions:
        real = question.model == material.REAL
        if wish.wants(question.name, question.model) and (not real or (wish.real and material.has_real())):
            yield question


def measured(
    question: Question,
    wish: Wish,
    unit: str,
    ours: Callable[[], Job],
    theirs: Callable[[], Job],
    agreement: Agreement,
) -> Row:
    """Both sides and the roofline side by side, once `agreement` found their outputs equal."""
    variants = [
        Variant(OURS, ours),
        Variant(THEIRS, theirs),
        Variant(ROOFLINE, partial(Matmul, wish.precision)),
    ]
    costs = measure(variants, agreement, wish.rounds)
    model = question.model + (" bf16" if wish.bf16 else "")
    target = question.targets.bfloat16 if wish.bf16 else question.targets.float32
    return compared(costs, question.name, model, unit, target, agreement.note)


def parser(about: str | None) -> argparse.ArgumentParser:
    """Arguments of every benchmark."""
    found = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    found.add_argument("--rounds", type=int, default=8, help="rounds a question")
    found.add_argument("--check", type=int, default=1000, help="requests a question whose outputs are compared")
    found.add_argument("--bf16", action="store_true", help="bfloat16; judged by the distance to float32")
    found.add_argument("--no-real", action="store_true", help="leave out the real model and rows (see `make real`)")
    found.add_argument("--question", nargs="*", default=(), metavar="WORD", help="only questions with such a word")
    return found


def wish(given: argparse.Namespace, folder: Path) -> Wish:
    return Wish(given.rounds, given.check, given.bf16, not given.no_real, tuple(given.question), folder)


def run(about: str | None, rows: Callable[[Wish], Iterable[Row]]) -> None:
    """A benchmark as a program: prints its rows as they come."""
    given = parser(about).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        list(shown(rows(wish(given, Path(folder)))))


def shown(rows: Iterable[Row]) -> Iterator[Row]:
    """Prints each row as it passes."""
    for row in rows:
        print(row, flush=True)
        yield row
