"""What costs before the first token: process starts beside those of the peers, and a cell in a live process.

CPU seconds of a whole process, children included, all looping side by side on one core. A cell in a live process is
one tiny ask to a loaded engine with everything around it: wording, encoding, scoring, a synced commit to the store.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import table
from side_by_side import Done, Variant, measure, timed
from table import OURS, THEIRS, Row, Wish

STUDY = """
name = "one_cell"
world_seed = 1
dev_limit = 10
[series.made]
kind = "folder"
path = "{folder}"
[[evaluate]]
models = ["base"]
sets = ["world_corpus/test"]
limit = 1
"""
CELL_LIMIT = 0.2
"""CPU seconds beside arithmetic that a cell may take."""


@dataclass(frozen=True)
class Start:
    """A program of this Python."""

    words: tuple[str, ...]
    flops = 0.0

    def outputs(self) -> None:
        """A program that fails stops the benchmark here, and files are read once before anything is timed."""
        self.once()

    def once(self) -> Done:
        before = _children()
        subprocess.run([sys.executable, *self.words], check=True, capture_output=True)
        return Done(1, _children() - before)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


PAIRS: tuple[tuple[str, tuple[str, ...], str, tuple[str, ...]], ...] = (
    ("amuro --help", ("-m", "amuro", "--help"), "lm_eval --help", ("-m", "lm_eval", "--help")),
    ("amuro list tasks", ("-m", "amuro", "list", "tasks"), "lm_eval ls tasks", ("-m", "lm_eval", "ls", "tasks")),
    ("import the engine", ("-c", "import amuro.engine.torch"), "import Trainer and lm_eval's hf model",
     ("-c", "from transformers import Trainer; from lm_eval.models.huggingface import HFLM")),
)  # fmt: skip


class LiveCell:
    """The same cell again and again in a live process, each time into the store anew."""

    flops = 0.0

    def __init__(self, folder: Path) -> None:
        import tomllib

        from amuro.engine.torch import TorchEngine
        from amuro.run.worker import Worker
        from amuro.study import config as studies
        from amuro.study import plan as planning
        from amuro.study.store import Store

        plan = planning.make(studies.parse(tomllib.loads(STUDY.format(folder=folder))))
        self._store, self._cells = Store(Path(tempfile.mkdtemp())), list(plan.cells_by_model().items())
        self._worker = Worker(plan, self._store, TorchEngine("float32", "cpu", 1), lambda _event: None)

    def outputs(self) -> None:
        """The first model job loads."""
        self.once()

    def once(self) -> Done:
        import shutil

        shutil.rmtree(self._store.root / "cells")
        (self._store.root / "cells").mkdir()
        return timed(sum(len(cells) for _, cells in self._cells), self._run_models)

    def _run_models(self) -> None:
        for model, cells in self._cells:
            self._worker.run_model(model, cells)


class Arithmetic:
    """What the engine computes for that cell, alone."""

    flops = 0.0

    def __init__(self, folder: Path) -> None:
        live: Any = LiveCell(folder)
        live.outputs()
        worker = live._worker
        self._asks = [
            request_batch
            for _, cells in live._cells
            for cell in cells
            for request_batch, _ in worker._builder.encoded(
                cell, worker._checkpoint.encoder(), worker.engine.context_length()
            ).batches(cell)
        ]
        self._engine, self._cells = worker.engine, sum(len(cells) for _, cells in live._cells)

    def outputs(self) -> None:
        """Nothing to compare."""

    def once(self) -> Done:
        return timed(self._cells, lambda: [self._engine.score(request_batch) for request_batch in self._asks])


def rows(wish: Wish) -> Iterator[Row]:
    """Each start beside the peer's, then the live cell beside its arithmetic."""
    if wish.bf16:
        return
    for name, words, peer, their_words in PAIRS:
        if wish.wants(name, "process"):
            ours, theirs = Variant(OURS, partial(Start, words)), Variant(THEIRS, partial(Start, their_words))
            costs = measure([ours, theirs], _nothing, wish.rounds)
            yield table.compared(costs, name, "process", "start", None, f"beside {peer}")
    if wish.wants("a cell in a live process", "process"):
        yield _live_cell(wish)


def _live_cell(wish: Wish) -> Row:
    import material

    folder = material.model_folder("S", wish.folder)
    variants = [Variant(OURS, partial(LiveCell, folder)), Variant("arithmetic", partial(Arithmetic, folder))]
    costs = measure(variants, _nothing, wish.rounds)
    ours, arithmetic = costs.mean(OURS), costs.mean("arithmetic")
    missed = "" if ours - arithmetic <= CELL_LIMIT else " MISSED"
    note = f"beside arithmetic {ours - arithmetic:.3f} s a cell, at most {CELL_LIMIT:g} s{missed}"
    whole = costs.ratio("arithmetic", OURS)
    return Row("a cell in a live process", "S", whole, ours, arithmetic, "cell", None, None, note)


def _nothing(_outputs: object) -> None:
    """Pairs of programs have no common output."""


if __name__ == "__main__":
    table.run(__doc__, rows)
