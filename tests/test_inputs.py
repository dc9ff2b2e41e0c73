"""What decides that a cell is done is what decides its result: any edit of an input, in any order, between any runs.

The engine of these tests answers by a hash of everything that it could read: each byte of the checkpoint folder, each
token id of prompts and of training rows, rates and seeds. So a result that stands on other inputs than today's cannot
look like one that does.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from safetensors.numpy import save_file

from amuro.core.requests import Generation, RequestBatch, Training
from amuro.core.types import Checkpoint, Model
from amuro.engine.toy import ToyEngine
from amuro.prompts.tokenizer import Encoder
from amuro.run import runner as running
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study import store as stores
from amuro.study.inputs import UNKNOWN, Inputs
from amuro.study.plan import SEMANTICS
from amuro.study.status import states
from amuro.study.store import Manifest, Store

TODAY = dict(SEMANTICS)


class HashEngine(ToyEngine):
    """Every number is a hash of all that was read. `semantics` stands for the code of the engine."""

    semantics = 0

    def load(self, checkpoint: Checkpoint, folder: Path | None) -> None:
        super().load(checkpoint, folder)
        assert folder is not None
        self._read = _hash(*(path.name.encode() + path.read_bytes() for path in sorted(folder.iterdir())))
        self._state = self._read

    def reset(self) -> None:
        super().reset()
        self._state = self._read

    def tune(self, sequences: Any, model: Model, learning_rate: float, on_step: Any) -> Training:
        training = super().tune(sequences, model, learning_rate, on_step)
        told = {**asdict(model.recipe), "name": ""} if model.recipe else {}
        self._state = _hash(self._read, repr((list(sequences), told, learning_rate, model.tune_seed)).encode())
        return training

    def keep(self) -> Any:
        return super().keep(), self._state

    def restore(self, kept: Any) -> None:
        super().restore(kept[0])
        self._state = kept[1]

    def score(self, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        def number(request: Any, option: tuple[int, ...]) -> float:
            said = repr((request_batch.prefix, request.context, option, self.semantics)).encode()
            return -1 - int.from_bytes(_hash(self._state, said)[:4], "big") / 2**32

        return [tuple(number(request, option) for option in request.options) for request in request_batch.requests]

    def generate(self, request_batch: RequestBatch, decode: Any) -> list[Generation]:
        texts = [
            _hash(
                self._state,
                repr((request_batch.prefix, q.context, request_batch.stop, request_batch.max_new_tokens)).encode(),
            ).hex()[:8]
            for q in request_batch.requests
        ]
        return [Generation(text, True, request_batch.max_new_tokens) for text in texts]


SALT = b"0"
"""With this one the two metrics choose other rates."""


def _hash(*parts: bytes) -> bytes:
    return sha256(SALT + b"".join(sha256(part).digest() for part in parts)).digest()


class World:
    """A study over two checkpoint folders and rows of its own, all in one folder; each kind of edit can be toggled."""

    def __init__(self, root: Path) -> None:
        self.root, self.on = root, dict.fromkeys(EDITS, False)
        for step in (1, 2):
            _checkpoint(root / f"runs/step{step}", step)
        self.write()

    def toggle(self, kind: str) -> None:
        self.on[kind] = not self.on[kind]
        self.write()

    def write(self) -> None:
        """Every file as the toggles want it; files that stay the same are not touched."""
        on = self.on
        _rows(self.root / "data/train.jsonl", 40, 1, flip=on["train answers"], words=on["train texts"])
        _rows(self.root / "data/test.jsonl", 12, 2, flip=on["test answers"], words=on["test texts"])
        last = self.root / "runs/step2"
        _put(last / "config.json", json.dumps({"model_type": "llama", "rope_theta": 5e5 if on["config"] else 1e4}))
        _put(last / "generation_config.json", json.dumps({"eos_token_id": 0, "note": on["generation config"]}))
        _put(last / "tokenizer_config.json", json.dumps({"eos_token": "<eos>", "note": on["tokenizer config"]}))
        _tokenizer(last / "tokenizer.json", merged=on["tokenizer"])
        _weights(last, 7.0 if on["weights"] else 2.0)

    def study(self) -> studies.Study:
        """The study as the toggles want it, and the code: its `semantics` are raised with it."""
        on = self.on
        HashEngine.semantics = int(on["code"])
        SEMANTICS.update({step: number + on["code"] for step, number in TODAY.items()})
        task = {
            "source": f"file:{self.root / 'data'}",
            "fields": {"other" if on["column"] else "text": "Text"},
            "answer": "second" if on["answer column"] else "label",
            "answers": {"0": "bad" if on["answer words"] else "poor", "1": "good"},
            "cluster": "who" if on["cluster column"] else "",
            "answer_prefix": "Verdict:" if on["answer_prefix"] else "Label:",
            "splits": {
                "train": "train[12:]" if on["train cut"] else "train[10:]",
                "dev": "train[2:10]" if on["dev cut"] else "train[:10]",
                "test": "test[1:]" if on["test cut"] else "test",
            },
            "metric": "log_likelihood" if on["metric"] else "accuracy",
        }
        text = {**task, "answers": {}, "metric": "", "stop": ["."] if on["stop"] else ["\n"]}
        text["max_new_tokens"] = 4 if on["length"] else 8
        tune = {
            "name": "t", "tasks": ["mood"], "rows": 20, "epochs": 2 if on["epochs"] else 1, "in_domain": ["mood/test"],
            "learning_rate": [1e-3, 3e-3] if on["rates"] else [1e-3, 2e-3, 4e-3, 5e-3],
            "format": "instruct" if on["tuned format"] else "default",
        }  # fmt: skip
        return studies.parse(
            {
                "name": "mine", "engine": "toy", "dev_limit": 6 if on["dev rows"] else 8,
                "shot_seed": int(on["shot seed"]),
                "series": {"mine": {"kind": "folder", "path": str(self.root / "runs")}},
                "tasks": {"mood": task, "text": text}, "tune": [tune],
                "evaluate": [
                    {"models": ["base", "tuned"], "sets": ["mood/test"], "limit": 5 if on["limit"] else 6},
                    {"models": ["base"], "sets": ["mood/test"], "shots": [2], "limit": 6},
                    {"models": ["base"], "sets": ["text/test"], "limit": 6},
                ],
            }
        )  # fmt: skip

    def run(self, store: Store) -> None:
        """A run as `amuro run` makes it."""
        plan = planning.make(self.study())
        outcome = running.run(plan, store, lambda _event: None)
        assert outcome.failures == []
        assert all(state.done for state in states(plan, store)), [s.reason for s in states(plan, store) if not s.done]

    def told(self, store: Store) -> dict[str, tuple[Any, ...]]:
        """Of each cell what its result stands on, and its predictions."""
        plan = planning.make(self.study())
        manifests = {state.cell.address: state.manifest for state in states(plan, store)}
        return {address: _told(store, manifest) for address, manifest in manifests.items() if manifest}


def _told(store: Store, manifest: Manifest) -> tuple[Any, ...]:
    frame = store.frame(manifest, "predictions.parquet")
    return manifest["ids"], manifest["model_key"], repr(frame.rows()) if frame is not None else "damaged"


EDITS: dict[str, tuple[str, ...]] = {
    "test answers": ("rows.evaluated",),
    "test texts": ("rows.evaluated",),
    "train answers": ("rows.learned mood", "rows.shots", "rows.chosen on mood"),
    "train texts": ("rows.learned mood", "rows.shots", "rows.chosen on mood"),
    "config": ("checkpoint.files.config.json",),
    "generation config": ("checkpoint.files.generation_config.json",),
    "tokenizer config": ("checkpoint.files.tokenizer_config.json",),
    "tokenizer": ("checkpoint.files.tokenizer.json",),
    "weights": ("checkpoint.weights",),
    "column": ("template", "task", "tuning.words", "tuning.tasks"),
    "answer column": ("task", "tuning.tasks"),
    "answer words": ("labels", "task", "tuning.tasks"),
    "cluster column": ("task", "tuning.tasks"),
    "answer_prefix": ("template", "task", "tuning.words", "tuning.tasks"),
    "train cut": ("splits",),
    "dev cut": ("splits",),
    "test cut": ("splits",),
    "metric": ("tuning.choice",),
    "stop": ("stop", "task"),
    "length": ("max_new_tokens", "task"),
    "epochs": (),
    "rates": (),
    "tuned format": (),
    "dev rows": ("tuning.choice",),
    "shot seed": (),
    "limit": (),
    "code": ("semantics", "tuning.semantics"),
}
"""Kind of edit → the declared inputs that tell of it; none where the address does."""


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hashing engine in the place of the toy; `SEMANTICS` as it was afterwards."""
    monkeypatch.setattr(running, "engine", lambda _study: HashEngine())
    yield
    SEMANTICS.update(TODAY)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world without edits and its finished store, to be copied: no input names the folder that it lies in."""
    root = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "engine", lambda _study: HashEngine())
        World(root).run(Store(root / "store"))
    return root


@pytest.mark.parametrize("kind", sorted(EDITS))
def test_no_result_of_other_inputs_counts_as_done(
    kind: str, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an edit what counts as done is what a fresh store would hold, and its taking back makes all cells done.

    With the inputs that tell of this edit left uncompared, results of other inputs would count: each is needed.
    """
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    world, store = World(tmp_path), Store(tmp_path / "store")
    world.toggle(kind)
    today, found = fresh(world, tmp_path / "fresh"), world.told(store)
    assert len(found) < len(today)
    assert found.items() <= today.items()
    if EDITS[kind]:
        declared = Inputs.declared
        with monkeypatch.context() as patch:
            patch.setattr(Inputs, "declared", lambda self, cell: _uncompared(declared(self, cell), EDITS[kind]))
            assert not world.told(store).items() <= today.items()
    world.toggle(kind)
    assert all(state.done for state in states(planning.make(world.study()), store)), "A → B → A"


@pytest.mark.parametrize("kind", ["config", "tokenizer", "weights"])
def test_a_changed_checkpoint_is_named_by_its_place(kind: str, filled: Path, tmp_path: Path) -> None:
    """Why a cell runs again says which folder or file of a checkpoint is another now."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    world = World(tmp_path)
    world.toggle(kind)
    [reason, *_] = [s.reason for s in states(planning.make(world.study()), Store(tmp_path / "store")) if not s.done]
    place = f"weights in {tmp_path}" if kind == "weights" else str(tmp_path)
    assert reason.startswith(place), reason
    assert "changed: " in reason


class Killed(BaseException):
    """As a process ends that is killed: nothing after it runs."""


class Edits(RuleBasedStateMachine):
    """Any order of edits, runs, kills and clocks over one store."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.world, self.store, self.clock = World(self.root), Store(self.root / "store"), 0

    @rule(kinds=st.sets(st.sampled_from(sorted(EDITS)), min_size=1, max_size=3))
    def edit(self, kinds: set[str]) -> None:
        for kind in sorted(kinds):
            self.world.toggle(kind)

    @rule(days=st.integers(-2, 2))
    def shift_the_clock(self, days: int) -> None:
        self.clock = days * 86_400 * 10**9

    @rule(left=st.integers(0, 12))
    def run_and_be_killed(self, left: int) -> None:
        with suppress(Killed), self.shifted(left):
            self.world.run(self.store)

    @rule()
    def run(self) -> None:
        with self.shifted():
            self.world.run(self.store)
            assert self.world.told(self.store) == fresh(self.world, self.root / "fresh")

    def teardown(self) -> None:
        if hasattr(self, "root"):
            self.run()
            shutil.rmtree(self.root)

    @contextmanager
    def shifted(self, commits: int = -1) -> Iterator[None]:
        """The clock as it stands, and death at the commit of that number."""
        now, rename, left = time.time_ns, Path.rename, [commits]

        def dying(self: Path, target: Path) -> Path:
            if self.parent.name == "tmp" and self.is_dir():
                left[0] -= 1
                if left[0] == -1:
                    raise Killed
            return rename(self, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stores.time, "time_ns", lambda: now() + self.clock)
            patch.setattr(Path, "rename", dying)
            yield


def test_any_order_of_edits() -> None:
    """A run after any edits, kills and clocks leaves every cell done, and as a fresh store has it."""
    quietly = list(HealthCheck)
    run_state_machine_as_test(
        Edits, settings=settings(max_examples=3, stateful_step_count=6, suppress_health_check=quietly)
    )


@pytest.mark.long
def test_any_order_of_many_edits() -> None:
    """The same over more and longer histories."""
    quietly = list(HealthCheck)
    run_state_machine_as_test(
        Edits, settings=settings(max_examples=60, stateful_step_count=20, suppress_health_check=quietly)
    )


def fresh(world: World, place: Path) -> dict[str, tuple[Any, ...]]:
    """What a store says that knows nothing of before."""
    shutil.rmtree(place, ignore_errors=True)
    world.run(Store(place))
    return world.told(Store(place))


def _uncompared(declared: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """A copy in which the inputs of these dotted names (keys may hold dots) are not at hand."""
    found = dict(declared)
    for name in names:
        for key, value in declared.items():
            if name == key:
                found[key] = UNKNOWN
            elif name.startswith(f"{key}.") and isinstance(value, dict):
                found[key] = _uncompared(found[key], (name.removeprefix(f"{key}."),))
    return found


def _checkpoint(folder: Path, step: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / "config.json", json.dumps({"model_type": "llama"}))
    _put(folder / "tokenizer_config.json", json.dumps({"eos_token": "<eos>"}))
    _tokenizer(folder / "tokenizer.json", merged=False)
    _weights(folder, float(step))


def _weights(folder: Path, value: float) -> None:
    """One large tensor of which a byte between the sampled pieces differs."""
    tensor = np.full((300, 512), folder.name == "step1", np.float32)
    tensor.flat[5000 // 4] = value
    save_file({"model.embed_tokens.weight": tensor}, folder / "new.safetensors")
    _put_bytes(folder / "model.safetensors", (folder / "new.safetensors").read_bytes())
    (folder / "new.safetensors").unlink()


def _tokenizer(path: Path, merged: bool) -> None:
    """Single bytes; or with two of them joined to one token."""
    known = json.loads(Encoder.of_bytes().tokenizer.to_str())
    if merged:
        known["model"]["vocab"]["ex"] = 299
        known["model"]["merges"] = [["e", "x"]]
    _put(path, json.dumps(known))


def _rows(path: Path, count: int, seed: int, flip: bool, words: bool) -> None:
    draw = random.Random(seed)
    rows = [
        {"id": f"{seed}-{i}", "text": f"text {draw.randrange(1000)}", "other": f"said {draw.randrange(1000)}",
         "label": str(int(i % 3 == 0) ^ flip), "second": str((i // 2) % 2), "who": f"w{i % 3}"} for i in range(count)
    ]  # fmt: skip
    _put(path, "".join(json.dumps({**row, "text": row["text"] + " text" * words}) + "\n" for row in rows))


def _put(path: Path, text: str) -> None:
    _put_bytes(path, text.encode())


def _put_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)
