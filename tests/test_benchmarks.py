"""The measuring method of benchmarks/ itself, without peers: a known ratio is found, unequal outputs stop it."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from busy_work import AMOUNT, Broken, Busy

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import page
import peers
import scoring
import table
from gpu import __main__ as gpu
from gpu import section
from gpu.bench import Bench
from gpu.scale import TINY
from side_by_side import Costs, Interval, UnequalError, Variant, fieller, measure
from table import Row


def equal(outputs: Mapping[str, Any]) -> None:
    if len(set(outputs.values())) > 1:
        raise UnequalError(str(outputs))


def test_a_known_ratio_is_found() -> None:
    """Twice the work costs twice the CPU time, within 25 %, whatever else runs on the core."""
    variants = [Variant("once", partial(Busy, AMOUNT)), Variant("twice", partial(Busy, 2 * AMOUNT))]
    ratio = measure(variants, equal, rounds=4).ratio("twice", "once")
    assert ratio.value == pytest.approx(2.0, rel=0.25)
    assert ratio.low <= ratio.value <= ratio.high


@pytest.mark.parametrize("theirs", [-2.0, -2.0004], ids=["near", "far"])
def test_where_scores_differ_float64_is_asked(theirs: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that lies farther from float64 than float32 may does not stop a benchmark; amuro that does would."""
    work: Any = type("Work", (), {"folder": None, "checked": 1, "first": lambda self, rows: None})()
    monkeypatch.setattr(peers, "exact", lambda folder, ask: [(-1.0, -2.00003)])
    agreement = scoring.Agreement(work, None)
    agreement({table.OURS: [(-1.0, -2.0)], table.THEIRS: ([(-1.0, theirs)], 8)})
    assert ("from float64" in agreement.note) == (theirs != -2.0)
    with pytest.raises(UnequalError):
        agreement({table.OURS: [(-1.0, -2.0003)], table.THEIRS: ([(-1.0, -2.0)], 8)})


def test_unequal_outputs_stop_the_benchmark() -> None:
    """Nothing is timed where two variants answer differently, and no process is left behind."""
    variants = [Variant("right", partial(Busy, AMOUNT)), Variant("wrong", partial(Busy, AMOUNT, output=8))]
    began = time.monotonic()
    with pytest.raises(UnequalError, match="wrong"):
        measure(variants, equal, rounds=1000)
    assert time.monotonic() - began < 60


def test_a_variant_that_fails_is_named_with_its_error() -> None:
    """The traceback of a process reaches the reader, and the others do not wait for it."""
    variants = [Variant("well", partial(Busy, AMOUNT)), Variant("ill", partial(Broken, AMOUNT))]
    with pytest.raises(RuntimeError, match=r"ill failed:[\s\S]*no such weights"):
        measure(variants, equal, rounds=2)


def test_fieller_covers_the_ratio_of_means() -> None:
    """Of 400 samples with a true ratio of 5, the 95 % interval holds it in about 95 %; paired noise narrows it."""
    rng = np.random.default_rng(1)
    held, widths = 0, []
    for _ in range(400):
        weather = rng.normal(1, 0.1, 8)
        found = fieller(5 * weather + rng.normal(0, 0.1, 8), weather + rng.normal(0, 0.02, 8))
        held += found.low <= 5 <= found.high
        widths.append(found.high - found.low)
    assert 0.92 <= held / 400 <= 0.98
    assert np.mean(widths) < 0.3


@pytest.mark.parametrize("below", [[1.0], [1.0, -1.0, 0.5]], ids=["one round", "may be 0"])
def test_too_little_gives_an_open_interval(below: list[float]) -> None:
    """One round, or a denominator that may be 0, claims nothing."""
    found = fieller([2.0] * len(below), below)
    assert (found.low, found.high) == (0.0, math.inf)


def test_share_of_the_roofline() -> None:
    """Half the rate of the loop beside it is a share of one half."""
    costs = Costs({"ours": 10.0, "matmul": 1.0}, {"ours": [2.0, 2.0, 2.0], "matmul": [0.1, 0.1, 0.1]})
    assert costs.roofline_share("ours").value == pytest.approx(0.5)


def test_a_partial_run_writes_its_section_only(tmp_path: Path) -> None:
    """The page begins with all sections; each write replaces one of them and nothing else."""
    place = tmp_path / "performance.md"
    page.write(place, "scoring", "first")
    page.write(place, "tuning", "slow")
    page.write(place, "scoring", "second")
    text = place.read_text()
    assert "second" in text
    assert "slow" in text
    assert "first" not in text.partition("<!-- scoring -->")[2].partition("<!-- end of scoring -->")[0]
    assert text.count("Not measured yet.") == len(page.SECTIONS) - 2


@pytest.mark.parametrize(("low", "marked"), [(4.9, True), (5.1, False)])
def test_a_missed_target_is_marked(low: float, marked: bool) -> None:
    """The lower end decides, not the estimate."""
    row = Row("labels", "S", Interval(6.0, low, 7.0), 0.01, 0.06, "document", target=5)
    assert ("**" in page.line(row)) is marked


def test_a_row_measured_anew_leaves_the_others() -> None:
    """A section that is asked one question again keeps its other rows, and says where each run was made."""
    wish = table.Wish(4, 10, False, False, (), Path())
    rows = [Row(name, "S", Interval(2.0, 1.0, 3.0), 1.0, 2.0, "step") for name in ("one", "two")]
    first = page.section("tuning", rows, wish, "2026-01-01, a machine")
    again = Row("two", "S", Interval(9.0, 8.0, 10.0), 1.0, 9.0, "step")
    second = page.section("tuning", [again], wish, "2026-02-02, another", first)
    assert [line.split("|")[3].strip() for line in second.splitlines() if line.startswith("| ")][1:] == [
        "2.00 (1.00 to 3.00)", "9.00 (8.00 to 10.00)",
    ]  # fmt: skip
    assert "*2026-01-01, a machine.*" in second
    assert second.endswith("*2026-02-02, another.*")


@pytest.mark.long
def test_the_program_for_a_gpu_runs_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every stage with tiny models: no job fails, what must be equal is, and the file holds them all."""
    place = tmp_path / "gpu.json"
    try:
        failed = gpu.main(["--tiny", "--out", str(place)])
    finally:
        logging.disable(logging.NOTSET)  # the peers are silenced for the whole process
    told = capsys.readouterr().out
    assert not failed, told
    assert told.endswith("failed: none\nnot equal: none\n")
    found = json.loads(place.read_text())
    assert list(found) == ["rates", "families", "scoring", "tuning", "generation", "profile"]
    assert found["scoring"]["labels, amuro"]["documents_s"] > 0


def test_no_job_begins_after_the_end(tmp_path: Path) -> None:
    """What is left out is named; a job that fails does not stop the next one."""
    bench = Bench(TINY, tmp_path / "gpu.json", time.perf_counter() + 60)
    bench.do("one", [("breaks", lambda: {"figure": 1 / 0}), ("goes on", lambda: {"figure": 1.0})])
    bench.ends = time.perf_counter()
    bench.do("two", [("late", lambda: {"figure": 1.0})])
    assert bench.found["one"]["breaks"]["failed"].startswith("ZeroDivisionError")
    assert bench.found["one"]["goes on"] == {"figure": 1.0}
    assert bench.found["two"]["late"] == {"skipped": "no time is left"}


DEVICE = {"device": {"name": "H200", "gib": 139.8, "torch": "2.11.0"}, "bfloat16 matmul": {"tflops": 803.0}}
FAST = {"documents_s": 1000.0, "unique_tokens_s": 5e4, "of_matmul": 0.5, "spread": 0.01}
SLOW = {"documents_s": 200.0, "batch": 128, "spread": 0.02}
FAR = {"float32_max": 2e-5, "max": 0.5, "their_max": 0.25, "rms": 0.1, "their_rms": 0.2, "ok": False}


def test_files_of_a_gpu_become_a_section(tmp_path: Path) -> None:
    """The later file counts; what was not measured is a dash and named; what is farther off is bold."""
    late = {"skipped": "no time is left"}
    runs: list[Any] = [
        {"rates": DEVICE, "scoring": {"labels, amuro": FAST | {"documents_s": 1.0}}, "generation": {}},
        {"rates": DEVICE, "scoring": {"labels, amuro": FAST, "labels, lm_eval": SLOW, "labels, distance": FAR}},
        {"tuning": {"short, amuro": {"step_ms": 10.0, "spread": 3.0}, "short, Trainer": late, "short, distance": late}},
    ]
    files = [tmp_path / f"{number}.json" for number in range(len(runs))]
    for file, run in zip(files, runs, strict=True):
        file.write_text(json.dumps(run))
    section.main(["--page", str(tmp_path / "performance.md"), *map(str, files)])
    text = (tmp_path / "performance.md").read_text()
    row = "| labels | 1,000 | 50,000 | 50% | 200 | 128 | 5.0 | 1% / 2% | 2.0e-05 | **0.500 / 0.250** | 0.100 / 0.200 |"
    assert row in text.splitlines()
    assert "| short | 10.0 | – | – | – | – | 300% / – | – | – | – / – | – / – |" in text.splitlines()
    assert "Not measured (no time is left): short, Trainer; short, distance." in text
    assert "*Scoring, generation: H200, 140 GiB, about 800 Tflop/s in a large bfloat16 matrix product; torch" in text
    assert "*Tuning: on a device that was not recorded.*" in text


def test_a_ratio_of_uneven_passes_stands_in_brackets() -> None:
    """Either side's passes may differ too much."""
    assert section.ratio({"rate": 3.0, "spread": 0.1}, {"rate": 2.0, "spread": 0.2}, "rate") == "1.5"
    assert section.ratio({"rate": 3.0, "spread": 0.1}, {"rate": 2.0, "spread": 0.3}, "rate") == "(1.5)"
