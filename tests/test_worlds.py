"""Analyses against worlds of known truth (world_shelf.py; the long table is `make worlds`)."""

from __future__ import annotations

import pytest
from run_worlds import answers, broken, covered
from world_kinds import Coverage, World
from world_shelf import COVERAGE, WORLDS

from amuro.core import registry

ANALYSES = registry.names("analyses")
FULL = {
    "no gain", "gain", "gain at home only", "transfer", "churn only", "guessing anew", "forgotten facts",
    "formats alike", "formats differ", "constant effect", "constant effect, to the ceiling", "eased", "no advantage",
    "advantage", "latent", "nothing grows", "one checkpoint", "base climbs by delta", "constant share of the room",
    "one ceiling below 1", "gain less", "flat base", "rises", "jump at the end", "plateau", "falls after a peak",
    "one bad last run", "checkpoints alike", "checkpoints differ", "seeds scatter where none is replicated",
    "a plain study", "easy to see", "growth, runs scatter",
}  # fmt: skip
"""Of each analysis a null, a true and a misspecified world get 100 draws; the others 25, enough to see one break."""
NULL_LIMIT, TRUE_LIMIT = 0.09, 0.72


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: f"{w.analysis}: {w.name}")
def test_world_is_judged_rightly(world: World) -> None:
    """Null and reversed worlds are supported in at most 9 % of draws, true worlds in at least 72 %."""
    counts = answers(world, 100 if world.name in FULL else 25, tasks=1)
    assert not broken(world, counts, NULL_LIMIT, TRUE_LIMIT), counts


@pytest.mark.parametrize("known", COVERAGE, ids=lambda w: f"{w.analysis}: {w.name}")
def test_intervals_hold_the_truth(known: Coverage) -> None:
    """Nominal 95 % intervals hold the true effect in 90 to 99.5 % of 150 draws (93 to 97 % in `make worlds`)."""
    assert 0.90 <= covered(known, 150) <= 0.995


def test_every_analysis_has_its_worlds() -> None:
    """Each analysis faces null, true and reversed worlds, at least three of its nulls or reversals together."""
    for name in ANALYSES:
        truths = [world.truth for world in WORLDS if world.analysis == name]
        assert {"null", "true", "reversed"} <= set(truths)
        assert truths.count("null") >= 1
        assert len(truths) >= 3
