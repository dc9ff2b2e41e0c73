"""Before a run: what a planned study will be able to see, from the finished cells of a pilot.

A pilot is the same study, run with `--limit` or `--only`: cells that differ from the planned ones in their row limit
alone tell how much examples, clusters and tuning runs vary. It needs no model and no torch.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from amuro.core.types import Cell, EvalSet
from amuro.results import scoring
from amuro.results.analyses import load_analysis
from amuro.results.analyses.base import Evidence
from amuro.results.finding_text import MIN_CLUSTERS, counted, smallest_effect
from amuro.results.stats import power
from amuro.results.stats.power import Components, Design
from amuro.results.trajectory import Trajectory, trajectories
from amuro.results.verdicts import ALPHA
from amuro.study.audit_keys import kept_of_whole
from amuro.study.inputs import Inputs
from amuro.study.plan import Plan
from amuro.study.status import state_of
from amuro.study.store import Manifest, Store

ANALYSES = {"in_domain": "gain", "out_of_domain": "transfer"}
"""Role of a set → the analysis whose effect is to be seen there."""
FEWEST_CLUSTERS = 10
"""Below it a pilot says too little of how clusters vary."""
PILOT_ROWS = 100


@dataclass(frozen=True)
class PowerEstimate:
    """What can be seen of one gain, at the latest checkpoint."""

    recipe: str
    name: str
    """TASK/SPLIT"""
    series: str
    family: int
    """Gains that are corrected together."""
    pilot: Design
    planned: Design
    detectable: float
    """Told from 0 in 80 % of such studies, after correction."""
    low: float
    high: float
    """Its 95 % interval: the noise is estimated from the pilot."""
    supported_from: float
    delta: float
    rows_needed: int | None
    """For δ with the planned seeds, on as many clusters as a claim needs; None where no number of rows is enough."""
    available: int | None
    """Rows that the set has; None where it was never audited."""
    seeds_needed: int | None
    """For δ with the planned rows; None where no number of seeds is enough."""

    @property
    def beyond(self) -> bool:
        """Whether δ needs more rows than the set has."""
        return self.available is not None and self.rows_needed is not None and self.rows_needed > self.available


@dataclass(frozen=True)
class PowerReport:
    """What a planned study will be able to see."""

    sights: tuple[PowerEstimate, ...]
    notes: tuple[str, ...]
    """What is not known, and what to run so that it is."""


def power_report(plan: Plan, store: Store, path: str) -> PowerReport:
    """One sight a tuned task and set of its own, in and out of domain, of which a pilot has run."""
    tuned = [cell for cell in plan.cells if cell.model.recipe and plan.roles[cell.address] in ANALYSES]
    sets = {_what(cell)[1:] for cell in tuned}
    found = pilot(plan, store)
    evidence = _evidence(plan, store, found) if found else None
    sights = tuple(_sights(plan, store, evidence)) if evidence else ()
    seen = {(sight.recipe, sight.name) for sight in sights}
    return PowerReport(sights, tuple(_notes(plan, path, sights, sorted(sets - seen))))


def pilot(plan: Plan, store: Store) -> dict[str, Manifest]:
    """Planned address → the finished cell that was asked the same way, of all row limits the one with most rows."""
    inputs, kept = Inputs(plan, store), defaultdict[str, list[Manifest]](list)
    for address, results in store.cells().items():
        kept[_any_limit(address)] += results
    found: dict[str, Manifest] = {}
    for cell in _needed(plan):
        results = sorted(kept[_any_limit(cell.address)], key=lambda result: -result["coordinates"]["limit"])
        if result := state_of(inputs, cell, results, besides=("tuning.choice.rows",)).manifest:
            found[cell.address] = result
    return found


def _any_limit(address: str) -> str:
    return re.sub(r"\|n\d+\|", "|n|", address)


def _needed(plan: Plan) -> Iterator[Cell]:
    """Zero-shot cells (or those with the fewest shots) of the sets that tuned models are judged on."""
    sets = {cell.eval_set for cell in plan.cells if plan.roles[cell.address] in ANALYSES}
    asked = [cell for cell in plan.cells if cell.eval_set in sets]
    fewest: dict[EvalSet, int] = {}
    for cell in asked:
        fewest[cell.eval_set] = min(cell.shots, fewest.get(cell.eval_set, cell.shots))
    yield from (cell for cell in asked if cell.shots == fewest[cell.eval_set])


def _evidence(plan: Plan, store: Store, found: Mapping[str, Manifest]) -> Evidence:
    items, totals = scoring.tables(store, found, plan.roles, plan.tasks, plan.checkpoints)
    return Evidence(items, totals, plan.tasks, plan.study.name)


def _sights(plan: Plan, store: Store, evidence: Evidence) -> Iterator[PowerEstimate]:
    for role, analysis in ANALYSES.items():
        family = len({_what(cell) for cell in plan.cells if plan.roles[cell.address] == role and cell.model.recipe})
        for found in trajectories(evidence, [role]):
            if found.source.groups >= FEWEST_CLUSTERS and found.contrast(found.at(-1), -found.at(-1)).variance > 0:
                delta = smallest_effect(load_analysis(analysis), evidence, found)
                yield _sight(found, *_planned(plan, store, found), family, delta)


def _what(cell: Cell) -> tuple[str, str, str]:
    assert cell.model.recipe is not None
    return cell.model.checkpoint.series, cell.model.recipe.name, str(cell.eval_set)


def _sight(found: Trajectory, planned: Design, available: int | None, family: int, delta: float) -> PowerEstimate:
    noise, own, alpha = _components(found), _pilot_design(found), ALPHA / family
    sources = tuple(power.parts(noise, planned))
    # What a planned test will know of its noise is one thing; how well the pilot knows it is another.
    of_items = power.variance_df(found.tuned[-1] - found.base[-1], found.clusters)
    known = (of_items, float(max(own.run_df, 1)))[: len(sources)]
    margin = power.Margin(delta, sources, alpha, known=known)
    low, high = margin.detectable_interval()
    return PowerEstimate(
        recipe=found.tuning.recipe,
        name=found.name,
        series=found.tuning.series,
        family=family,
        pilot=own,
        planned=planned,
        detectable=margin.detectable,
        low=low,
        high=high,
        supported_from=margin.supported_from,
        delta=delta,
        rows_needed=power.rows_needed(noise, planned, delta, alpha, MIN_CLUSTERS),
        available=available,
        seeds_needed=power.seeds_needed(noise, planned, delta, alpha) if own.run_df else None,
    )


def _components(found: Trajectory) -> Components:
    """Where the noise of (tuned − base) at the latest finished checkpoint comes from."""
    between, within = power.components(found.tuned[-1] - found.base[-1], found.clusters)
    if not found.noise:
        return Components(between, within, seeds=int(found.seeds[-1]))
    return Components(
        between, within, found.noise.beyond, found.noise.sampling * len(found.examples), int(found.seeds[-1])
    )


def _pilot_design(found: Trajectory) -> Design:
    run_df = int(found.noise.df) if found.noise else 0
    return Design(len(found.examples), found.source.groups, int(found.seeds[-1]), len(found.replicated), run_df)


def _planned(plan: Plan, store: Store, found: Trajectory) -> tuple[Design, int | None]:
    """What the plan asks of the same tuned task on the same set, and how many rows that set has."""
    seeds: dict[int, set[int | None]] = defaultdict(set)
    limit = 0
    for cell in plan.cells:
        model = cell.model
        ours = model.recipe and _what(cell) == (found.tuning.series, found.tuning.recipe, found.name)
        if ours and cell.format == found.format:
            seeds[model.checkpoint.step].add(model.tune_seed)
            limit = max(limit, cell.limit)
    several = [len(of) for step, of in seeds.items() if len(of) > 1 and step != 0]
    whole = _whole(plan, store, found)
    rows = min(limit, whole[0]) if whole else limit
    design = Design(
        rows, _clusters(found, rows, whole), len(seeds[max(seeds)]), len(several), sum(several) - len(several)
    )
    return design, whole[0] if whole else None


def _whole(plan: Plan, store: Store, found: Trajectory) -> tuple[int, int] | None:
    """(rows, clusters) of the whole set, as its audit counted them before the pilot ran."""
    audits = kept_of_whole(plan, store, found.task, found.split)
    return next(((m["whole_rows"], m["whole_clusters"]) for m in audits), None)


def _clusters(found: Trajectory, rows: int, whole: tuple[int, int] | None) -> int:
    """Clusters to expect among so many rows.

    Of R rows in C clusters in random order, n lie in about C · (1 − (1 − n/R)^(R/C)). Where the set was never audited,
    clusters are taken to come as often as in the pilot.
    """
    pilot_rows, pilot_clusters = len(found.examples), found.source.groups
    if whole is None:
        return max(round(pilot_clusters * rows / pilot_rows), 2)
    R, C = whole
    expected: float = C * (1 - (1 - rows / R) ** (R / C))
    return max(round(expected), min(pilot_clusters, C))


def _notes(plan: Plan, path: str, sights: tuple[PowerEstimate, ...], unseen: list[tuple[str, str]]) -> Iterator[str]:
    if sights:
        yield ("Detectable: told from 0 in 80 % of such studies, corrected within in-domain and within out-of-domain "
               "sets. An estimate must reach δ as well for a finding to be supported.")  # fmt: skip
    if any(not sight.pilot.run_df for sight in sights):
        yield "Where the pilot has one tuning seed, the noise of runs is unknown and not counted: more will be needed."
    if any(not sight.planned.run_df for sight in sights):
        yield "Where one tuning seed is planned, what is seen will hold for these weights, and no trend can be claimed."
    if not unseen:
        return
    named = ", ".join(f"{recipe} → {name}" for recipe, name in unseen[:4]) + (" …" if len(unseen) > 4 else "")
    yield f"No pilot for {counted(len(unseen), 'tuned set')}: {named}."
    yield f"To pilot: amuro run {path} --limit {PILOT_ROWS} --only step={_pilot_step(plan)}"


def _pilot_step(plan: Plan) -> int:
    """The latest checkpoint at which most tuning seeds are planned."""
    seeds: dict[int, set[int | None]] = defaultdict(set)
    for model in plan.models:
        if model.recipe:
            seeds[model.checkpoint.step].add(model.tune_seed)
    return max(seeds, key=lambda at: (len(seeds[at]), at), default=int(plan.checkpoints[-1].step))
