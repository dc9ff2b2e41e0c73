"""The analyses' verdicts beside what the embedded world was built to hold, over several seeds, as a Markdown table.

Usage: .venv/bin/python scripts/planted_truth.py results/demo_seeds/seed-1 results/demo_seeds/seed-2 …
Each folder is what `amuro report --out` wrote. TRUTH was written from docs/world.md, from what documents the corpus
holds and does not hold, not from any result.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

TRUTH = (
    ("latent_gain.world_inference.inference", True, "practised in other words, never in this layout"),
    ("latent_gain.world_paraphrase.paraphrase", True, "practised in other words, never in this layout"),
    ("latent_gain.world_reading.reading", False, "the corpus holds this very form: nothing is hidden"),
    ("learned_in_pretraining.world_reading.reading.rise", True, "the corpus holds this very form"),
    ("learned_in_pretraining.world_inference.inference.rise", False, "no document has this form"),
    ("learned_in_pretraining.world_paraphrase.paraphrase.rise", False, "no document has this form"),
    ("learned_in_pretraining.world_inference.inference.tuning", True, "only tuning shows the form"),
    ("learned_in_pretraining.world_paraphrase.paraphrase.tuning", True, "only tuning shows the form"),
    ("learned_in_pretraining.world_question.question.tuning", True, "documents go from question to answer, never back"),
    ("gain.world_inference.inference", True, "only tuning shows the form"),
    ("gain.world_paraphrase.paraphrase", True, "only tuning shows the form"),
    ("gain.world_question.question", True, "only tuning shows the form"),
    ("gain.world_reading.reading", False, "known before tuning, at the last checkpoint"),
    ("transfer.world_inference.test_ood.inference", True, "held-out values obey the same rules"),
    ("transfer.world_paraphrase.test_ood.paraphrase", True, "held-out values obey the same rules"),
    ("transfer.world_question.test_ood.question", True, "held-out values obey the same rules"),
    ("transfer.world_reading.test_ood.reading", False, "known before tuning, at the last checkpoint"),
    ("forgetting.world_inference.reading", False, "the base is at chance: there is nothing to forget"),
    ("forgetting.world_paraphrase.reading", False, "the base is at chance: there is nothing to forget"),
)
"""(finding, whether it is true in this world, why)."""


def judged(finding: Mapping[str, object] | None, true: bool) -> str:
    """`right`, `wrong`, or why nothing was said. In a world where a claim is false, *refuted* is right."""
    if finding is None:
        return "absent"
    if finding["evidence"] != "measured":
        return str(finding["evidence"])
    return {
        ("supported", True): "right",
        ("refuted", False): "right",
        ("open", True): "open",
        ("open", False): "open",
    }.get((str(finding["verdict"]), true), "wrong")


def table(folders: list[Path]) -> Iterator[str]:
    """One row a planted truth: what is true, why, and what each seed's verdict was worth."""
    found = {
        f.name: {x["id"]: x for x in json.loads((f / "findings.json").read_text(encoding="utf-8"))["findings"]}
        for f in folders
    }
    yield "| finding | planted | why | " + " | ".join(found) + " |"
    yield "|---|---|---|" + "---|" * len(found)
    tally: Counter[str] = Counter()
    for name, true, why in TRUTH:
        cells = [judged(findings.get(name), true) for findings in found.values()]
        tally.update(cells)
        yield f"| {name} | {'true' if true else 'false'} | {why} | {' | '.join(cells)} |"
    yield ""
    yield "Over all: " + ", ".join(f"{number} {word}" for word, number in tally.most_common()) + "."


if __name__ == "__main__":
    print("\n".join(table([Path(word) for word in sys.argv[1:]])))
