"""Power of a planned study: minimum detectable effects, estimated from the finished cells of a pilot.

A pilot is the same study, run with `--limit` or `--only`. Its cells, which may differ from the planned ones in their
row limit only, give the variances of examples, clusters and tuning seeds. No model and no torch is needed.
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
from amuro.results.trajectory import Trajectory
from amuro.results.trajectory_groups import trajectories
from amuro.results.verdicts import ALPHA
from amuro.study.audit_keys import kept_of_whole
from amuro.study.inputs import Inputs
from amuro.study.plan import Plan
from amuro.study.status import state_of
from amuro.study.store import Manifest, Store

ANALYSES = {"in_domain": "gain", "out_of_domain": "transfer"}
"""Role of an evaluation set → the analysis whose effect is estimated there."""
FEWEST_CLUSTERS = 10
"""Fewest clusters of a pilot from which the variance between clusters is estimated."""
PILOT_ROWS = 100
"""Row limit of the pilot command that a report suggests."""


@dataclass(frozen=True)
class PowerEstimate:
    """Power of one tuned task on one evaluation set: the gain at the latest checkpoint."""

    recipe: str
    name: str
    """The evaluation set, TASK/SPLIT."""
    series: str
    family: int
    """Number of gains that are corrected together."""
    pilot: Design
    """Rows, clusters and seeds of the pilot."""
    planned: Design
    """Those of the plan."""
    detectable: float
    """Minimum detectable effect at 80 % power, after correction."""
    low: float
    high: float
    """95 % interval of `detectable`, since the noise is estimated from the pilot."""
    supported_from: float
    """Effect whose estimate also reaches δ with 80 % power, as *supported* requires."""
    delta: float
    """Smallest effect of interest."""
    rows_needed: int | None
    """Rows at which δ is detectable with the planned seeds, in `MIN_CLUSTERS` or more; None: none are enough."""
    available: int | None
    """Rows of the evaluation set; None where it was never audited."""
    seeds_needed: int | None
    """Seeds with which δ is detectable at the planned rows; None where no number of seeds is enough."""

    @property
    def beyond(self) -> bool:
        """Whether δ needs more rows than the set has."""
        return self.available is not None and self.rows_needed is not None and self.rows_needed > self.available


@dataclass(frozen=True)
class PowerReport:
    """Power of all gains of a planned study."""

    sights: tuple[PowerEstimate, ...]
    """One estimate for each gain that has a pilot."""
    notes: tuple[str, ...]
    """Assumptions, what is unknown, and the command whose run makes it known."""


def power_report(plan: Plan, store: Store, path: str) -> PowerReport:
    """Estimates the power for each recipe and its in-domain and out-of-domain sets of which a pilot has run.

    `path` is the study file, for the command in the notes.
    """
    tuned = [cell for cell in plan.cells if cell.model.recipe and plan.roles[cell.address] in ANALYSES]
    sets = {_gain_of(cell)[1:] for cell in tuned}
    finished = pilot(plan, store)
    evidence = _evidence(plan, store, finished) if finished else None
    estimates = tuple(_estimates(plan, store, evidence)) if evidence else ()
    piloted = {(estimate.recipe, estimate.name) for estimate in estimates}
    return PowerReport(estimates, tuple(_notes(plan, path, estimates, sorted(sets - piloted))))


def pilot(plan: Plan, store: Store) -> dict[str, Manifest]:
    """Returns planned address → the finished cell that equals it but for its row limit (the one with most rows)."""
    inputs, kept = Inputs(plan, store), defaultdict[str, list[Manifest]](list)
    for address, results in store.cells().items():
        kept[_any_limit(address)] += results
    finished: dict[str, Manifest] = {}
    for cell in _needed(plan):
        results = sorted(kept[_any_limit(cell.address)], key=lambda result: -result["coordinates"]["limit"])
        if result := state_of(inputs, cell, results, besides=("tuning.choice.rows",)).manifest:
            finished[cell.address] = result
    return finished


def _any_limit(address: str) -> str:
    """Returns a cell address without the number of its row limit."""
    return re.sub(r"\|n\d+\|", "|n|", address)


def _needed(plan: Plan) -> Iterator[Cell]:
    """Yields the cells with the fewest shots of the sets that tuned models are judged on."""
    sets = {cell.eval_set for cell in plan.cells if plan.roles[cell.address] in ANALYSES}
    scored = [cell for cell in plan.cells if cell.eval_set in sets]
    fewest: dict[EvalSet, int] = {}
    for cell in scored:
        fewest[cell.eval_set] = min(cell.shots, fewest.get(cell.eval_set, cell.shots))
    yield from (cell for cell in scored if cell.shots == fewest[cell.eval_set])


def _evidence(plan: Plan, store: Store, finished: Mapping[str, Manifest]) -> Evidence:
    """Scores the finished cells of a pilot."""
    items, totals = scoring.tables(store, finished, plan.roles, plan.tasks, plan.checkpoints)
    return Evidence(items, totals, plan.tasks, plan.study.name)


def _estimates(plan: Plan, store: Store, evidence: Evidence) -> Iterator[PowerEstimate]:
    """Yields the power of each gain that the pilot gives enough clusters and some variance."""
    for role, analysis in ANALYSES.items():
        family = len({_gain_of(cell) for cell in plan.cells if plan.roles[cell.address] == role and cell.model.recipe})
        for trajectory in trajectories(evidence, [role]):
            latest = trajectory.at(-1)
            if trajectory.source.groups >= FEWEST_CLUSTERS and trajectory.contrast(latest, -latest).variance > 0:
                delta = smallest_effect(load_analysis(analysis), evidence, trajectory)
                yield _estimate(trajectory, *_planned(plan, store, trajectory), family, delta)


def _gain_of(cell: Cell) -> tuple[str, str, str]:
    """Returns (series, recipe, evaluation set) of a tuned cell."""
    assert cell.model.recipe is not None
    return cell.model.checkpoint.series, cell.model.recipe.name, str(cell.eval_set)


def _estimate(
    trajectory: Trajectory, planned: Design, available: int | None, family: int, delta: float
) -> PowerEstimate:
    """Computes the power of one gain under the planned design, from the variances of the pilot."""
    noise, piloted, alpha = _components(trajectory), _pilot_design(trajectory), ALPHA / family
    sources = tuple(power.parts(noise, planned))
    # The degrees of freedom of the planned test are in `sources`; these are those of the pilot's variances.
    of_items = power.variance_df(trajectory.tuned[-1] - trajectory.base[-1], trajectory.clusters)
    known = (of_items, float(max(piloted.run_df, 1)))[: len(sources)]
    margin = power.Margin(delta, sources, alpha, known=known)
    low, high = margin.detectable_interval()
    return PowerEstimate(
        recipe=trajectory.tuning.recipe,
        name=trajectory.name,
        series=trajectory.tuning.series,
        family=family,
        pilot=piloted,
        planned=planned,
        detectable=margin.detectable,
        low=low,
        high=high,
        supported_from=margin.supported_from,
        delta=delta,
        rows_needed=power.rows_needed(noise, planned, delta, alpha, MIN_CLUSTERS),
        available=available,
        seeds_needed=power.seeds_needed(noise, planned, delta, alpha) if piloted.run_df else None,
    )


def _components(trajectory: Trajectory) -> Components:
    """Returns the variance components of (tuned − base) at the latest finished checkpoint."""
    between, within = power.components(trajectory.tuned[-1] - trajectory.base[-1], trajectory.clusters)
    if not trajectory.noise:
        return Components(between, within, seeds=int(trajectory.seeds[-1]))
    return Components(
        between,
        within,
        trajectory.noise.beyond,
        trajectory.noise.sampling * len(trajectory.examples),
        int(trajectory.seeds[-1]),
    )


def _pilot_design(trajectory: Trajectory) -> Design:
    """Returns the rows, clusters and seeds of the pilot."""
    run_df = int(trajectory.noise.df) if trajectory.noise else 0
    return Design(
        len(trajectory.examples),
        trajectory.source.groups,
        int(trajectory.seeds[-1]),
        len(trajectory.replicated),
        run_df,
    )


def _planned(plan: Plan, store: Store, trajectory: Trajectory) -> tuple[Design, int | None]:
    """Returns the planned design of a trajectory, and the rows of its set (None where the set was never audited)."""
    seeds: dict[int, set[int | None]] = defaultdict(set)
    limit = 0
    for cell in plan.cells:
        model = cell.model
        ours = model.recipe and _gain_of(cell) == (trajectory.tuning.series, trajectory.tuning.recipe, trajectory.name)
        if ours and cell.format == trajectory.format:
            seeds[model.checkpoint.step].add(model.tune_seed)
            limit = max(limit, cell.limit)
    replicates = [len(tuned) for step, tuned in seeds.items() if len(tuned) > 1 and step != 0]
    audited = _audited(plan, store, trajectory)
    rows = min(limit, audited[0]) if audited else limit
    design = Design(
        rows,
        _clusters(trajectory, rows, audited),
        len(seeds[max(seeds)]),
        len(replicates),
        sum(replicates) - len(replicates),
    )
    return design, audited[0] if audited else None


def _audited(plan: Plan, store: Store, trajectory: Trajectory) -> tuple[int, int] | None:
    """Returns (rows, clusters) of the complete set, as its audit counted them; None where it was never audited."""
    audits = kept_of_whole(plan, store, trajectory.task, trajectory.split)
    return next(((m["whole_rows"], m["whole_clusters"]) for m in audits), None)


def _clusters(trajectory: Trajectory, rows: int, audited: tuple[int, int] | None) -> int:
    """Returns the number of clusters expected among `rows` rows.

    n of R rows in C clusters, in random order, lie in about C · (1 − (1 − n/R)^(R/C)) clusters. Where the set was never
    audited, the pilot's rows per cluster are used.
    """
    pilot_rows, pilot_clusters = len(trajectory.examples), trajectory.source.groups
    if audited is None:
        return max(round(pilot_clusters * rows / pilot_rows), 2)
    R, C = audited
    expected: float = C * (1 - (1 - rows / R) ** (R / C))
    return max(round(expected), min(pilot_clusters, C))


def _notes(plan: Plan, path: str, estimates: tuple[PowerEstimate, ...], unseen: list[tuple[str, str]]) -> Iterator[str]:
    """Yields the notes of a report; `unseen` are (recipe, set) pairs without a pilot."""
    if estimates:
        yield ("Detectable: the minimum detectable effect at 80 % power, corrected within in-domain and within "
               "out-of-domain sets. To be supported, a finding's estimate must reach δ as well.")  # fmt: skip
    if any(not estimate.pilot.run_df for estimate in estimates):
        yield "Where the pilot has one tuning seed, seed variance is unknown and not counted: more rows will be needed."
    if any(not estimate.planned.run_df for estimate in estimates):
        yield "Where one tuning seed is planned, effects will hold for these weights only, and no trend can be claimed."
    if not unseen:
        return
    named = ", ".join(f"{recipe} → {name}" for recipe, name in unseen[:4]) + (" …" if len(unseen) > 4 else "")
    yield f"No pilot for {counted(len(unseen), 'tuned set')}: {named}."
    yield f"To pilot: amuro run {path} --limit {PILOT_ROWS} --only step={_pilot_step(plan)}"


def _pilot_step(plan: Plan) -> int:
    """Returns the step of the checkpoint with the most planned tuning seeds; of several, the latest."""
    seeds: dict[int, set[int | None]] = defaultdict(set)
    for model in plan.models:
        if model.recipe:
            seeds[model.checkpoint.step].add(model.tune_seed)
    return max(seeds, key=lambda at: (len(seeds[at]), at), default=int(plan.checkpoints[-1].step))
