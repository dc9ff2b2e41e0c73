"""Shows the events of a run while it goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from amuro.cli.console import console
from amuro.study.plan import Plan
from amuro.study.status import State


class Progress:
    """A progress display over all cells: bars on a terminal, elsewhere one line per model."""

    def __init__(self, plan: Plan, cell_states: Sequence[State]) -> None:
        """`cell_states`: the states of the cells that the run may fill."""
        missing = [s.cell for s in cell_states if s.missing]
        self._left = Counter(cell.model.address for cell in missing)
        self._total, self._filled, self._started = len(missing), 0, time.monotonic()
        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), console=console, disable=not console.is_terminal or not missing,
        )  # fmt: skip
        self._cells = self._bars.add_task("cells", total=max(self._total, 1))
        self._others: dict[str, Any] = {}
        self._told: set[str] = set()
        self._waits = False

    def __enter__(self) -> Progress:
        """Starts the display."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the display."""
        self._bars.stop()

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Shows one event of a run."""
        match event["event"]:
            case "cell" | "there":
                self._cell(event["cell"])
            case "pretrain":
                self._bar(f"pre-training {event['series']} (loss {event['loss']:.2f})", "pretrain", event)
            case "step":
                self._bar(f"tuning {event['model']} (loss {event['loss']:.2f})", "tune", event)
            case "failed" | "lost" if event["error"] not in self._told:  # all are counted in the end
                self._told.add(event["error"])
                console.print(f"[red]failed[/] {escape(event.get('cell') or event['job'])}: {escape(event['error'])}")
            case "diverged":
                console.print(f"[yellow]diverged[/] {event['model']}: {event['text']}")
            case "remark":
                console.print(f"[yellow]note[/] {event['job']}: {event['text']}")
            case "damaged":
                console.print(Text.assemble(("damaged", "yellow"), f" {event['text']}"))
            case "waits" if not self._waits:
                self._waits = True
                console.print("[yellow]note[/] another run fills this store too: its cells are left to it")
            case "doubt":
                console.print(f"[yellow]doubtful[/] {event['job']}: {event['error']}")

    def _cell(self, address: str) -> None:
        """Counts a filled cell."""
        self._filled += 1
        self._bars.advance(self._cells)
        model = address.partition("|")[0]
        self._left[model] -= 1
        if self._left[model] == 0 and self._bars.disable:
            self._line(f"{model} done")

    def _bar(self, text: str, what: str, event: Mapping[str, Any]) -> None:
        """Shows the steps of a training, as a bar or as ten lines."""
        done, total = event["done"], event["total"]
        if self._bars.disable:
            if what == "pretrain" and (done == total or done % max(total // 10, 1) == 0):
                self._line(f"{text}: step {done} of {total}")
            return
        if what not in self._others:
            self._others[what] = self._bars.add_task(text, total=total)
        self._bars.update(self._others[what], description=text, completed=done, total=total)

    def _line(self, text: str) -> None:
        """Prints a line with elapsed and estimated time."""
        seconds = time.monotonic() - self._started
        left = f", about {seconds / self._filled * (self._total - self._filled):.0f} s left" if self._filled else ""
        console.print(f"{self._filled:>5}/{self._total} cells  {seconds:>5.0f} s{left}  {text}")
        console.file.flush()  # a file or a pipe would hold the lines back for minutes
