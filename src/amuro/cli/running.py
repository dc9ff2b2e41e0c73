"""What several commands do with a plan: announce a long run, fill its cells, report its power."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from amuro.cli.options import ASSUMED_GPU
from amuro.core.errors import StudyError

if TYPE_CHECKING:
    from amuro.results.power import PowerReport
    from amuro.study.plan import Plan
    from amuro.study.status import State
    from amuro.study.store import Store

LONG_RUN_SECONDS = 6 * 3600
"""A run that is estimated to take longer is announced before it starts."""


def power_report(plan: Plan, store: Store, path: Path) -> PowerReport:
    """Returns what the study's tuned gains can detect, from its finished cells. `path`: the study's file."""
    from amuro.results import power

    return power.power_report(plan, store, str(path))


def ask_before_a_long_run(plan: Plan, cell_states: list[State], store: Store, yes: bool) -> None:
    """Asks before a run of many hours, unless `yes`. Raises StudyError if nobody can answer."""
    from amuro.study.estimates import of_missing

    seconds = of_missing(plan, cell_states, store, ASSUMED_GPU)[0].seconds
    if seconds > LONG_RUN_SECONDS and not yes:
        announcement = (
            f"This would take about {_long(seconds)} of {'core' if plan.study.device == 'cpu' else 'GPU'} time"
        )
        if not sys.stdin.isatty():
            raise StudyError(announcement, cure="say --yes if that is meant, or try --limit and --only first")
        typer.confirm(f"{announcement}. Go on?", abort=True)


def _long(seconds: float) -> str:
    """Returns a duration in hours, days or weeks."""
    days = seconds / 86400
    return f"{seconds / 3600:.0f} hours" if days < 2 else f"{days:.0f} days" if days < 14 else f"{days / 7:.0f} weeks"


def fill_with_progress(plan: Plan, store: Store, cell_states: list[State] | None) -> list[str]:
    """Fills the missing cells of a plan (or of `cell_states`), shows progress and outcome, and returns the failures."""
    from amuro.cli import console
    from amuro.cli.progress import Progress
    from amuro.run.runner import run as fill
    from amuro.study.status import states

    cell_states = states(plan, store) if cell_states is None else cell_states
    with Progress(plan, cell_states) as progress:
        outcome = fill(plan, store, progress.on_event, cell_states)
    console.show_outcome(outcome.filled, list(outcome.failed.values()), outcome.diverged, outcome.elsewhere)
    return outcome.failures
