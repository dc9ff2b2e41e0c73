"""Several runs of one study in one store, killed at random: `python drivers.py STUDY STORE DRIVERS KILLS SEED`.

Each driver is a process forked from this one before any thread has started. Every cell that a driver fills is written
to STORE.log. Prints the number of kills; ends when one driver after the last kill has found nothing left to do.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.store import Store


def drive(study: Path, root: Path) -> int:
    """One run in a process of its own; its number."""
    pid = os.fork()
    if pid:
        return pid
    log = os.open(f"{root}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def on_event(event: object) -> None:
        assert isinstance(event, dict)
        if event["event"] in ("cell", "failed", "lost", "damaged"):
            os.write(log, f"{os.getpid()} {event['event']} {event.get('cell')} {event.get('error', '')}\n".encode())

    code = 1
    try:
        plan = planning.make(studies.load(study))
        code = 0 if not run(plan, Store(root), on_event).failures else 1
    finally:
        os._exit(code)


def main(study: Path, root: Path, drivers: int, kills: int, seed: int) -> None:
    """Kills one of so many drivers, and starts another in its place, so many times: each a moment after a new cell.

    Then all are let to their ends. Exit code 1 where one of them failed.
    """
    chance, killed, failed, seen = random.Random(seed), 0, False, 0
    alive = {drive(study, root) for _ in range(drivers)}
    while alive:
        time.sleep(0.01)
        if killed < kills and (written := size(f"{root}.log")) > seen:
            time.sleep(chance.expovariate(10.0))
            os.kill(chance.choice(sorted(alive)), signal.SIGKILL)
            killed, seen = killed + 1, written
        failed |= mind(alive, study, root)
    print(killed)
    sys.exit(failed)


def mind(alive: set[int], study: Path, root: Path) -> bool:
    """Replaces the drivers that were killed; whether one ended with an error."""
    failed = False
    for pid in list(alive):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            alive.remove(pid)
            if os.WIFSIGNALED(status):
                alive.add(drive(study, root))
            else:
                failed |= os.waitstatus_to_exitcode(status) != 0
    return failed


def size(path: str) -> int:
    """Bytes of a file that need not be there."""
    return Path(path).stat().st_size if Path(path).exists() else 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
