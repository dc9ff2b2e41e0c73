"""A study from Python: what `amuro plan`, `run` and `report` do, without a command line.

The methods import what they need when they are called: planning and reading results load no torch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from amuro.core.types import Finding
    from amuro.results.analyses.base import Evidence
    from amuro.results.analyze import Results
    from amuro.run.executors.base import OnEvent
    from amuro.run.runner import Outcome
    from amuro.study.config import Study
    from amuro.study.plan import Plan
    from amuro.study.store import Store

DEFAULT_STORE = Path("amuro-store")
"""Folder of results where none is named, below the working directory: the same for the command line and `load`."""


def load(
    study: str | os.PathLike[str],
    store: str | os.PathLike[str] = DEFAULT_STORE,
    *,
    limit: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    seed: int | None = None,
) -> LoadedStudy:
    """Opens the study in a TOML file, with the folder that keeps its results (which need not exist yet).

    The keywords are the options of the command line: at most `limit` rows a set, another `device` or `dtype`
    (float32, bfloat16), and one `seed` for world, pre-training and first tuning seed. Cells of another limit, device,
    dtype or seed are other cells. Plugins that the study names are imported, and so their code runs.

    Raises StudyError where the file is missing or says what cannot be meant.
    """
    loaded = LoadedStudy(Path(study), Path(store), limit=limit, device=device, dtype=dtype, seed=seed)
    loaded.plan()
    return loaded


class LoadedStudy:
    """A study and the folder of its results. `load` makes it.

    `scores`, `items`, `evidence` and `findings` are read from the store when one of them is first used, and read again
    after `run`. Without a finished cell they raise DataError.
    """

    def __init__(
        self,
        path: Path,
        store: Path,
        *,
        limit: int | None = None,
        device: str | None = None,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        self.path = path
        self.store = store.expanduser().resolve()
        self._limit, self._seed = limit, seed
        self._changes = {key: value for key, value in (("device", device), ("precision", dtype)) if value is not None}
        self._plan: Plan | None = None
        self._results: Results | None = None

    def __repr__(self) -> str:
        return f"LoadedStudy({str(self.path)!r}, store={str(self.store)!r})"

    def plan(self) -> Plan:
        """The planned grid: `models`, `cells`, `checkpoints`, and the `study` with all defaults. Loads no torch."""
        if self._plan is None:
            from amuro.study import plan as planning

            self._plan = planning.make(self._study())
        return self._plan

    def run(self, on_event: OnEvent | None = None) -> Outcome:
        """Fills the missing cells and says what was done: `filled`, `failed` (cell → reason), `diverged`, `elsewhere`.

        Finished cells are never touched, and what stops it loses none. On first use, revisions of a hub become commits
        in the lock file beside the study. `on_event` is called with each event (a mapping with the key *event*). Worker
        processes are spawned: a script calls `run` below `if __name__ == "__main__":`.

        Raises AmuroError where the study, its rows or its weights are refused before anything runs; a cell that fails
        later stands in `failed`.
        """
        from amuro.run import runner
        from amuro.study import lock_file

        if lock_file.lock(self.plan().study, self.path) != self.plan().study:
            self._plan = None
        self._results = None
        return runner.run(self.plan(), self._opened(), on_event or (lambda event: None))

    @property
    def evidence(self) -> Evidence:
        """What analyses are given: both frames, the tasks, the planned cells. For an analysis of one's own."""
        return self._read().evidence

    @property
    def scores(self) -> pl.DataFrame:
        """One row per finished cell and metric (columns: docs/tour.md)."""
        return self.evidence.scores

    @property
    def items(self) -> pl.DataFrame:
        """One row per prediction and metric (columns: docs/tour.md)."""
        return self.evidence.items

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What every analysis says of the finished cells, each with effect, interval and verdict (docs/method.md)."""
        return self._read().findings

    def _study(self) -> Study:
        from amuro.study import config

        return config.changed(config.load(self.path, **self._changes), self._limit, self._seed)

    def _opened(self) -> Store:
        from amuro.study.store import Store

        return Store(self.store)

    def _read(self) -> Results:
        if self._results is None:
            from amuro.results.analyze import results

            self._results = results(self.plan(), self._opened())
        return self._results
