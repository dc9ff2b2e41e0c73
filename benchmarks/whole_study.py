"""A whole embedded study: `amuro run` beside the scripts that a competent user would write (`glue.py`).

Two checkpoints, each as it is and tuned once; label, reading and generation sets of the world in three wordings and
with four shots. Pre-training is left out: both sides start from the two checkpoints. The user has one lm_eval process
a model with all its requests, at the batch size that costs least, and one Trainer process a tuning, on ids that are
ready. Counted are the CPU seconds of all processes, start-up included. Equality is checked first: log-probabilities
of base models within 1e-4, their texts identical; of tuned models, whose weights were made twice, the score of every
set within 1 point in 100.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import table
from amuro.core.types import Model
from amuro.engine.training.finetune import step_order
from amuro.prompts.render import answer
from amuro.prompts.tokenizer import Encoder
from amuro.run.checkpoint_loader import folder_of
from amuro.run.request_cache import RequestBuilder
from amuro.run.runner import pretrain
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.plan import Plan
from amuro.study.store import Manifest, Store
from side_by_side import Done, Interval, UnequalError, Variant, measure
from table import OURS, THEIRS, Row, Wish

HERE = Path(__file__).parent
STUDY = HERE / "whole_study.toml"
DEMO = HERE.parent / "studies" / "demo.toml"
TARGET = 10.0
BATCHES = (1, 8, 32)
NEAR = 1e-4
POINTS = 0.01
"""By which the score of a set may differ between two tunings in float32."""


def children_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of all processes that `work` starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def call(*words: str) -> None:
    """A program of this Python, one thread; its output is shown where it fails."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=_one_thread())
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


# -- what both are given


def prepare(root: Path) -> Path:
    """A store that holds the pre-trained series and nothing else."""
    place = root / "series_only"
    plan = planning.make(studies.load(STUDY))
    for name in plan.study.series:
        pretrain(plan, Store(place), name, lambda _event: None)
    return place


def run_amuro(series: Path, store: Path) -> float:
    """The study on a fresh store; CPU seconds."""
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(series, store)
    return children_seconds(lambda: call("-m", "amuro", "run", str(STUDY), "--yes", "--store", str(store)))


@dataclass
class Requests:
    """What one model is asked, in the words that amuro used, and what amuro answered."""

    scored: list[tuple[str, str]] = field(default_factory=list)
    spoken: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    cells: list[tuple[str, pl.DataFrame]] = field(default_factory=list)


def requests(plan: Plan, store: Store) -> dict[Model, Requests]:
    """Of every model, out of the store of a finished run."""
    found = {model: Requests() for model in plan.models}
    kept = store.cells()
    for cell in plan.cells:
        task, own = plan.tasks[cell.eval_set.task], found[cell.model]
        frame = _with_prompts(store, kept[cell.address][0])
        own.cells.append((cell.address, frame))
        until = {"until": list(task.stop), "max_gen_toks": task.max_new_tokens, "do_sample": False}
        for row in frame.iter_rows(named=True):
            prompt = row["prefix"] + row["text"]
            own.scored += [(prompt, " " + answer(task, option)) for option in row["options"]]
            if cell.decoding == "greedy":
                own.spoken.append((prompt, until))
    return found


def _with_prompts(store: Store, manifest: Manifest) -> pl.DataFrame:
    frame = store.frame(manifest, "predictions.parquet")
    prompts = store.manifest("prompts", manifest["prompts"])
    texts = store.frame(prompts, "prompts.parquet") if prompts else None
    if frame is None or texts is None:
        raise RuntimeError(f"{manifest['address']} is not whole")
    return frame.join(texts.unique(), on="prompt_hash", how="left", maintain_order="left")


# -- the user


@dataclass(frozen=True)
class Order:
    """One process of the user: score or train, for which model, by which file."""

    part: str
    model: str
    place: Path

    def carry_out(self) -> None:
        call(str(HERE / "glue.py"), self.part, str(self.place))

    def told(self) -> dict[str, Any]:
        """What the process left."""
        return dict(json.loads(self.place.with_suffix(".done").read_text(encoding="utf-8")))


def orders(root: Path, plan: Plan, series: Path, asked: Mapping[Model, Requests], batch: int) -> list[Order]:
    """All processes of the study: a base is scored, a tuned model trained and then scored."""
    found = []
    for number, model in enumerate(plan.models):
        folder = base_folder(plan, series, model)
        if model.recipe is not None:
            out = root / "tuned" / str(number)
            told = _training(plan, series, model) | {"model": str(folder), "out": str(out)}
            found.append(_ordered(root, "train", model, number, told))
            folder = out
        told = {"model": str(folder), "batch": batch, "scored": asked[model].scored, "spoken": asked[model].spoken}
        found.append(_ordered(root, "score", model, number, told))
    return found


def _ordered(root: Path, part: str, model: Model, number: int, told: Mapping[str, Any]) -> Order:
    place = root / f"{part}_{number}.json"
    place.write_text(json.dumps(told), encoding="utf-8")
    return Order(part, model.address, place)


def base_folder(plan: Plan, series: Path, model: Model) -> Path:
    folder = folder_of(plan, Store(series), model.checkpoint)
    assert folder is not None
    return folder


def _training(plan: Plan, series: Path, model: Model) -> dict[str, Any]:
    """The recipe, and ids in the order in which amuro reads them."""
    recipe = model.recipe
    assert recipe is not None
    encoder = Encoder.from_folder(base_folder(plan, series, model))
    config = json.loads((base_folder(plan, series, model) / "config.json").read_text(encoding="utf-8"))
    room = config["max_position_embeddings"]
    sequences = RequestBuilder(plan, Store(series)).training_set(recipe, encoder, room).sequences
    order = step_order(len(sequences), recipe.batch_size, recipe.epochs, model.tune_seed or 0)
    read = [sequences[index] for step in order for index in step]
    return {"recipe": asdict(recipe), "rate": model.learning_rate, "sequences": read}


# -- equality


@dataclass(frozen=True)
class Compared:
    """One cell, asked by both."""

    gap: float
    """Largest difference of a log-probability."""
    score: float
    """Share of rows whose likeliest option is right, by amuro."""
    their_score: float
    other_texts: float
    """Share of texts that differ."""

    @property
    def same(self) -> bool:
        return self.gap <= NEAR and self.other_texts == 0

    @property
    def close(self) -> bool:
        return abs(self.score - self.their_score) <= POINTS and self.other_texts <= POINTS


def agreement(plan: Plan, asked: Mapping[Model, Requests], told: Mapping[str, Mapping[str, Any]]) -> str:
    """What is equal, in words. Raises UnequalError."""
    gaps: dict[str, list[float]] = {"base": [], "tuned": []}
    for model in plan.models:
        sums, texts = iter(told[model.address]["sums"]), iter(told[model.address]["texts"])
        for address, frame in asked[model].cells:
            found = compared(frame, sums, texts)
            if not (found.close if model.recipe else found.same):
                raise UnequalError(f"{address}: {found}")
            gaps["tuned" if model.recipe else "base"].append(found.gap)
    most = ", ".join(f"{name} {max(values):.1e}" for name, values in gaps.items() if values)
    return f"max Δ log-probability: {most}"


def compared(frame: pl.DataFrame, sums: Iterator[float], texts: Iterator[str]) -> Compared:
    """Amuro's rows of a cell beside the next sums and texts of lm_eval."""
    ours = frame["log_probabilities"].to_list()
    theirs = [[next(sums) for _ in row] for row in ours]
    said = [text for text in frame["output"].to_list() if text is not None]
    gaps = [abs(a - b) for left, right in zip(ours, theirs, strict=True) for a, b in zip(left, right, strict=True)]
    others = [text != next(texts) for text in said]
    gold = frame["gold_index"].to_list()
    return Compared(max(gaps), _share(ours, gold), _share(theirs, gold), float(np.mean(others)) if others else 0.0)


def _share(sums: list[list[float]], gold: list[int]) -> float:
    return float(np.mean([int(np.argmax(row)) == right for row, right in zip(sums, gold, strict=True)]))


# -- side by side


class Ours:
    """`amuro run`, as a whole."""

    flops = 0.0

    def __init__(self, root: Path, series: Path) -> None:
        self._root, self._series = root, series

    def outputs(self) -> None:
        """Compared before, by `agreement`."""

    def once(self) -> Done:
        return Done(1, run_amuro(self._series, self._root / "timed"))


class Theirs:
    """All processes of the user."""

    flops = 0.0

    def __init__(self, ordered: Sequence[Order]) -> None:
        self._orders = ordered

    def outputs(self) -> None:
        """Compared before, by `agreement`."""

    def once(self) -> Done:
        return Done(1, children_seconds(lambda: [order.carry_out() for order in self._orders]))


def rows(wish: Wish) -> Iterator[Row]:
    """The study, and what the whole demo would take. In float32 only."""
    if wish.bf16 or not wish.wants("whole study", "world"):
        return
    series, filled = prepare(wish.folder), wish.folder / "compared"
    run_amuro(series, filled)
    plan, store = planning.make(studies.load(STUDY)), Store(filled)
    asked = requests(plan, store)
    batch = min(BATCHES, key=lambda size: children_seconds(orders(wish.folder, plan, series, asked, size)[0].carry_out))
    ordered = orders(wish.folder, plan, series, asked, batch)
    for order in ordered:
        order.carry_out()
    agreed = agreement(plan, asked, {order.model: order.told() for order in ordered if order.part == "score"})
    variants = [Variant(OURS, partial(Ours, wish.folder, series)), Variant(THEIRS, partial(Theirs, ordered))]
    costs = measure(variants, lambda _outputs: None, wish.rounds)
    note = f"{_size(plan)}; {agreed}; lm_eval at batch {batch}"
    yield table.compared(costs, "whole study", "world", "study", TARGET, note)
    yield _whole_demo(_demo_ours(plan, store, costs.mean(OURS)), _demo_theirs(plan, ordered))


def _whole_demo(ours: float, theirs: float) -> Row:
    """Extrapolated, so without an interval."""
    ratio = Interval(theirs / ours, theirs / ours, theirs / ours)
    return Row("whole demo, extrapolated", "world", ratio, ours, theirs, "demo", TARGET, None, _size(_demo()))


def _demo() -> Plan:
    return planning.make(studies.load(DEMO))


def _size(plan: Plan) -> str:
    return f"{len(plan.models)} models, {len(plan.cells)} cells"


def _rows(plan: Plan) -> int:
    return sum(cell.limit for cell in plan.cells)


def _examples(plan: Plan) -> int:
    return sum(m.recipe.rows * m.recipe.epochs for m in plan.models if m.recipe)


def _demo_ours(plan: Plan, store: Store, seconds: float) -> float:
    """Tuning by examples, all else by rows: amuro's start counts as if it grew with the study."""
    ledger = [json.loads(path.read_text(encoding="utf-8")) for path in (store.root / "ledger").rglob("*.json")]
    tuning = seconds * sum(e["tuning_seconds"] for e in ledger) / sum(e["seconds"] for e in ledger)
    demo = _demo()
    return tuning * _examples(demo) / _examples(plan) + (seconds - tuning) * _rows(demo) / _rows(plan)


def _demo_theirs(plan: Plan, ordered: Sequence[Order]) -> float:
    """A start for every process, tuning by examples, scoring by rows."""
    demo = _demo()
    grows = {"train": _examples(demo) / _examples(plan), "score": _rows(demo) / _rows(plan)}
    models = {"train": [m for m in demo.models if m.recipe], "score": list(demo.models)}
    total = 0.0
    for part, factor in grows.items():
        done = [order.told() for order in ordered if order.part == part]
        total += factor * sum(told["all"] - told["loaded"] for told in done)
        total += len(models[part]) * float(np.mean([told["loaded"] for told in done]))
    return total


if __name__ == "__main__":
    table.run(__doc__, rows)
