"""Writes what was found on a GPU into docs/performance.md.

    python benchmarks/gpu/section.py FILE.json …

FILE: what `python benchmarks/gpu` wrote. Where two files hold the same stage, the later one counts.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import page

Facts = Mapping[str, Any]
Jobs = Mapping[str, Facts]
Of = Callable[[str], Facts]
"""Name of a job → its figures, of one kind of question; none where it was not done."""

ABOUT = """Found by `python benchmarks/gpu`: wall seconds, one side after the other, the median of three passes after a
warm-up. The model has OLMo-1B's shape (1.2 billion parameters) with random weights, and all words are random. Both
sides compute in bfloat16, and a peer takes the best of its batch sizes. *Share* is how much of the rate of a large
bfloat16 matrix product amuro reaches, counting only the operations that the answers need. *Spread* is the range of
the passes as a share of their median; where one exceeds 25 %, or there was but one pass, the ratio stands in brackets.
Pairs are amuro / peer, distances are in nats. **Bold**: amuro is farther from float32 than the peer, or float32
differs by more than 1e-4, or a text differs. A dash: not measured."""
UNSURE, NEAR = 0.25, 1e-4
VERSIONS = ("cuda", "python", "torch", "transformers", "accelerate", "peft", "numpy", "lm_eval")


def main(words: Sequence[str] | None = None) -> None:
    """Fills the place of the section and leaves the rest of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, default=page.PAGE)
    wish = parser.parse_args(words)
    page.write(wish.page, "gpu", section([json.loads(file.read_text(encoding="utf-8")) for file in wish.files]))


def section(runs: Iterable[Mapping[str, Jobs]]) -> str:
    """Heading, method, a table a stage, machines."""
    stages = {stage: (jobs, machine(run.get("rates", {}))) for run in runs for stage, jobs in run.items()}
    parts, where = [f"## {page.SECTIONS['gpu']}", ABOUT], dict[str, list[str]]()
    for stage, (title, joint, columns) in TABLES.items():
        if stage in stages:
            jobs, device = stages[stage]
            parts += [f"### {title}", table(jobs, joint, columns), *beside_trainer(jobs), *left_out(jobs)]
            where.setdefault(device, []).append(stage)
    parts += [f"*{', '.join(held).capitalize()}: {device}.*" for device, held in where.items()]
    return "\n\n".join(parts)


def machine(rates: Jobs) -> str:
    """Date, card, its rate in round figures, versions."""
    device = rates.get("device", {})
    if "name" not in device:
        return "on a device that was not recorded"
    card = [*filter(None, [device.get("date")]), device["name"], f"{device.get('gib', 0):.0f} GiB"]
    if "tflops" in (product := rates.get("bfloat16 matmul", {})):
        card.append(f"about {round(product['tflops'], -1):.0f} Tflop/s in a large bfloat16 matrix product")
    return f"{', '.join(card)}; {', '.join(f'{name} {device[name]}' for name in VERSIONS if name in device)}"


def table(jobs: Jobs, joint: str, columns: Mapping[str, Callable[[Of], str]]) -> str:
    """A kind of question a row; its jobs are named by it, the joint and what is done."""
    lines = [[*columns], ["---"] * len(columns)]
    for kind in dict.fromkeys(name.partition(joint)[0] for name in jobs if "beside" not in name):
        of = partial(_facts, jobs, kind + joint)
        lines.append([kind, *(cell(of) for cell in [*columns.values()][1:])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _facts(jobs: Jobs, before: str, job: str) -> Facts:
    return jobs.get(before + job, {})


def figure(facts: Facts, key: str, form: str = ",.0f") -> str:
    return format(facts[key], form) if key in facts else "–"


def bold(text: str, wrong: bool) -> str:
    return f"**{text}**" if wrong else text


def gap(facts: Facts, key: str) -> str:
    """Bold beyond what float32 may differ by."""
    return bold(figure(facts, key, ".1e"), not facts.get(key, 0.0) <= NEAR)


def distance(facts: Facts, key: str) -> str:
    """Largest or RMS, of both sides, judged by the digits that are shown."""
    ours, theirs = figure(facts, key, "#.3g"), figure(facts, f"their_{key}", "#.3g")
    return bold(f"{ours} / {theirs}", key in facts and not float(ours) <= float(theirs))


def spread(ours: Facts, theirs: Facts) -> str:
    return f"{figure(ours, 'spread', '.0%')} / {figure(theirs, 'spread', '.0%')}"


def ratio(above: Facts, below: Facts, key: str) -> str:
    """In brackets where the passes of one side differ much, or there was but one."""
    if not (key in above and key in below):
        return "–"
    found = f"{above[key] / below[key]:.1f}"
    return f"({found})" if max(side.get("spread", math.inf) for side in (above, below)) > UNSURE else found


def equal(facts: Facts) -> str:
    found = f"{facts['identical']} of {facts['of']}" if "of" in facts else "–"
    return bold(found, facts.get("identical") != facts.get("of"))


def other_texts(facts: Facts) -> str:
    found = f"{figure(facts, 'other_than_cpu')} / {figure(facts, 'other_than_plain')}"
    return bold(found, facts.get("ok") is False)


def beside_trainer(jobs: Jobs) -> Iterator[str]:
    if "max" in (found := jobs.get("llama beside Trainer", {})):
        most = f"differ by {gap(found, 'max')} at the most, over {found['steps']} steps"
        yield f"The float32 losses of a Llama that amuro and Trainer tune on the GPU {most}."


def left_out(jobs: Jobs) -> Iterator[str]:
    """Jobs without figures, by reason."""
    reasons: dict[str, list[str]] = {}
    for name, facts in jobs.items():
        if reason := facts.get("failed") or facts.get("skipped"):
            reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"Not measured ({reason}): {'; '.join(names)}."


SCORING: Mapping[str, Callable[[Of], str]] = {
    "question": str,
    "documents/s": lambda of: figure(of("amuro"), "documents_s"),
    "unique tokens/s": lambda of: figure(of("amuro"), "unique_tokens_s"),
    "share": lambda of: figure(of("amuro"), "of_matmul", ".0%"),
    "lm_eval, documents/s": lambda of: figure(of("lm_eval"), "documents_s"),
    "at batch": lambda of: figure(of("lm_eval"), "batch"),
    "times as fast": lambda of: ratio(of("amuro"), of("lm_eval"), "documents_s"),
    "spread": lambda of: spread(of("amuro"), of("lm_eval")),
    "float32: largest gap to lm_eval": lambda of: gap(of("distance"), "float32_max"),
    "bfloat16 from float32: largest": lambda of: distance(of("distance"), "max"),
    "RMS": lambda of: distance(of("distance"), "rms"),
}
TUNING: Mapping[str, Callable[[Of], str]] = {
    "text": str,
    "ms a step": lambda of: figure(of("amuro"), "step_ms", ".1f"),
    "tokens/s": lambda of: figure(of("amuro"), "tokens_s"),
    "share": lambda of: figure(of("amuro"), "of_matmul", ".0%"),
    "Trainer, ms a step": lambda of: figure(of("Trainer"), "step_ms", ".1f"),
    "times as fast": lambda of: ratio(of("Trainer"), of("amuro"), "step_ms"),
    "spread": lambda of: spread(of("amuro"), of("Trainer")),
    "LoRA, ms a step": lambda of: figure(of("amuro LoRA"), "step_ms", ".1f"),
    "its spread": lambda of: figure(of("amuro LoRA"), "spread", ".0%"),
    "losses from float32: largest": lambda of: distance(of("distance"), "max"),
    "RMS": lambda of: distance(of("distance"), "rms"),
}
GENERATION: Mapping[str, Callable[[Of], str]] = {
    "prompts": str,
    "texts/s": lambda of: figure(of("amuro"), "rows_s"),
    "tokens/s": lambda of: figure(of("amuro"), "tokens_s"),
    "share": lambda of: figure(of("amuro"), "of_matmul", ".0%"),
    "`generate`, texts/s": lambda of: figure(of("generate"), "rows_s"),
    "at batch": lambda of: figure(of("generate"), "batch"),
    "times as fast": lambda of: ratio(of("amuro"), of("generate"), "rows_s"),
    "spread": lambda of: spread(of("amuro"), of("generate")),
    "equal texts in float32": lambda of: equal(of("equality")),
}
FAMILIES: Mapping[str, Callable[[Of], str]] = {
    "type": str,
    "float32 sums: from the CPU's": lambda of: gap(of("scores"), "cpu"),
    "from transformers'": lambda of: gap(of("scores"), "plain"),
    "bfloat16 sums from float32: largest": lambda of: distance(of("bf16 scores"), "max"),
    "RMS": lambda of: distance(of("bf16 scores"), "rms"),
    "texts unlike the CPU's / transformers'": lambda of: other_texts(of("texts")),
    "float32 losses: from the CPU's": lambda of: gap(of("losses"), "cpu"),
    "with LoRA": lambda of: gap(of("LoRA losses"), "cpu"),
}
TABLES = {
    "scoring": ("Scoring answers, beside lm_eval", ", ", SCORING),
    "tuning": ("Tuning at 8 examples a step, beside Trainer", ", ", TUNING),
    "generation": ("Greedy generation, beside transformers' `generate`", ", ", GENERATION),
    "families": ("Small random models of every known type: the largest differences", " ", FAMILIES),
}
"""Stage → title, joint, columns; the first column is the kind itself."""

if __name__ == "__main__":
    main()
