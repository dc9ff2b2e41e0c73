"""Maintenance before a run: damaged results, results lost besides finished cells, abandoned drafts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from amuro.core import owners
from amuro.core.types import Cell, Checkpoint
from amuro.run.claims import LEASE_SECONDS
from amuro.series import _pretrained
from amuro.study import audit_keys
from amuro.study import series_audits as series_audit
from amuro.study.plan import Plan
from amuro.study.status import State
from amuro.study.store import Store


def damaged(cell_states: Sequence[State], store: Store) -> set[str]:
    """Returns the addresses of finished cells whose files are damaged; these are moved to quarantine."""
    return {s.cell.address for s in cell_states if s.manifest is not None and not store.verify(s.manifest)}


def check_made(store: Store, checkpoints: Sequence[Checkpoint]) -> bool:
    """Moves damaged checkpoints that amuro pre-trained to quarantine; returns whether there were any.

    If so, states of cells must be looked up again: they may have been compared with damaged weights.
    """
    folders = {checkpoint: _pretrained.locate(checkpoint, store.root / "series") for checkpoint in checkpoints}
    made = {checkpoint: folder for checkpoint, folder in folders.items() if folder.is_dir()}
    damaged = [folder for checkpoint, folder in made.items() if not _pretrained.is_whole(checkpoint, folder)]
    for folder in damaged:
        store.set_aside(folder, "a file of it is cut or changed, or it is of another step")
    return bool(damaged)


def without_texts(plan: Plan, store: Store, finished: Sequence[State]) -> list[Cell]:
    """Returns one cell for each stored set of prompts, or audit of their encoding, that is lost."""
    cells_by_prompts = {state.manifest["prompts"]: state.cell for state in reversed(finished) if state.manifest}
    lost = [cell for key, cell in cells_by_prompts.items() if not store.has("prompts", key)]
    known = {(m["task"], m["format"]) for m in store.manifests("audits") if m["audit"] == "encoding"}
    cells_by_format = {_worded(state.cell): state.cell for state in reversed(finished)}
    for (_, task, format_name), cell in cells_by_format.items():
        apart = plan.tasks[task].kind != "language_modeling" and plan.tasks[task].encoding == "prompt_then_answer"
        if apart and (task, format_name) not in known:
            lost.append(cell)
    return list(dict.fromkeys(lost))


def _worded(cell: Cell) -> tuple[str, str, str]:
    """Returns series, task and format: the encoding audit depends on these."""
    return cell.model.checkpoint.series, cell.eval_set.task, cell.format


def unaudited_sets(plan: Plan, store: Store, cells: Sequence[Cell]) -> list[str]:
    """Returns the evaluation sets of these cells that lack a stored audit or baselines of the rows evaluated now."""
    known = [{(m["task"], m["split"]) for m in audit_keys.kept(plan, store, kind)} for kind in ("tasks", "baselines")]
    sets = [chosen for chosen in dict.fromkeys(cell.eval_set for cell in cells) if chosen.split not in ("train", "dev")]
    return [str(chosen) for chosen in sets if not all((chosen.task, chosen.split) in audited for audited in known)]


def keep_series_audits(plan: Plan, store: Store, finished: Sequence[State]) -> None:
    """Repeats the audit of each series whose stored audit is lost, if its checkpoints are on this machine."""
    for name in dict.fromkeys(state.cell.model.checkpoint.series for state in finished):
        subject = series_audit.of_study(plan, name, store.root / "series")
        from_hub = any(checkpoint.source.startswith("hub:") for checkpoint in subject.checkpoints)
        if not from_hub and series_audit.last_kept(store, subject) is None:
            series_audit.keep(series_audit.audit(subject, weights=False), store)


class Drafts:
    """The drafts in a store at the start of a run."""

    def __init__(self, store: Store) -> None:
        """Records the size of each draft."""
        self._store, self._since = store, time.monotonic()
        self._seen = {path: _extent(path) for path in _drafts(store)}

    def clear(self) -> None:
        """Removes drafts of processes that no longer exist; of other machines, those that did not grow for a whole
        lease.
        """
        old = time.monotonic() - self._since > LEASE_SECONDS
        for path in _drafts(self._store):
            gone = owners.is_gone(path.name.split(".")[-2] if path.name.count(".") > 1 else "")
            if gone or (gone is None and old and self._seen.get(path) == _extent(path)):
                _remove(path)


def _drafts(store: Store) -> Iterator[Path]:
    """Yields every draft in a store."""
    yield from (store.root / "tmp").glob("*")
    yield from (store.root / "series").glob("*/**/.draft-*")


def _extent(path: Path) -> int:
    """Returns the bytes in a file or folder; -1 if it does not exist."""
    with suppress(OSError):
        return sum(entry.stat().st_size for entry in [path, *path.rglob("*")])
    return -1


def _remove(path: Path) -> None:
    """Removes a file or folder; errors are ignored."""
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
