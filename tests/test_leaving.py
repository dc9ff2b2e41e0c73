"""How a process ends: on a signal, with a closed pipe, with an error that nobody foresaw. All with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import small_study
from test_cli import ROOT

from amuro.core import stopping
from amuro.core.failures import counted, of_exit, reason

AMURO = (sys.executable, "-m", "amuro")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of 24 cells that the toy engine fills in a second."""
    return small_study.write(tmp_path)


def begun(*words: str, **streams: Any) -> subprocess.Popen[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen([*AMURO, *words], cwd=ROOT, text=True, start_new_session=True, **streams)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line.replace("amuro", " ".join(AMURO))], cwd=ROOT, capture_output=True,
                          text=True, check=False)  # fmt: skip


INTERRUPTED, TERMINATED = (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "ended by SIGTERM")
HUNG_UP = (signal.SIGHUP, 129, "ended by SIGHUP")


@pytest.mark.parametrize(
    ("number", "code", "said", "after_cells"),
    [
        (*INTERRUPTED, 0),
        (*TERMINATED, 0),
        (*HUNG_UP, 0),
        (*INTERRUPTED, 2),
        pytest.param(*TERMINATED, 2, marks=pytest.mark.long),
    ],
)
def test_a_signal_is_one_sentence_and_its_exit_code(
    number: signal.Signals, code: int, said: str, after_cells: int, study: Path, tmp_path: Path
) -> None:
    """While modules are loaded, and while cells are filled: 128 + the signal, what is kept, no traceback, no orphan."""
    process = begun("run", str(study), "--store", str(tmp_path))
    if after_cells:
        while len(list(tmp_path.glob("cells/??/*"))) < after_cells:
            time.sleep(0.01)
    else:
        until_loading(process.pid)
    os.killpg(process.pid, number)
    _out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err.splitlines() == [f"amuro: {said}; finished cells are kept, and the same command goes on from there"]


def until_loading(pid: int) -> None:
    """Until the interpreter is up and the package's first lines have run: SIGHUP is caught."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        if caught >> (signal.SIGHUP - 1) & 1:
            return
        time.sleep(0.005)
    raise AssertionError("signals are not heeded")


def test_what_is_printed_in_vain_does_not_end_the_work(study: Path, tmp_path: Path) -> None:
    """A reader that leaves after a line, and streams that are closed from the start: the work goes on, code 0."""
    line = (f"amuro run {study} --store {tmp_path}/a | true; echo ${{PIPESTATUS[0]}};"
            f"amuro status {study} --store {tmp_path}/a >&- 2>&- <&-; echo $?")  # fmt: skip
    done = shell(line)
    assert done.stdout.split() == ["0", "0"]
    assert done.stderr == ""
    assert len(list(tmp_path.glob("a/cells/??/*"))) == 24


def test_the_command_alone_says_how_to_begin() -> None:
    """No empty sentence: help, and two commands that can be typed."""
    done = shell("amuro")
    assert done.returncode == 2
    assert "amuro demo" in done.stderr
    assert "Usage" in done.stdout


# -- executors


def save_when_asked(payload: Mapping[str, Any], _emit: Any) -> None:
    """A job that, like pre-training, saves its state when the process is asked to end."""
    Path(payload["began"]).touch()
    with stopping.held():
        while not stopping.wanted():
            time.sleep(0.01)
        Path(payload["saved"]).touch()
    Path(payload["went_on"]).touch()


DRIVER = """
import sys
from amuro.core import stopping
from amuro.run.executors import processes
from amuro.run.executors.base import Job
names = ("began", "saved", "went_on")
if __name__ == "__main__":
    stopping.heed()
    job = Job("job", {name: f"{sys.argv[1]}/{name}" for name in names}, lambda: True)
    try:
        processes.execute([job], "test_leaving:save_when_asked", 1, print)
    except stopping.Stopped as stop:
        sys.exit(stop.exit_code)
"""


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_worker_saves_what_it_has_in_hand(whole_group: bool, tmp_path: Path) -> None:
    """SIGTERM to the driver alone, or (as SLURM does) to its workers too: state is saved, and nothing goes on."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER, encoding="utf-8")
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stderr=subprocess.PIPE, text=True,
                              start_new_session=True, env={**os.environ, "PYTHONPATH": path})  # fmt: skip
    while not (tmp_path / "began").exists():
        assert driver.poll() is None
        time.sleep(0.01)
    (os.killpg if whole_group else os.kill)(driver.pid, signal.SIGTERM)
    _out, err = driver.communicate(timeout=30)
    assert driver.returncode == 143
    assert err == ""
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "went_on").exists()


# -- sentences


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_lack_of_memory_is_named_with_a_cure(error: Exception) -> None:
    """However it shows itself, a lack of memory is called so and the cure is stated."""
    assert "out of memory" in reason(error)
    assert "workers = 1" in reason(error)


def test_a_process_that_was_killed_is_told_as_such() -> None:
    """−9 is most likely the kernel's answer to a lack of memory; another exit code says nothing of memory."""
    assert "out of memory" in of_exit(-9)
    assert "memory" not in of_exit(3)


def test_reasons_are_told_once_with_their_count() -> None:
    """The most frequent first."""
    assert counted(["b", "a", "b"]) == ["2 × b", "1 × a"]
    assert counted(map(str, range(10)), most=8)[-1] == "and 2 other reasons"
