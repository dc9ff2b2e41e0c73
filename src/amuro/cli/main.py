"""The verbs. Each imports what it needs when it is called, so that help and plans stay quick."""

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
from amuro.core.errors import AmuroError, SeriesError, StudyError, nearest
from amuro.core.failures import unforeseen
from amuro.core.stopping import INTERRUPTED

if TYPE_CHECKING:
    from amuro.results.power import PowerReport
    from amuro.study.plan import Plan
    from amuro.study.status import State
    from amuro.study.store import Store

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="What did pre-training teach a language model, and what does fine-tuning reveal, add and destroy?\n\n"
    "A study is a grid of models and questions; `amuro run` fills its cells, `amuro report` says what they show. "
    "Exit codes: 0 done · 1 some cells failed · 2 study · 3 data · 4 weights · 5 store · 6 hub · "
    "130 interrupted · 143 SIGTERM.",
)
app.add_typer(audit, name="audit")

STUDIES = Path(__file__).parents[1] / "study" / "shipped"

BEGIN = "name a command; to begin: amuro demo, or amuro init my_study.toml"

LONG_RUN_SECONDS = 6 * 3600
"""From which on a run is announced before it starts."""


def _tell_version(asked: bool) -> None:
    if asked:
        from amuro.core.versions import versions

        found = versions()
        typer.echo(f"amuro {found.pop('amuro')} ({', '.join(f'{name} {value}' for name, value in found.items())})")
        raise typer.Exit


@app.callback()
def amuro(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Says what is installed, and ends.")
    ] = False,
) -> None:
    """What stands before a command."""


@app.command()
def demo(store: StoreDir = DEFAULT_STORE, out: OutDir = None, seeds: Seeds = None) -> None:
    """Pre-trains a small language model from nothing, studies it, and prints the findings (about seven minutes).

    Example: `amuro demo`; with a world of one's own: `amuro demo --seed 7`
    """
    plan = planned(STUDIES / "demo.toml", None, None, None, seeds)
    opened = opened_store(store)
    failures = _run(plan, opened, None)
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
    """Shows models and cells, which are done, which would run and why, and what that costs. Loads no torch.

    Example: `amuro plan studies/amuro_olmo1b.toml --gpu H100-80GB`; after a pilot: `amuro plan my_study.toml --power`
    """
    from amuro.cli import console
    from amuro.study.cost import GPUS
    from amuro.study.estimates import of_missing
    from amuro.study.series_audits import faults_of

    if gpu not in GPUS:
        raise StudyError(f"--gpu {gpu} is not known", cure=nearest(gpu, GPUS))
    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    found = selected(plan, opened, only)
    (time, cost), faults = of_missing(plan, found, opened, gpu), faults_of(plan, opened)
    if as_json:
        cells = [
            {"cell": s.cell.address, "model": s.cell.model.address, "role": plan.roles[s.cell.address], "done": s.done,
             "diverged": s.diverged, "why": s.reason} for s in found
        ]  # fmt: skip
        told = {"study": plan.study.name, "cells": cells, "estimate": time.facts(), "arithmetic": cost.facts()}
        told |= {"faults": [dataclasses.asdict(f) for f in faults]}
        told |= {"power": dataclasses.asdict(_power_report(plan, opened, study))} if power else {}
        json_output.write(told)
        return
    console.show_damage(opened)
    console.show_plan(plan, found)
    console.show_estimate(time, cost, plan.study.device, gpu)
    console.show_faults(faults)
    if power:
        console.show_power(_power_report(plan, opened, study))


@app.command()
def status(
    study: StudyFile, store: StoreDir = DEFAULT_STORE, limit: Limit = None, device: Device = None, dtype: Dtype = None,
    seeds: Seeds = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """How far a study is: cells done and missing for each model, and why what failed did.

    Say what you said to `run`: cells of another --limit are other cells.

    Example: `amuro status studies/demo.toml`
    """
    from amuro.cli import console
    from amuro.study import status as stand

    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    found = selected(plan, opened, None)
    failed = stand.failures(found, opened)
    if as_json:
        json_output.write({"study": plan.study.name, **stand.facts(found, failed)})
        return
    console.show_damage(opened)
    console.show_status(plan, found, failed)
    limits = [] if any(s.done for s in found) else stand.other_limits(plan, opened)
    if limits:
        typer.echo(f"cells with fewer rows are there: say --limit {limits[-1]}")


@app.command()
def run(
    study: StudyFile, store: StoreDir = DEFAULT_STORE, only: Only = None, limit: Limit = None, device: Device = None,
    dtype: Dtype = None, seeds: Seeds = None, yes: Yes = False,
) -> None:  # fmt: skip
    """Fills what is missing. Stop it whenever you like (Ctrl-C): finished cells stay, and it goes on from there.

    Example: `amuro run studies/demo.toml --only task=world_inference`
    """
    from amuro.study import lock_file

    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    found = selected(plan, opened, only)
    _ask_before_a_long_run(plan, found, opened, yes)
    if lock_file.lock(plan.study, study) != plan.study:  # revisions of a hub became commits
        plan = planned(study, limit, device, dtype, seeds)
        found = selected(plan, opened, only)
    leave(_run(plan, opened, found))


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
    model: Annotated[str, typer.Option("--model", help="Address of a model, as `plan --json` has it.")],
    store: StoreDir = DEFAULT_STORE, limit: Limit = None, device: Device = None, dtype: Dtype = None,
    seeds: Seeds = None,
) -> None:  # fmt: skip
    """Fills all missing cells of one model, in this process. What a cluster job calls.

    Example: `amuro run-model studies/demo.toml --model world-1a2b3c@200`
    """
    from amuro.cli import console
    from amuro.run.runner import run as fill

    plan, opened = planned(study, limit, device, dtype, seeds), opened_store(store)
    addresses = [m.address for m in plan.models]
    if model not in addresses:
        raise StudyError(f"study {plan.study.name} has no model {model}", cure=nearest(model, addresses))
    own = [state for state in selected(plan, opened, None) if state.cell.model.address == model]
    outcome = fill(plan, opened, lambda event: None, own, alone=True)
    if outcome.refused:
        raise SeriesError(outcome.refused[0])
    console.show_outcome(outcome.filled, list(outcome.failed.values()), outcome.diverged, outcome.elsewhere)
    leave(outcome.failures)


@app.command()
def check(plugin: Annotated[str, typer.Argument(help="A plugin's name, or a dotted module of yours.")]) -> None:
    """Runs the contract of a kind on one of its plugins, ours or yours: a task, a format, an analysis, an exporter …

    Example: `amuro check my_lab.tasks.hate`
    """
    from amuro.cli.check import check_plugin

    for line in check_plugin(plugin):
        typer.echo(line)


def main() -> None:
    """Runs a verb and ends the process; an error is one sentence on standard error, never a traceback."""
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
    typer.echo(f"amuro: {sentence}", err=True)
    return code


def _power_report(plan: Plan, store: Store, path: Path) -> PowerReport:
    from amuro.results.power import power_report

    return power_report(plan, store, str(path))


def _ask_before_a_long_run(plan: Plan, found: list[State], store: Store, yes: bool) -> None:
    """A run of many hours is announced before it starts; --yes answers beforehand."""
    from amuro.study.estimates import of_missing

    seconds = of_missing(plan, found, store, ASSUMED_GPU)[0].seconds
    if seconds > LONG_RUN_SECONDS and not yes:
        told = f"This would take about {_long(seconds)} of {'core' if plan.study.device == 'cpu' else 'GPU'} time"
        if not sys.stdin.isatty():
            raise StudyError(told, cure="say --yes if that is meant, or try --limit and --only first")
        typer.confirm(f"{told}. Go on?", abort=True)


def _long(seconds: float) -> str:
    days = seconds / 86400
    return f"{seconds / 3600:.0f} hours" if days < 2 else f"{days:.0f} days" if days < 14 else f"{days / 7:.0f} weeks"


def _run(plan: Plan, store: Store, found: list[State] | None) -> list[str]:
    from amuro.cli import console
    from amuro.run.runner import run as fill
    from amuro.study.status import states

    found = states(plan, store) if found is None else found
    with console.Progress(plan, found) as progress:
        outcome = fill(plan, store, progress.on_event, found)
    console.show_outcome(outcome.filled, list(outcome.failed.values()), outcome.diverged, outcome.elsewhere)
    return outcome.failures
