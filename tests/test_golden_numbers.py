"""A golden run of each step: numbers that move without their `semantics` would leave old results beside new ones.

After a change that is meant: raise the step's number in `SEMANTICS` (of study/plan.py, series/_pretrain_world.py or
series/_pretrain_text.py) and
write the file anew with `python tests/test_golden_numbers.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import CHECKPOINT, save_byte_olmo, training_pairs, tuned

from amuro.core import registry
from amuro.core.hashing import digest
from amuro.data import sources
from amuro.engine.pretraining.pretrain import pretrain
from amuro.engine.torch import TorchEngine
from amuro.prompts.tokenizer import Encoder
from amuro.run.request_cache import RequestBuilder
from amuro.series import _pretrain_text as text
from amuro.series import _pretrain_world as world
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.store import Store
from amuro.tasks import load_task

GOLDEN = Path(__file__).parent / "golden" / "numbers.json"
TOLERANCE = 1e-4
SMALL = {"vocab_size": 300, "vocabulary_documents": 60, "hidden_size": 16, "layers": 1, "heads": 2,
         "intermediate_size": 32, "rows": 2, "row_length": 64, "steps": (8,), "warmup_steps": 4}  # fmt: skip
ASKED = {"score": "world_inference/test", "generate": "world_summary/test", "language_modeling": "world_corpus/test"}
PROMPT = planning.SEMANTICS["prompt"]


def pretraining(config: Any, folder: Path) -> list[float]:
    """Loss of each step."""
    losses: list[float] = []
    pretrain(config, folder / "made", lambda _step, _last, loss: losses.append(loss), threads=1)
    return losses


def in_the_world(folder: Path) -> list[float]:
    return pretraining(world.PretrainConfig(copy_steps=3, **SMALL), folder)


def on_text(folder: Path) -> list[float]:
    lines = [
        json.dumps({"id": i, "text": f"The number {i} comes after {i - 1}, and {i % 7} is odd."}) for i in range(60)
    ]
    (folder / "corpus").mkdir()
    (folder / "corpus/train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pretraining(text.TextConfig(source=f"file:{folder / 'corpus'}", **SMALL), folder)


def plan_of(folder: Path) -> planning.Plan:
    """A byte-level model asked three kinds of task, with and without shots."""
    save_byte_olmo(folder / "made" / "step1", 5, context_length=1024)
    return planning.make(
        studies.parse(
            {
                "name": "golden", "world_seed": 1, "dev_limit": 10,
                "series": {"made": {"kind": "folder", "path": str(folder / "made")}},
                "evaluate": [{"models": ["base"], "sets": [name], "limit": 4} for name in ASKED.values()],
            }
        )
    )  # fmt: skip


def asked(kind: str, folder: Path) -> tuple[TorchEngine, Any, Encoder]:
    """The engine at its own weights, and the first ask of that kind."""
    plan = plan_of(folder)
    engine, encoder = TorchEngine("float32", "cpu", 1), Encoder.from_folder(folder / "made" / "step1")
    engine.load(plan.checkpoints[0], folder / "made" / "step1")
    cell = next(cell for cell in plan.cells if str(cell.eval_set) == ASKED[kind])
    encoded = RequestBuilder(plan, Store(folder / "store")).encoded(cell, encoder, engine.context_length())
    return engine, next(request_batch for request_batch, _rows in encoded.batches(cell)), encoder


def scored(folder: Path) -> list[float]:
    found = []
    for kind in ("score", "language_modeling"):
        engine, request_batch, _ = asked(kind, folder)
        found += [number for options in engine.score(request_batch) for number in options]
    return found


def generated(folder: Path) -> list[str]:
    engine, request_batch, encoder = asked("generate", folder)
    return [answer.text[:6] for answer in engine.generate(request_batch, encoder.decode)]


def learned(folder: Path) -> list[float]:
    """Losses of full tuning and of an adapter."""
    found = []
    for method in ("full", "lora"):
        engine = TorchEngine("float32", "cpu", 1)
        save_byte_olmo(folder / method, 5)
        engine.load(CHECKPOINT, folder / method)
        model = tuned(method=method)
        found += engine.tune(training_pairs(8), model, 1e-2, lambda *_: None).losses
    return found


def ids(folder: Path) -> list[str]:
    """A digest of the ids of every task of the embedded world in every format, with two shots."""
    encoder, found = Encoder.of_bytes(), []
    for name in (name for name in registry.names("tasks") if name.startswith("world_") and name != "world_corpus"):
        task = load_task(name)
        split = next(split for split in task.splits if split.startswith("test"))
        examples = tuple(sources.examples(task, split, "1", limit=3))
        for form in registry.names("formats"):
            shown = [json.dumps([text, list(encoder.prompts([text])[0])]) for text in _texts(task, form, examples)]
            found.append(f"{name} {form} {digest(shown)[:12]}")
    return found


def _texts(task: Any, form: str, examples: Any) -> list[str]:
    from amuro.prompts import render

    shots = [text + " " + reply for text, reply in render.shots_text(task, form, examples[:2])]
    return [render.prompt(task, form, example) for example in examples] + shots


STEPS: dict[str, tuple[int, Callable[[Path], list[Any]]]] = {
    "pre-training in the world": (world.SEMANTICS, in_the_world),
    "pre-training on text": (text.SEMANTICS, on_text),
    "tune": (planning.SEMANTICS["tune"], learned),
    "score": (planning.SEMANTICS["score"], scored),
    "generate": (planning.SEMANTICS["generate"], generated),
    "prompt": (PROMPT, ids),
}
"""Step → its semantics, and what makes its numbers."""


@pytest.mark.parametrize("step", STEPS)
def test_numbers_move_only_with_their_semantics(step: str, tmp_path: Path) -> None:
    """Twenty steps or fewer of each kind give the numbers that are on record for today's semantics."""
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8"))[step]
    semantics, make = STEPS[step]
    assert recorded["semantics"] == semantics, "semantics was raised: write the golden file anew (see above)"
    numbers = make(tmp_path)
    wanted = (
        recorded["numbers"]
        if isinstance(numbers[0], str)
        else pytest.approx(recorded["numbers"], abs=TOLERANCE, rel=1e-6)
    )
    assert numbers == wanted, f"the numbers of this step moved: raise its semantics ({semantics})"


def main(folder: Path) -> None:
    """Writes the golden file."""
    found = {}
    for name, (semantics, make) in STEPS.items():
        (folder / name).mkdir()
        found[name] = {"semantics": semantics, "numbers": make(folder / name)}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        main(Path(place))
    sys.stdout.write(f"{GOLDEN} written\n")
