"""Options that several commands share, and the study, store and cells that they name."""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amuro import facade
from amuro.core.errors import StudyError, nearest

if TYPE_CHECKING:
    from amuro.study.plan import Plan
    from amuro.study.status import State
    from amuro.study.store import Store

StudyFile = Annotated[Path, typer.Argument(help="A study in TOML.", show_default=False)]
StoreDir = Annotated[Path, typer.Option("--store", help="Folder of the results.")]
OutDir = Annotated[Path | None, typer.Option("--out", help="Report and tables; default ./amuro-results/NAME.")]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="COORDINATE=VALUE, as task=world_inference; repeatable.")
]
Limit = Annotated[int | None, typer.Option("--limit", "-L", help="Most rows per evaluation set.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:0 …")]
Dtype = Annotated[str | None, typer.Option("--dtype", help="float32 or bfloat16.")]
Gpu = Annotated[str, typer.Option("--gpu", help="GPU for which hours are estimated: A100-80GB, H100-80GB …")]
Power = Annotated[bool, typer.Option("--power", help="Minimum detectable effects, from finished cells.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a long run.")]
Seeds = Annotated[int | None, typer.Option("--seed", help="One number for world, pre-training and first tuning seed.")]
DEFAULT_STORE = facade.DEFAULT_STORE
ASSUMED_GPU = "A100-80GB"


def planned(path: Path, limit: int | None, device: str | None, dtype: str | None, seeds: int | None) -> Plan:
    """Returns the plan of a study with the changes of the command line. Foreign code that it would import is named
    first.
    """
    from amuro.study import config as studies
    from amuro.study import plan as planning

    modules = studies.modules(path)
    _tell_code(path, modules)
    changes: dict[str, Any] = {"device": device, "precision": dtype}
    study = studies.load(path, **{key: value for key, value in changes.items() if value is not None})
    _tell_code(path, sorted(_metrics(modules) - set(modules)))
    return planning.make(studies.changed(study, limit=limit, seeds=seeds))


def _metrics(modules: Collection[str]) -> set[str]:
    """Returns the metrics outside the package that the tasks in these modules use, known only after importing them."""
    from amuro.tasks import load_task

    metrics = set()
    for module in modules:
        with suppress(StudyError, AttributeError):  # it holds no task; what cannot be imported is said by the plan
            metrics.add(load_task(module).metric)
    return {name for name in metrics if "." in name}


def _tell_code(whose: object, modules: Collection[str]) -> None:
    """Prints the modules outside amuro whose code a study runs."""
    if modules:
        typer.echo(f"{whose} runs code that is not amuro's: {', '.join(modules)}", err=True)


def opened_store(path: Path) -> Store:
    """Returns the store in a folder, which need not exist yet."""
    from amuro.study.store import Store

    return Store(path.expanduser().resolve())


def selected(plan: Plan, store: Store, only: list[str] | None) -> list[State]:
    """Returns the states of the cells that `--only` selects: any of several values of one coordinate, and all of
    several coordinates.

    Raises StudyError if it selects none.
    """
    from amuro.core import coordinates
    from amuro.study.status import states

    wanted: dict[str, set[str]] = {}
    for key, _, value in (text.partition("=") for text in only or ()):
        wanted.setdefault(key, set()).add(value)
    cell_states = states(plan, store)
    if not wanted or not cell_states:
        return cell_states

    def known(state: State) -> dict[str, str]:
        coordinate_values = {**coordinates.of_cell(state.cell), "role": plan.roles[state.cell.address]}
        return {key: str(value) for key, value in coordinate_values.items()}

    for key in wanted:
        if key not in known(cell_states[0]):
            raise StudyError(f"--only {key}=… names no coordinate", cure=nearest(key, known(cell_states[0])))
    chosen = [s for s in cell_states if all(known(s)[key] in values for key, values in wanted.items())]
    if not chosen:
        values = sorted({known(s)[key] for s in cell_states for key in list(wanted)[:1]})
        raise StudyError(f"no cell has {' and '.join(only or ())}", cure=f"values: {', '.join(values[:12])}")
    return chosen


def leave(failures: list[str]) -> None:
    """Exits with code 1 if some cells failed."""
    if failures:
        sys.exit(1)
