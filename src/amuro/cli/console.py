"""What the verbs print. Nothing is computed here."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from amuro.core.failures import counted
from amuro.core.types import Finding
from amuro.study.plan import Plan
from amuro.study.status import State, diverged_models, reasons

if TYPE_CHECKING:
    from amuro.results.flags import Flag
    from amuro.results.power import PowerReport
    from amuro.results.stats.power import Design
    from amuro.run.preflight.dataset_audit import TaskAudit
    from amuro.series._audit.issue import AuditIssue
    from amuro.study.cost import Costs
    from amuro.study.estimates import Estimate
    from amuro.study.series_audits import Audit
    from amuro.study.store import Store

console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
VERDICT_STYLE = {"supported": "bold green", "refuted": "bold red", "open": "bold yellow"}
LEVEL_STYLE = {"refused": "bold red", "doubtful": "bold yellow", "note": "dim"}
REASONS_SHOWN = 8


class Progress:
    """One display over the whole grid. On a screen bars; elsewhere a line for each model."""

    def __init__(self, plan: Plan, found: Sequence[State]) -> None:
        missing = [s.cell for s in found if s.missing]
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
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
                console.print("[yellow]note[/] another run fills this store too: what it is at is left to it")
            case "doubt":
                console.print(f"[yellow]doubtful[/] {event['job']}: {event['error']}")

    def _cell(self, address: str) -> None:
        self._filled += 1
        self._bars.advance(self._cells)
        model = address.partition("|")[0]
        self._left[model] -= 1
        if self._left[model] == 0 and self._bars.disable:
            self._line(f"{model} done")

    def _bar(self, text: str, what: str, event: Mapping[str, Any]) -> None:
        done, total = event["done"], event["total"]
        if self._bars.disable:
            if what == "pretrain" and (done == total or done % max(total // 10, 1) == 0):
                self._line(f"{text}: step {done} of {total}")
            return
        if what not in self._others:
            self._others[what] = self._bars.add_task(text, total=total)
        self._bars.update(self._others[what], description=text, completed=done, total=total)

    def _line(self, text: str) -> None:
        seconds = time.monotonic() - self._started
        left = f", about {seconds / self._filled * (self._total - self._filled):.0f} s left" if self._filled else ""
        console.print(f"{self._filled:>5}/{self._total} cells  {seconds:>5.0f} s{left}  {text}")
        console.file.flush()  # a file or a pipe would hold the lines back for minutes


def show_plan(plan: Plan, found: Sequence[State]) -> None:
    """Models, cells by role, what would run and why."""
    missing = [s for s in found if s.missing]
    models, lost = {state.cell.model for state in found}, sum(state.diverged for state in found)
    console.print(f"[bold]{plan.study.name}[/]: {plan.study.question}")
    console.print(
        f"{len({model.checkpoint for model in models})} checkpoints, {sum(m.recipe is not None for m in models)} tuned "
        f"models, {len(found)} cells: {sum(s.done for s in found)} done, {len(missing)} to fill"
        + (f", {lost} without a result: their training diverged" if lost else "")
    )
    table = Table("role", "cells", "done", box=None, padding=(0, 2))
    for role, cells in sorted(Counter(plan.roles[s.cell.address] for s in found).items()):
        table.add_row(role, str(cells), str(sum(s.done for s in found if plan.roles[s.cell.address] == role)))
    console.print(table)
    for reason, cells in reasons(list(found)).most_common(REASONS_SHOWN):
        console.print(f"  {cells} because: {reason}", markup=False)
    waiting = len({s.cell.model for s in missing if s.cell.model.recipe and s.cell.model.learning_rate is None})
    if waiting:
        console.print(f"{waiting} models wait for the choice of their learning rate on the dev split")


def show_estimate(time: Estimate, cost: Costs, device: str, gpu: str) -> None:
    """How long the missing cells take, and what that is made of."""
    if not cost.works:
        return
    what = "core" if device == "cpu" else "GPU"
    parts = {"asking": time.asking_seconds, "tuning": time.tuning_seconds, "pre-training": time.pretraining_seconds}
    of = ", ".join(f"{name} {_minutes(seconds)}" for name, seconds in parts.items() if seconds)
    by = (
        f"by {time.measured} of {time.model_jobs} model jobs that are like earlier ones"
        if time.measured
        else "at assumed speeds"
    )
    console.print(f"estimate: ~{_minutes(time.seconds)} {what} minutes ({of}; {by})")
    if cost.flops:
        console.print(
            f"~{_millions(cost.read_tokens)} tokens read, at most ~{_millions(cost.written_tokens)} written, "
            f"~{_millions(cost.learned_tokens)} learned from; ~{cost.flops:.1e} FLOPs, "
            f"~{cost.gpu_hours(gpu):,.2g} hours on one {gpu}; "
            f"~{_gigabytes(cost.disk_mb)} of predictions, ~{_gigabytes(cost.download_mb)} to download"
        )
    if cost.unknown:
        console.print(f"not counted, since their size is not known: {', '.join(cost.unknown)}")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f}" if seconds > 600 else f"{seconds / 60:.1f}"


def _millions(tokens: float) -> str:
    return f"{tokens / 1e6:,.0f} M" if tokens >= 1e7 else f"{tokens / 1e6:.1f} M"


def _gigabytes(megabytes: float) -> str:
    return f"{megabytes / 1e3:,.1f} GB" if megabytes >= 1e3 else f"{megabytes:.0f} MB"


def show_faults(faults: Sequence[AuditIssue]) -> None:
    """What the audits of series say of the checkpoints: refused, doubtful, or a note."""
    for fault in faults:
        console.print(Text.assemble((fault.level, LEVEL_STYLE[fault.level]), f"  {fault.name}: {fault}"))


def show_audit(audit: Audit) -> None:
    """One audited series: its checkpoints (with the cosine to the one before), what was found, what was not seen."""
    subject = audit.subject
    console.print(f"[bold]{subject.name}[/]: {len(subject.checkpoints)} checkpoints ({subject.kind.name})")
    weights = {row["checkpoint"]: row for row in audit.weights}
    table = Table("checkpoint", "tokens", "FLOPs", "MB", "norm", "cosine", box=None, padding=(0, 2))
    for row in audit.facts()["checkpoints"]:
        own = weights.get(row["checkpoint"], {})
        megabytes = None if row["bytes"] is None else row["bytes"] / 1e6
        numbers = row["tokens"], row["flops"], megabytes, own.get("norm"), own.get("cosine_to_previous")
        table.add_row(row["checkpoint"], *(_number(value) for value in numbers))
    console.print(table)
    show_faults(audit.faults)
    for reason in audit.unchecked:
        console.print(f"not checked  {reason}", markup=False)
    if not audit.faults:
        console.print("nothing found")


def show_power(found: PowerReport) -> None:
    """What each tuned task's gain could be seen of, and what an effect of δ would need."""
    for one in found.sights:
        more = [f"{one.rows_needed:,} rows"] if one.rows_needed else []
        more += [f"{one.seeds_needed} seeds"] if one.seeds_needed else []
        beyond = f" (the set has {one.available:,})" if one.available and one.beyond else ""
        console.print(
            f"[bold]{one.recipe} → {one.name}[/]  a gain of {one.detectable:.3f} ({one.low:.3f} to {one.high:.3f}) is "
            f"detectable with {_design(one.planned)}; δ = {one.delta:.3f} needs {' or '.join(more) or 'another design'}"
            f"{beyond}; pilot: {_design(one.pilot)}"
        )
    for line in found.notes:
        console.print(line, markup=False)


def _design(of: Design) -> str:
    return f"{of.rows:,} rows in {of.clusters} clusters and {of.seeds} seed{'' if of.seeds == 1 else 's'}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def show_status(plan: Plan, found: Sequence[State], failed: Mapping[str, str]) -> None:
    """Cells done for each model, what diverged, and why what failed did."""
    table = Table("model", "done", "of", box=None, padding=(0, 2))
    for model in plan.models:
        own = [s for s in found if s.cell.model == model]
        if own:
            table.add_row(model.address, str(sum(s.done for s in own)), str(len(own)))
    console.print(table)
    console.print(f"{sum(s.done for s in found)} of {len(found)} cells done")
    show_gaps(found, failed)


def show_gaps(found: Sequence[State], failed: Mapping[str, str]) -> None:
    """Why cells have no result: what diverged, and the reasons of what failed, each once with its count."""
    show_diverged({model.address: f"{how} ({cells} cells)" for model, (how, cells) in diverged_models(found).items()})
    show_failures(list(failed.values()))


def show_diverged(models: Mapping[str, str]) -> None:
    """One line a model whose training diverged."""
    for address, how in list(models.items())[:REASONS_SHOWN]:
        console.print(f"[yellow]diverged[/] {escape(address)}: {escape(how)}")
    if len(models) > REASONS_SHOWN:
        console.print(f"… {len(models)} trainings diverged in all")


def show_failures(reasons: Sequence[str]) -> None:
    """How many failed, and each distinct reason with its count."""
    if reasons:
        console.print(f"{len(reasons)} failed:")
    for line in counted(reasons, REASONS_SHOWN):
        console.print(f"  {line}", markup=False)


def show_outcome(filled: int, failed: Sequence[str], diverged: Mapping[str, str], elsewhere: int = 0) -> None:
    """What a run did, and why what it left out is missing. elsewhere: cells that other runs have filled meanwhile."""
    more = f", {len(diverged)} trainings diverged" if diverged else ""
    others = f" (and {elsewhere} by other runs)" if elsewhere else ""
    console.print(f"{filled} cells filled{others}, {len(failed)} failed{more}")
    for line in counted(failed, REASONS_SHOWN):
        console.print(f"  {line}", markup=False)


def show_damage(store: Store) -> None:
    """What was found damaged and is left out."""
    for text in store.told():
        console.print(Text.assemble(("damaged", "yellow"), f" {text}"))


def show_shortfall(sentence: str) -> None:
    """At the head of what a report says: how many of the planned cells it stands on, where it is not all."""
    if sentence:
        console.print(Text(sentence, "bold yellow"))


def show_findings(findings: Sequence[Finding], flags: Sequence[Flag]) -> None:
    """Each finding as a sentence with its verdict, then the failure signatures by name."""
    several = len({finding.series for finding in findings}) > 1
    for analysis in dict.fromkeys(f.analysis for f in findings):
        console.print(f"\n[bold]{analysis.replace('_', ' ')}[/]")
        for finding in (f for f in findings if f.analysis == analysis):
            state = "" if finding.evidence == "measured" else f" ({finding.evidence})"
            state += f"  {finding.series}:" if several else ""
            console.print(
                Text.assemble("  ", (finding.verdict, VERDICT_STYLE[finding.verdict]), f"{state}  {finding.statement}")
            )
    counts = Counter(flag.name for flag in flags)
    if counts:
        console.print("\n[bold]flags[/]  " + " · ".join(f"{name}: {n}" for name, n in counts.most_common()))


def show_task_audits(audits: Sequence[TaskAudit], refused: Mapping[str, str]) -> None:
    """One line a set with its figures, its notes beneath it, and what is refused."""
    heads = ("rows", "clusters", "chance", "majority", "constant", "in train", "words")
    table = Table("set", *heads, box=None, padding=(0, 1))
    table.columns[0].no_wrap = True
    for found in audits:
        shares = (found.chance, found.majority, found.constant)
        table.add_row(
            f"{found.task}/{found.split}", f"{found.rows:,}", f"{found.clusters:,}",
            *("–" if share is None else f"{share:.2f}" for share in shares),
            f"{found.overlap:.1%}", f"{found.mean_words:.0f}",
        )  # fmt: skip
    console.print(table)
    for found in audits:
        for line in found.lines():
            console.print(f"{found.task}/{found.split}: {line}", markup=False)
        for note in found.notes:
            console.print(f"{found.task}/{found.split}: [bold]{note.name}[/]: {escape(note.detail)}")
    for name, why in refused.items():
        console.print(f"[red]refused[/] {name}: {escape(why)}")


def show_recipes(recipes: Mapping[str, Path]) -> None:
    """Each recipe with the first sentence of its file, which says what it is."""
    from amuro.core.registry import first_sentence

    for name, path in recipes.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        head = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
        console.print(f"{name:<24} {first_sentence(head)}", markup=False)


def show_plugins(kind: str, names: Sequence[str]) -> None:
    """The plugins of a kind with what they are, one a line."""
    from amuro.core import registry

    for name in names:
        console.print(f"{name:<24} {registry.described(kind, name)}", markup=False)
