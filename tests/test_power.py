"""What can be seen: smallest detectable effects against simulation, and a pilot's outlook before a run."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_table

from amuro.results.power import PowerReport, power_report
from amuro.results.stats import power
from amuro.results.stats.estimate import Part, combine
from amuro.results.stats.power import Components, Design, Margin
from amuro.run.runner import run
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.store import Store

pytestmark = pytest.mark.filterwarnings("error")
SOURCES: list[list[Part]] = [
    [(1.0, 55.0)],
    [(1.0, 55.0), (1.0, 4.0)],
    [(1.0, 55.0), (0.1, 4.0)],
    [(0.2, 55.0), (1.0, 8.0)],
]


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
@pytest.mark.parametrize("parts", SOURCES)
def test_the_detectable_effect_is_seen_four_times_in_five(parts: list[Part], alpha: float) -> None:
    """Variances and estimate are drawn; an effect of just that size is told from 0 in 80 ± 3 %."""
    effect, true, rng = power.detectable(parts, alpha), sum(v for v, _ in parts), np.random.default_rng(0)
    seen = 0
    for _ in range(4000):
        known = [(v * rng.chisquare(df) / df, df) for v, df in parts]
        seen += combine(effect + rng.normal(0, true**0.5), known).p_two_sided() <= alpha
    assert seen / 4000 == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("parts", SOURCES)
def test_intervals_of_the_detectable_effect_hold_the_truth(parts: list[Part]) -> None:
    """Variances are drawn around the true ones; intervals hold the true smallest effect in 93 to 97 % of 2,000."""
    true, rng = power.detectable(parts), np.random.default_rng(1)
    drawn = ([(v * rng.chisquare(df) / df, df) for v, df in parts] for _ in range(2000))
    bounds = [power.detectable_interval(known, [df for _, df in known], 0.05) for known in drawn]
    assert np.mean([low <= true <= high for low, high in bounds]) == pytest.approx(0.95, abs=0.02)


def test_margin_judges_by_the_rules_of_verdicts() -> None:
    """p is below .05 exactly where the interval leaves 0 out, on either side, and 1 where the margin is nought."""
    parts = ((1.0, 55.0), (0.3, 4.0))
    least = power.detectable(parts)
    for delta in np.linspace(0.3, 4, 30) * least:
        margin = Margin(float(delta), parts, 0.05)
        low, high = margin.interval()
        assert (low > 0 or high < 0) == (margin.p_two_sided() < 0.05)
        assert low <= margin.value <= high
        assert margin.supported_from >= max(margin.detectable, delta)
    assert Margin(least, parts, 0.05).p_two_sided() == 1.0
    assert power.detectable([(0.0, 55.0)]) == 0.0


def test_components_find_clusters_and_examples() -> None:
    """Clusters of variance 2 with examples of variance 1 are told apart, and give the variance of the mean."""
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(400), 5)
    between, within = power.components(rng.normal(0, 2**0.5, 400)[clusters] + rng.normal(0, 1, 2000), clusters)
    assert between == pytest.approx(2, rel=0.2)
    assert within == pytest.approx(1, rel=0.1)


def test_clusters_that_hold_every_answer_once_vary_less() -> None:
    """Where each cluster has one right answer of three, the mean is certain, and the components say so."""
    clusters = np.repeat(np.arange(60), 3)
    assert power.components(np.tile([1.0, 0.0, 0.0], 60), clusters) == pytest.approx((0.0, 0.0))


def test_uneven_clusters_know_less() -> None:
    """Sixty normal clusters know their variance with nearly sixty degrees; the more uneven their size, the fewer."""
    rng, clusters = np.random.default_rng(4), np.arange(60)
    alike = np.median([power.variance_df(rng.normal(0, 1, 60), clusters) for _ in range(200)])
    uneven = np.median([power.variance_df(rng.normal(0, 1, 60) * rng.exponential(1, 60), clusters) for _ in range(200)])
    assert 45 < alike <= 59
    assert uneven < 25
    assert power.variance_df(np.ones(60), clusters) == 59


def test_what_an_effect_needs_is_enough_and_not_too_much() -> None:
    """The rows and seeds that are named detect δ; one fewer does not."""
    noise, design = Components(0.05, 0.1, 0.0004, 0.05, 3), Design(200, 50, 3, 2, 4)
    rows = power.rows_needed(noise, design, 0.12, 0.05)
    assert rows is not None
    for number, enough in ((rows, True), (rows - 8, False)):
        asked = dataclasses.replace(design, rows=number, clusters=round(number / 4))
        assert (power.detectable(power.parts(noise, asked)) <= 0.12) == enough
    seeds = power.seeds_needed(noise, design, 0.12, 0.05)
    assert seeds is None or seeds >= 2


def test_no_number_of_rows_makes_up_for_runs() -> None:
    """Where two runs alone lie further apart than δ, rows do not help, and seeds do."""
    noise, design = Components(0.0, 0.1, 0.01, 0.05, 2), Design(2000, 500, 2, 2, 2)
    assert power.rows_needed(noise, design, 0.1, 0.05) is None
    assert power.seeds_needed(noise, design, 0.1, 0.05) is not None
    assert power.seeds_needed(noise, design, 0.001, 0.05) is None


def study(limit: int, **changes: object) -> planning.Plan:
    table = toy_table(**changes)
    table["tune"][0] |= {"replicate_seeds": [1, 2], "replicate_seeds_at": [1000, 10000]}
    table["evaluate"] = [{"models": ["base", "tuned"], "sets": ["in_domain", "world_inference/test"], "limit": limit}]
    return planning.make(studies.parse(table))


def seen(store: Store, *, pilot: int, planned: int) -> PowerReport:
    """What a study of `planned` rows can see after a pilot of `pilot` rows."""
    run(study(pilot), store, lambda event: None)
    return power_report(study(planned), store, "my_study.toml")


def test_without_a_pilot_it_says_what_to_run(store: Store) -> None:
    """No finished cell: no number, and the command that gives one."""
    told = power_report(study(200), store, "my_study.toml")
    assert told.sights == ()
    assert told.notes == ("No pilot for 1 tuned set: inference → world_inference/test.",
                          "To pilot: amuro run my_study.toml --limit 100 --only step=10000")  # fmt: skip


def test_a_pilot_of_fewer_rows_tells_what_more_will_show(store: Store) -> None:
    """Cells that differ in their row limit alone are a pilot; more rows of the same kind show a smaller gain."""
    (sight,) = seen(store, pilot=60, planned=300).sights
    (as_piloted,) = power_report(study(60), store, "my_study.toml").sights
    assert (sight.pilot.rows, sight.planned.rows, sight.planned.seeds, sight.planned.run_df) == (60, 300, 3, 4)
    assert sight.pilot.clusters <= sight.planned.clusters
    assert sight.low <= sight.detectable <= sight.high
    assert sight.detectable < as_piloted.detectable
    assert sight.delta == pytest.approx(0.1 * 2 / 3)
    assert np.isfinite([sight.low, sight.high, sight.supported_from]).all()


def test_a_pilot_of_a_handful_is_none(store: Store) -> None:
    """Under ten clusters nothing is told, and the set counts as not piloted."""
    told = seen(store, pilot=4, planned=200)
    assert told.sights == ()
    assert "No pilot" in told.notes[0]


def test_cells_from_other_inputs_are_no_pilot(store: Store) -> None:
    """A pilot of another world, or made stale since, tells nothing of this study."""
    run(study(60), store, lambda event: None)
    assert power_report(study(200, world_seed=4), store, "my_study.toml").sights == ()


def test_the_verb_prints_and_loads_no_torch(tmp_path: Path) -> None:
    """`amuro plan --power` answers in words and, with --json, as data; torch is not imported."""
    root = Path(__file__).parents[1]
    for further, find in ((["--json"], '"power"'), ([], "To pilot:")):
        words = ["amuro", "plan", "studies/smoke.toml", "--store", str(tmp_path / "store"), "--power", *further]
        code = (
            "import sys; from amuro.cli.main import main; "
            f"sys.argv = {words!r}; main(); assert 'torch' not in sys.modules"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert find in done.stdout
        if further:
            assert json.loads(done.stdout)["power"]["sights"] == []
