"""The rules from estimate to verdict, at their edges."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amuro.core.types import EvidenceState, Finding, Verdict
from amuro.results.stats.estimate import Estimate
from amuro.results.verdicts import Claim, decide_verdicts

DRAFT = Finding(
    id="x.t", analysis="x", statement="", verdict="open", evidence="measured", effect=None, low=None, high=None, n=60,
    unit="clusters", delta=0.1, family="x", p_adjusted=None, series="s", cells=("c",),
)  # fmt: skip


def claim(value: float, se: float, evidence: EvidenceState = "measured", **further: float | bool) -> Claim:
    return Claim(replace(DRAFT, evidence=evidence), Estimate.of(value, se, 1e6), **further)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "se", "verdict"),
    [
        (0.30, 0.05, "supported"),  # above 0, and at least δ
        (0.11, 0.05, "supported"),
        (0.09, 0.04, "open"),  # above 0, below δ, and δ not excluded
        (0.05, 0.01, "refuted"),  # above 0, yet surely below δ
        (0.00, 0.04, "refuted"),  # no effect, δ excluded
        (0.30, 0.20, "open"),  # not surely above 0
        (-0.50, 0.05, "refuted"),
        (0.10, 0.00, "supported"),  # exactly δ, nothing varies
    ],
)
def test_verdict_follows_interval_and_delta(value: float, se: float, verdict: Verdict) -> None:
    """Supported needs the interval above 0 and the estimate at δ; refuted the interval below δ; else open."""
    assert decide_verdicts([claim(value, se)])[0].verdict == verdict


@pytest.mark.parametrize("evidence", ["not run", "degenerate", "insufficient", "mixed"])
def test_only_measured_evidence_is_judged(evidence: EvidenceState) -> None:
    """Whatever the numbers, any other state is open, keeps its numbers, and takes no part in the correction."""
    clear, other = decide_verdicts([claim(0.9, 0.01, evidence), claim(0.30, 0.05)])
    assert (clear.verdict, clear.p_adjusted, clear.effect) == ("open", None, 0.9)
    assert other.p_adjusted == pytest.approx(Estimate.of(0.30, 0.05, 1e6).p_two_sided())


def test_a_condition_that_fails_forbids_support_only() -> None:
    """Where a further condition does not hold the claim is open, and an excluded effect stays refuted."""
    assert decide_verdicts([claim(0.3, 0.05, holds=False)])[0].verdict == "open"
    assert decide_verdicts([claim(0.3, 0.05, p=0.2)])[0].verdict == "open"
    assert decide_verdicts([claim(0.0, 0.01, holds=False)])[0].verdict == "refuted"


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.001, 0.5)), max_size=8))
def test_company_never_turns_open_into_supported(numbers: list[tuple[float, float]]) -> None:
    """Among other claims one is supported only if it is alone; refuted is the same in any company."""
    together = decide_verdicts([claim(value, se) for value, se in numbers])
    for finding, (value, se) in zip(together, numbers, strict=True):
        alone = decide_verdicts([claim(value, se)])[0]
        assert (finding.verdict == "refuted") == (alone.verdict == "refuted")
        assert finding.verdict != "supported" or alone.verdict == "supported"
