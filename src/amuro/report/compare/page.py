"""The page that compares two studies: findings by id, matched scores, and differences of settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from amuro.core.errors import StoreError
from amuro.core.types import Finding
from amuro.report import formatting
from amuro.report.compare import match_findings as by_id
from amuro.report.compare import match_scores as by_place
from amuro.report.compare import settings_diff
from amuro.report.compare.saved_report import Kept
from amuro.report.compare.tables import differences, findings_rows
from amuro.report.files import put_text
from amuro.report.html.csp import static_policy, without_formulas
from amuro.report.html.page import environment, source
from amuro.report.plots.svg_effect_pair import effect_bar_pair

VALUES_SHOWN = 12
"""Values of a coordinate that are listed."""


@dataclass(frozen=True, slots=True)
class PairCard:
    """A finding of both studies as the page shows it."""

    anchor: str
    pair: by_id.Pair
    sentences: tuple[str, str]
    effect_bar: Markup
    difference: str


def write_beside(left: Kept, right: Kept, out: Path) -> Path:
    """Writes compare.html, compare_findings.csv and compare_scores.csv, and returns the path of the page.

    Raises `StoreError` where `out` cannot be written.
    """
    findings = by_id.match(left.findings, right.findings)
    scores = by_place.match(left.scores, right.scores)
    try:
        out.mkdir(parents=True, exist_ok=True)
        put_text(out / "compare_findings.csv", without_formulas(findings_rows(findings)).write_csv())
        put_text(out / "compare_scores.csv", without_formulas(scores.rows).write_csv())
        put_text(out / "compare.html", render_beside(left, right, findings, scores))
    except OSError as bad:
        raise StoreError(
            f"the comparison cannot be written to {out}: {bad}", "choose another folder with --out"
        ) from bad
    return out / "compare.html"


def render_beside(left: Kept, right: Kept, findings: by_id.Matched, scores: by_place.MatchedScores) -> str:
    """Returns the page. It has no script."""
    tasks = {*left.scores["task"], *right.scores["task"]}
    cards = [_card(pair, k, tasks) for k, pair in enumerate(findings.pairs, 1)]
    asked = settings_diff.asked(left.scores, right.scores)
    return environment().get_template("beside.html.j2").render(
        policy=static_policy(page_style()), style=Markup(page_style()), left=left, right=right,
        names=_names(left, right), differing=[c for c in cards if not c.pair.agree],
        agreeing=[c for c in cards if c.pair.agree], clear=_clear(findings.pairs),
        known=sum(pair.difference is not None for pair in findings.pairs), findings=findings,
        only=_only(findings, tasks), moves=_moves(findings.pairs), scores=scores,
        tables=differences(scores.rows, _metrics(left, right), _lower(left, right)),
        stated=settings_diff.stated(left, right), asked=asked,
        shared=_shared(left, right), shown=VALUES_SHOWN, verdicts=formatting.VERDICTS, evidence=formatting.EVIDENCE,
        apart=[row.coordinate for row in asked if not row.same],
    )  # fmt: skip


def page_style() -> str:
    """Returns the style of pages that show several studies."""
    return source("figure.css") + source("style.css") + source("beside.css")


def _names(left: Kept, right: Kept) -> tuple[str, str]:
    """Returns the names of the two studies; if they are equal, their folders or letters distinguish them."""
    if left.name != right.name:
        return left.name, right.name
    named = left.folder and right.folder and left.folder != right.folder
    return (left.folder, right.folder) if named else (f"{left.name} (A)", f"{right.name} (B)")


def _card(pair: by_id.Pair, place: int, tasks: set[str]) -> PairCard:
    anchor = f"pair-{place}-{formatting.slug(pair.left.id)}"
    told = formatting.sentence(pair.left.statement, tasks), formatting.sentence(pair.right.statement, tasks)
    return PairCard(anchor, pair, told, effect_bar_pair(f"effect-{anchor}", pair.left, pair.right), _difference(pair))


def _difference(pair: by_id.Pair) -> str:
    found = pair.difference
    return f"{formatting.signed(found.value)} {formatting.interval(found.low, found.high)}" if found else ""


def _clear(pairs: Sequence[by_id.Pair]) -> int:
    return sum(pair.difference is not None and pair.difference.clear for pair in pairs)


def _only(found: by_id.Matched, tasks: set[str]) -> list[tuple[str, list[tuple[Finding, str]]]]:
    """Returns (letter, findings that only this study has, with their sentences)."""
    sides = (("A", found.only_left), ("B", found.only_right))
    return [(letter, [(f, formatting.sentence(f.statement, tasks)) for f in side]) for letter, side in sides if side]


def _moves(pairs: Sequence[by_id.Pair]) -> list[tuple[str, list[int]]]:
    """Returns verdict in A → number of findings with each verdict in B."""
    counted = Counter((pair.left.verdict, pair.right.verdict) for pair in pairs)
    order: list[Any] = list(formatting.VERDICTS)
    return [(one, [counted[one, other] for other in order]) for one in order]


def _metrics(left: Kept, right: Kept) -> dict[str, str]:
    """Returns the primary metric of each task, as a study states it."""
    found: dict[str, str] = {}
    for each in (right, left):
        told = each.fact("metrics")
        found |= {str(k): str(v) for k, v in told.items()} if isinstance(told, dict) else {}
    return found


def _lower(left: Kept, right: Kept) -> set[str]:
    """Returns the metrics for which a study states that lower is better."""
    return {str(name) for each in (left, right) for name in each.fact("lower_is_better") or ()}


def _shared(left: Kept, right: Kept) -> int:
    """Returns the number of checkpoints with equal weights in both studies, by the digests of their tensors."""
    known = [set(dict(each.fact("weights") or {}).values()) for each in (left, right)]
    return len(known[0] & known[1])
