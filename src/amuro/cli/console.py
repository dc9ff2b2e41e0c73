"""Prints the results of the commands. Nothing is computed here."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
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
"""Distinct reasons that are printed."""


def show_plan(plan: Plan, cell_states: Sequence[State]) -> None:
    """Prints models, cells by role, and how many cells would run for which reason."""
    missing = [s for s in cell_states if s.missing]
    models, diverged = {state.cell.model for state in cell_states}, sum(state.diverged for state in cell_states)
    console.print(f"[bold]{plan.study.name}[/]: {plan.study.question}")
    console.print(
        f"{len({model.checkpoint for model in models})} checkpoints, {sum(m.recipe is not None for m in models)} tuned "
        f"models, {len(cell_states)} cells: {sum(s.done for s in cell_states)} done, {len(missing)} to fill"
        + (f", {diverged} without a result: their training diverged" if diverged else "")
    )
    table = Table("role", "cells", "done", box=None, padding=(0, 2))
    for role, cells in sorted(Counter(plan.roles[s.cell.address] for s in cell_states).items()):
        table.add_row(role, str(cells), str(sum(s.done for s in cell_states if plan.roles[s.cell.address] == role)))
    console.print(table)
    for reason, cells in reasons(list(cell_states)).most_common(REASONS_SHOWN):
        console.print(f"  {cells} because: {reason}", markup=False)
    waiting = len({s.cell.model for s in missing if s.cell.model.recipe and s.cell.model.learning_rate is None})
    if waiting:
        console.print(f"{waiting} models wait for the choice of their learning rate on the dev split")


def show_estimate(time: Estimate, cost: Costs, device: str, gpu: str) -> None:
    """Prints how long the missing cells take and their costs."""
    if not cost.works:
        return
    what = "core" if device == "cpu" else "GPU"
    parts = {"evaluation": time.asking_seconds, "tuning": time.tuning_seconds, "pre-training": time.pretraining_seconds}
    breakdown = ", ".join(f"{name} {_minutes(seconds)}" for name, seconds in parts.items() if seconds)
    basis = (
        f"by {time.measured} of {time.model_jobs} model jobs similar to earlier ones"
        if time.measured
        else "at assumed speeds"
    )
    console.print(f"estimate: ~{_minutes(time.seconds)} {what} minutes ({breakdown}; {basis})")
    if cost.flops:
        console.print(
            f"~{_millions(cost.read_tokens)} prompt tokens, at most ~{_millions(cost.written_tokens)} generated, "
            f"~{_millions(cost.learned_tokens)} training tokens; ~{cost.flops:.1e} FLOPs, "
            f"~{cost.gpu_hours(gpu):,.2g} hours on one {gpu}; "
            f"~{_gigabytes(cost.disk_mb)} of predictions, ~{_gigabytes(cost.download_mb)} to download"
        )
    if cost.unknown:
        console.print(f"not counted because their size is unknown: {', '.join(cost.unknown)}")


def _minutes(seconds: float) -> str:
    """Returns seconds in minutes."""
    return f"{seconds / 60:,.0f}" if seconds > 600 else f"{seconds / 60:.1f}"


def _millions(tokens: float) -> str:
    """Returns tokens in millions."""
    return f"{tokens / 1e6:,.0f} M" if tokens >= 1e7 else f"{tokens / 1e6:.1f} M"


def _gigabytes(megabytes: float) -> str:
    """Returns megabytes in MB or GB."""
    return f"{megabytes / 1e3:,.1f} GB" if megabytes >= 1e3 else f"{megabytes:.0f} MB"


def show_faults(faults: Sequence[AuditIssue]) -> None:
    """Prints the issues that series audits found."""
    for fault in faults:
        console.print(Text.assemble((fault.level, LEVEL_STYLE[fault.level]), f"  {fault.name}: {fault}"))


def show_audit(audit: Audit) -> None:
    """Prints one series audit: its checkpoints (with the cosine to the update before), issues, what
    was not checked.
    """
    subject = audit.subject
    console.print(f"[bold]{subject.name}[/]: {len(subject.checkpoints)} checkpoints ({subject.kind.name})")
    weights = {row["checkpoint"]: row for row in audit.weights}
    table = Table("checkpoint", "tokens", "FLOPs", "MB", "norm", "cosine", box=None, padding=(0, 2))
    for row in audit.facts()["checkpoints"]:
        norms = weights.get(row["checkpoint"], {})
        megabytes = None if row["bytes"] is None else row["bytes"] / 1e6
        numbers = row["tokens"], row["flops"], megabytes, norms.get("norm"), norms.get("cosine_to_previous")
        table.add_row(row["checkpoint"], *(_number(value) for value in numbers))
    console.print(table)
    show_faults(audit.faults)
    for reason in audit.unchecked:
        console.print(f"not checked  {reason}", markup=False)
    if not audit.faults:
        console.print("nothing found")


def show_power(found: PowerReport) -> None:
    """Prints each tuned task's minimum detectable gain, and the design that an effect of δ needs."""
    for row in found.sights:
        more = [f"{row.rows_needed:,} rows"] if row.rows_needed else []
        more += [f"{row.seeds_needed} seeds"] if row.seeds_needed else []
        beyond = f" (the set has {row.available:,})" if row.available and row.beyond else ""
        console.print(
            f"[bold]{row.recipe} → {row.name}[/]  a gain of {row.detectable:.3f} ({row.low:.3f} to {row.high:.3f}) is "
            f"detectable with {_design(row.planned)}; δ = {row.delta:.3f} needs {' or '.join(more) or 'another design'}"
            f"{beyond}; pilot: {_design(row.pilot)}"
        )
    for line in found.notes:
        console.print(line, markup=False)


def _design(of: Design) -> str:
    """Returns rows, clusters and seeds of a design in words."""
    return f"{of.rows:,} rows in {of.clusters} clusters and {of.seeds} seed{'' if of.seeds == 1 else 's'}"


def _number(value: float | None) -> str:
    """Returns a number with four digits; '' for None."""
    return "" if value is None else f"{value:.4g}"


def show_status(plan: Plan, cell_states: Sequence[State], failed: Mapping[str, str]) -> None:
    """Prints the done cells of each model, divergences and the reasons of failures."""
    table = Table("model", "done", "of", box=None, padding=(0, 2))
    for model in plan.models:
        of_model = [s for s in cell_states if s.cell.model == model]
        if of_model:
            table.add_row(model.address, str(sum(s.done for s in of_model)), str(len(of_model)))
    console.print(table)
    console.print(f"{sum(s.done for s in cell_states)} of {len(cell_states)} cells done")
    show_gaps(cell_states, failed)


def show_gaps(cell_states: Sequence[State], failed: Mapping[str, str]) -> None:
    """Prints why cells have no result: divergences, and each distinct failure with its count."""
    show_diverged(
        {model.address: f"{how} ({cells} cells)" for model, (how, cells) in diverged_models(cell_states).items()}
    )
    show_failures(list(failed.values()))


def show_diverged(models: Mapping[str, str]) -> None:
    """Prints one line per model whose training diverged."""
    for address, how in list(models.items())[:REASONS_SHOWN]:
        console.print(f"[yellow]diverged[/] {escape(address)}: {escape(how)}")
    if len(models) > REASONS_SHOWN:
        console.print(f"… {len(models)} trainings diverged in all")


def show_failures(reasons: Sequence[str]) -> None:
    """Prints the number of failures and each distinct reason with its count."""
    if reasons:
        console.print(f"{len(reasons)} failed:")
    for line in counted(reasons, REASONS_SHOWN):
        console.print(f"  {line}", markup=False)


def show_outcome(filled: int, failed: Sequence[str], diverged: Mapping[str, str], elsewhere: int = 0) -> None:
    """Prints what a run did and why cells are missing. `elsewhere`: cells that other runs filled meanwhile."""
    more = f", {len(diverged)} trainings diverged" if diverged else ""
    others = f" (and {elsewhere} by other runs)" if elsewhere else ""
    console.print(f"{filled} cells filled{others}, {len(failed)} failed{more}")
    for line in counted(failed, REASONS_SHOWN):
        console.print(f"  {line}", markup=False)


def show_damage(store: Store) -> None:
    """Prints the damaged results of a store that were not reported yet."""
    for text in store.told():
        console.print(Text.assemble(("damaged", "yellow"), f" {text}"))


def show_shortfall(sentence: str) -> None:
    """Prints how many of the planned cells a report is based on, if not all."""
    if sentence:
        console.print(Text(sentence, "bold yellow"))


def show_findings(findings: Sequence[Finding], flags: Sequence[Flag]) -> None:
    """Prints each finding as a sentence with its verdict, then the counts of flags."""
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
    """Prints one line per evaluation set with its figures, its facts and notes, and refused sets."""
    heads = ("rows", "clusters", "chance", "majority", "constant", "in train", "words")
    table = Table("set", *heads, box=None, padding=(0, 1))
    table.columns[0].no_wrap = True
    for audit in audits:
        shares = (audit.chance, audit.majority, audit.constant)
        table.add_row(
            f"{audit.task}/{audit.split}", f"{audit.rows:,}", f"{audit.clusters:,}",
            *("–" if share is None else f"{share:.2f}" for share in shares),
            f"{audit.overlap:.1%}", f"{audit.mean_words:.0f}",
        )  # fmt: skip
    console.print(table)
    for audit in audits:
        for line in audit.lines():
            console.print(f"{audit.task}/{audit.split}: {line}", markup=False)
        for note in audit.notes:
            console.print(f"{audit.task}/{audit.split}: [bold]{note.name}[/]: {escape(note.detail)}")
    for name, why in refused.items():
        console.print(f"[red]refused[/] {name}: {escape(why)}")


def show_recipes(recipes: Mapping[str, Path]) -> None:
    """Prints each recipe with the first sentence of its file."""
    from amuro.core.registry import first_sentence

    for name, path in recipes.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        head = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
        console.print(f"{name:<24} {first_sentence(head)}", markup=False)


def show_plugins(kind: str, names: Sequence[str]) -> None:
    """Prints each plugin of a kind with its description."""
    from amuro.core import registry

    for name in names:
        console.print(f"{name:<24} {registry.described(kind, name)}", markup=False)
