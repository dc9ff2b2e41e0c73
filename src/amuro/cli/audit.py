"""`amuro audit …`: checks before a run. Each command imports what it needs when it is called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amuro.cli import json_output
from amuro.cli.options import AsJson
from amuro.core.errors import DataError, SeriesError

if TYPE_CHECKING:
    from amuro.study.series_audits import AuditTarget

audit = typer.Typer(no_args_is_help=True, help="Checks series and data sets before any GPU time is spent.")


@audit.command("series")
def series(
    subject: Annotated[str, typer.Argument(help="A study, a folder of checkpoints, or ORG/NAME@REVISION,…")],
    store: Annotated[Path, typer.Option("--store", help="Folder of the results.")] = Path("amuro-store"),
    metadata_only: Annotated[
        bool, typer.Option("--metadata-only", help="Do not read weights on this machine.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Checks the checkpoints of a series: equal or known-bad ones, copied shards, gaps, drift, outliers.

    Only small files are downloaded; weights on this machine are read. Exit codes: 0 nothing found (notes do not count)
    · 4 something found · else as for every command.

    Example: `amuro audit series EleutherAI/pythia-410m@step[0,1],log8 --metadata-only`
    """
    from amuro.cli import console
    from amuro.series._audit.issue import found
    from amuro.study.series_audits import audit, keep
    from amuro.study.store import Store

    opened = Store(store.expanduser().resolve())
    audits = [audit(result, weights=not metadata_only) for result in _subjects(subject, opened.root / "series")]
    for result in audits:
        keep(result, opened)
    if as_json:
        json_output.write({"series": [result.facts() for result in audits]})
    else:
        for result in audits:
            console.show_audit(result)
    if any(found(result.faults) for result in audits):
        sys.exit(SeriesError.exit_code)


@audit.command("tasks")
def tasks(
    study: Annotated[Path, typer.Argument(help="A study in TOML.")],
    as_json: AsJson = False,
) -> None:
    """Prints labels, chance, duplicates, overlap with train, source and length of every evaluated set.

    Exit code 3 if a set would be refused: all golds equal, rows that do not fit the task, no access.

    Example: `amuro audit tasks studies/demo.toml`
    """
    from amuro.cli import console
    from amuro.run.preflight.datasets import audit_all
    from amuro.study import config as studies
    from amuro.study import plan as planning

    audits, refusals = audit_all(planning.make(studies.load(study)))
    if as_json:
        json_output.write({"sets": [found.facts() for found in audits], "refused": refusals})
    else:
        console.show_task_audits(audits, refusals)
    if refusals:
        sys.exit(DataError.exit_code)


def _subjects(text: str, cache: Path) -> Iterator[AuditTarget]:
    """Yields every series of a study, or the one series that is a folder or a hub repository."""
    from amuro.series import load_series_kind
    from amuro.study import config as studies
    from amuro.study import plan as planning
    from amuro.study.series_audits import AuditTarget, of_study

    path = Path(text).expanduser()
    if path.suffix == ".toml":
        plan = planning.make(studies.load(path))
        yield from (of_study(plan, name, cache) for name in plan.study.series)
        return
    name, options = (
        (path.resolve().name, {"path": text}) if path.is_dir() else (text.partition("@")[0], {"model": text})
    )
    kind = load_series_kind("folder" if path.is_dir() else "hub")
    yield AuditTarget(name, kind, options, kind.checkpoints(name, options), cache)
