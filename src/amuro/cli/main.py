"""The commands of `amuro`. Each imports what it needs when it is called, so that help and plans stay fast."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amuro.cli import json_output, paper, report
from amuro.cli.audit import audit
from amuro.cli.options import (
    ASSUMED_GPU,
    DEFAULT_STORE,
    AsJson,
    Device,
    Dtype,
    Gpu,
    Limit,
    Only,
    OutDir,
    Power,
    Seeds,
    StoreDir,
    StudyFile,
    Yes,
    leave,
    opened_store,
    planned,
    selected,  # fmt: skip
)
from amuro.cli.report import tell
from amuro.cli.running import ask_before_a_long_run, fill_with_progress, power_report
from amuro.core.errors import AmuroError, SeriesError, StudyError, nearest
from amuro.core.failures import unforeseen
from amuro.core.stopping import INTERRUPTED

if TYPE_CHECKING:
    pass

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="What did pre-training teach a language model, and what does fine-tuning reveal, add and destroy?\n\n"
    "A study is a grid of models and evaluation sets: `amuro run` fills its cells, `amuro report` prints findings. "
    "Exit codes: 0 done · 1 some cells failed · 2 study · 3 data · 4 weights · 5 store · 6 hub · "
    "130 interrupted · 143 SIGTERM.",
)
app.add_typer(audit, name="audit")

STUDIES = Path(__file__).parents[1] / "study" / "shipped"
"""Folder of the shipped studies."""

BEGIN = "name a command; to begin: amuro demo, or amuro init my_study.toml"
"""Printed when no command is given."""


def _tell_version(asked: bool) -> None:
    """Prints the installed versions and exits, if `--version` is given."""
    if asked:
        from amuro.core.versions import versions

        found = versions()
        typer.echo(f"amuro {found.pop('amuro')} ({', '.join(f'{name} {value}' for name, value in found.items())})")
        raise typer.Exit


@app.callback()
def amuro(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the installed versions and exit."),
    ] = False,
) -> None:
    """Takes the options before a command."""


@app.command()
def demo(store: StoreDir = DEFAULT_STORE, out: OutDir = None, seeds: Seeds = None) -> None:
    """Pre-trains a small language model from scratch, studies it, and prints the findings (about seven minutes).

    Example: `amuro demo`; with another world: `amuro demo --seed 7`
    """
    plan = planned(STUDIES / "demo.toml", None, None, None, seeds)
    opened = opened_store(store)
    failures = fill_with_progress(plan, opened, None)
    tell(plan, opened, out)
    leave(failures)


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("study.toml")) -> None:
    """Writes a commented study that runs as it stands.

    Example: `amuro init my_study.toml && amuro plan my_study.toml`
    """
    from amuro.study.config import write_first

    write_first(path)
    typer.echo(f"{path} written. Next: amuro plan {path}, amuro run {path}, amuro report {path}")


@app.command("plan")
def plan_verb(
    study: StudyFile, store: StoreDir = DEFAULT_STORE, only: Only = None, limit: Limit = None, device: Device = None,
    dtype: Dtype = None, seeds: Seeds = None, gpu: Gpu = ASSUMED_GPU, power: Power = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Prints models and cells: which are done, which would run and why, and the costs. Does not load torch.

    Example: `amuro plan studies/amuro_olmo1b.toml --gpu H100-80GB`; after a pilot: `amuro plan my_study.toml --power`
    """
    from amuro.cli import console
    from amuro.study.cost import GPUS
    from amuro.study.estimates import of_missing
    from amuro.study.series_audits import faults_of

    if gpu not in GPUS:
        raise StudyError(f"--gpu {gpu} is not known", cure=nearest(gpu, GPUS))
    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    cell_states = selected(plan, opened, only)
    (time, cost), faults = of_missing(plan, cell_states, opened, gpu), faults_of(plan, opened)
    if as_json:
        cells = [
            {"cell": s.cell.address, "model": s.cell.model.address, "role": plan.roles[s.cell.address], "done": s.done,
             "diverged": s.diverged, "why": s.reason} for s in cell_states
        ]  # fmt: skip
        output = {"study": plan.study.name, "cells": cells, "estimate": time.facts(), "arithmetic": cost.facts()}
        output |= {"faults": [dataclasses.asdict(f) for f in faults]}
        output |= {"power": dataclasses.asdict(power_report(plan, opened, study))} if power else {}
        json_output.write(output)
        return
    console.show_damage(opened)
    console.show_plan(plan, cell_states)
    console.show_estimate(time, cost, plan.study.device, gpu)
    console.show_faults(faults)
    if power:
        console.show_power(power_report(plan, opened, study))


@app.command()
def status(
    study: StudyFile, store: StoreDir = DEFAULT_STORE, limit: Limit = None, device: Device = None, dtype: Dtype = None,
    seeds: Seeds = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Prints the progress of a study: cells done and missing per model, and why cells failed.

    Use the same options as for `run`: cells with another --limit are different cells.

    Example: `amuro status studies/demo.toml`
    """
    from amuro.cli import console
    from amuro.study import status as stand

    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    cell_states = selected(plan, opened, None)
    failed = stand.failures(cell_states, opened)
    if as_json:
        json_output.write({"study": plan.study.name, **stand.facts(cell_states, failed)})
        return
    console.show_damage(opened)
    console.show_status(plan, cell_states, failed)
    limits = [] if any(s.done for s in cell_states) else stand.other_limits(plan, opened)
    if limits:
        typer.echo(f"there are cells with fewer rows: use --limit {limits[-1]}")


@app.command()
def run(
    study: StudyFile, store: StoreDir = DEFAULT_STORE, only: Only = None, limit: Limit = None, device: Device = None,
    dtype: Dtype = None, seeds: Seeds = None, yes: Yes = False,
) -> None:  # fmt: skip
    """Fills the missing cells. Ctrl-C is safe: finished cells stay, and the next run continues from there.

    Example: `amuro run studies/demo.toml --only task=world_inference`
    """
    from amuro.study import lock_file

    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    cell_states = selected(plan, opened, only)
    ask_before_a_long_run(plan, cell_states, opened, yes)
    if lock_file.lock(plan.study, study) != plan.study:  # revisions of a hub became commits
        plan = planned(study, limit, device, dtype, seeds)
        cell_states = selected(plan, opened, only)
    leave(fill_with_progress(plan, opened, cell_states))


report.add_to(app)
paper.add_to(app)


@app.command("list")
def list_verb(
    kind: Annotated[
        str, typer.Argument(help="tasks, formats, metrics, analyses, series, recipes, importers or exporters.")
    ],
) -> None:
    """Lists the plugins of a kind.

    Example: `amuro list tasks`
    """
    from amuro.cli import console
    from amuro.core import registry
    from amuro.study import config as study

    if kind == "recipes":
        console.show_recipes(study.recipes())
        return
    console.show_plugins(kind, registry.names(kind))


@app.command("run-model")
def run_model(
    study: StudyFile,
    model: Annotated[str, typer.Option("--model", help="Address of a model, from `plan --json`.")],
    store: StoreDir = DEFAULT_STORE, limit: Limit = None, device: Device = None, dtype: Dtype = None,
    seeds: Seeds = None,
) -> None:  # fmt: skip
    """Fills all missing cells of one model, in this process. For cluster jobs.

    Example: `amuro run-model studies/demo.toml --model world-1a2b3c@200`
    """
    from amuro.cli import console
    from amuro.run.runner import run as fill

    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    addresses = [m.address for m in plan.models]
    if model not in addresses:
        raise StudyError(f"study {plan.study.name} has no model {model}", cure=nearest(model, addresses))
    of_model = [state for state in selected(plan, opened, None) if state.cell.model.address == model]
    outcome = fill(plan, opened, lambda event: None, of_model, alone=True)
    if outcome.refused:
        raise SeriesError(outcome.refused[0])
    console.show_outcome(outcome.filled, list(outcome.failed.values()), outcome.diverged, outcome.elsewhere)
    leave(outcome.failures)


@app.command()
def check(plugin: Annotated[str, typer.Argument(help="Name of a plugin, or a dotted module.")]) -> None:
    """Runs the contract tests of a plugin, shipped or your own: a task, a format, an analysis, an exporter …

    Example: `amuro check my_lab.tasks.hate`
    """
    from amuro.cli.check import check_plugin

    for line in check_plugin(plugin):
        typer.echo(line)


def main() -> None:
    """Runs a command and ends the process. An error is one sentence on standard error, never a traceback."""
    try:
        code = app(standalone_mode=False)  # what `typer.Exit` carries comes back as a value
    except AmuroError as error:
        code = _say(str(error), error.exit_code)
    except typer.Abort:
        code = _say("nothing was started", INTERRUPTED)
    except Exception as error:
        shown = getattr(error, "format_message", None)  # a usage error of the command line; without words after help
        code = _say(shown() or BEGIN, StudyError.exit_code) if shown else _say(unforeseen(error), AmuroError.exit_code)
    sys.exit(code)


def _say(sentence: str, code: int) -> int:
    """Prints a sentence on standard error; returns the exit code."""
    typer.echo(f"amuro: {sentence}", err=True)
    return code
