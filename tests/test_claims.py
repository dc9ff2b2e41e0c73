"""Runs that share a store share the work: nothing twice, nothing lost, whoever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import small_study
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core import owners
from amuro.run import claims as claiming
from amuro.run import runner as running
from amuro.run.claims import Claims
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.status import served, states
from amuro.study.store import Store

SMOKE = Path(__file__).parents[1] / "studies" / "smoke.toml"


def other_machine(name: str) -> bool | None:
    """What `owners.is_gone` says of a process of another machine."""
    return None


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["take", "release", "die", "pass"]), st.integers(0, 3), st.integers(0, 1)),
        min_size=5, max_size=40,
    )
)  # fmt: skip
def test_no_two_that_live_hold_one_claim(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """However runs take, give back and die, work is held by one living run at most, and a dead one's is free again."""
    store = Store(tmp_path_factory.mktemp("store"))
    store.prepare()
    now, dead = [0.0], set[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claiming.time, "monotonic", lambda: now[0])
        patch.setattr(owners, "is_gone", lambda name: name in dead or None)
        runs = {place: Claims(store.root) for place in range(4)}
        for place, each in runs.items():
            each._owner = f"run{place}"
        holders: dict[int, set[int]] = {0: set(), 1: set()}
        for what, place, work in steps:
            if what == "take" and runs[place].take(f"work {work}"):
                holders[work].add(place)
            elif what == "release":
                runs[place].release(f"work {work}")
                holders[work].discard(place)
            elif what == "die":
                dead.add(runs[place]._owner)
                runs[place] = Claims(store.root)
                runs[place]._owner = f"run{place}.{len(dead)}"
                holders = {work: own - {place} for work, own in holders.items()}
            elif what == "pass":
                now[0] += 1.0
            assert all(len(own) <= 1 for own in holders.values())
        for place, each in runs.items():
            dead |= {each._owner}
            holders = {work: own - {place} for work, own in holders.items()}
        assert all(Claims(store.root).take(f"work {work}") for work in holders)


def test_a_silent_owner_elsewhere_is_given_a_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another machine only the beat is known: while it changes its claim stands, after a lease of silence not."""
    store.prepare()
    now = [0.0]
    monkeypatch.setattr(claiming.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(owners, "is_gone", other_machine)
    first, second = Claims(store.root), Claims(store.root)
    assert first.take("job")
    for beat in range(5):
        first._beat.write_text(str(beat), encoding="ascii")
        now[0] += claiming.LEASE_SECONDS - 1
        assert not second.take("job")
    now[0] += claiming.LEASE_SECONDS - 1
    assert not second.take("job")
    now[0] += 2
    assert second.take("job")
    first.release("job")  # it was only asleep
    assert not Claims(store.root).take("job"), "the new owner keeps its claim"


def test_a_killed_process_of_this_machine_is_gone_at_once(store: Store) -> None:
    """No lease is waited for where the kernel knows better, and a number that was given again is not mistaken."""
    store.prepare()
    code = (
        "from pathlib import Path; from amuro.run.claims import Claims; "
        f"print(Claims(Path({str(store.root)!r})).take('v'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert len(list((store.root / "claims").iterdir())) == 1, "it ended without giving its claim back"
    assert Claims(store.root).take("v")
    me = owners.me()
    assert owners.is_gone(me) is False
    machine, number, start = me.split("-")
    assert owners.is_gone(f"{machine}-{number}-{int(start) + 1}") is True
    assert owners.is_gone(f"0-{number}-{start}") is None


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """56 cells of four bases and four models that a rule chooses."""
    return small_study.write(tmp_path / "rows", small_study.TUNE)


def test_what_another_run_has_done_is_not_done_again(study: Path, store: Store) -> None:
    """While one run makes its first model job another fills all the rest: no model is run and no cell filled twice."""
    plan = planning.make(studies.load(study))
    filled: Counter[str] = Counter()
    others: list[int] = []

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "model" and not others:
            rest = [s for s in states(plan, store) if s.cell.model.address != event["model"]]
            others.append(len(rest))
            running._worker.cache_clear()  # in a process of its own it has its own
            run(plan, Store(store.root), count, rest)
        count(event)

    def count(event: Mapping[str, Any]) -> None:
        filled.update([event["cell"]] if event["event"] == "cell" else [])

    outcome = run(plan, store, on_event)
    assert set(filled) == {cell.address for cell in plan.cells}
    assert set(filled.values()) == {1}
    assert outcome.elsewhere == others[0] > 0
    assert outcome.failures == []
    jobs = Counter(note["model"] for note in store.notes("ledger"))
    assert set(jobs) == {served(model) for model in plan.models}
    assert set(jobs.values()) == {1}
    assert [path.name for path in (store.root / "claims").iterdir()] == ["arrivals"]


def driven(study: Path, root: Path, *, drivers: int, kills: int, seed: int) -> list[str]:
    """Lines of what all drivers of `drivers.py` have done."""
    script = Path(__file__).with_name("drivers.py")
    command = [sys.executable, str(script), str(study), str(root), str(drivers), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == kills
    return Path(f"{root}.log").read_text(encoding="utf-8").splitlines()


def kept(store: Store) -> dict[str, tuple[str, str]]:
    """Address → key and digest of the predictions."""
    return {m["address"]: (m["key"], m["files"]["predictions.parquet"][1]) for m in store.manifests("cells")}


def check(root: Path, lines: list[str]) -> None:
    """Nothing was filled twice, failed or broke, and nothing is left over that could hold anybody up: of claims at most
    one that a run left as it was killed between the end of its work and the release.
    """
    assert {line.split()[1] for line in lines} == {"cell"}
    addresses = Counter(line.split()[2] for line in lines)
    assert max(addresses.values()) == 1
    store = Store(root)
    assert len(list(store.manifests("cells"))) == len(store.cells()) >= len(addresses)
    assert not list((root / "quarantine").iterdir())
    assert not list((root / "tmp").iterdir())
    claims = [path for path in (root / "claims").iterdir() if path.name != "arrivals"]
    assert all(owners.is_gone(path.read_text("ascii")) for path in claims)


def test_two_drivers_and_a_kill(study: Path, tmp_path: Path) -> None:
    """Two runs at once, each killed once: no cell runs twice, all are done, no draft and no live claim is left."""
    check(tmp_path / "store", driven(study, tmp_path / "store", drivers=2, kills=2, seed=1))
    found = states(planning.make(studies.load(study)), Store(tmp_path / "store"))
    assert [state.reason for state in found if not state.done] == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_four_drivers_and_many_kills(tmp_path: Path, seed: int) -> None:
    """Four runs at once, 25 kills: as above, and the store equals that of one undisturbed run."""
    check(tmp_path / "killed", driven(SMOKE, tmp_path / "killed", drivers=4, kills=25, seed=seed))
    driven(SMOKE, tmp_path / "calm", drivers=1, kills=0, seed=0)
    assert kept(Store(tmp_path / "killed")) == kept(Store(tmp_path / "calm"))
