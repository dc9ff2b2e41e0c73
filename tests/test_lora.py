"""Adapters of one checkpoint, trained together and alone, against peft's own layers in the ordinary loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_table
from peft import LoraConfig, get_peft_model
from tiny_models import EOS, training_pairs, tuned, words
from torch import Tensor

from amuro.core.errors import AmuroError
from amuro.core.types import RequestBatch, Training
from amuro.engine._load import live_tensors
from amuro.engine.base import Run
from amuro.engine.forward.causal_lm import Network
from amuro.engine.torch import TorchEngine
from amuro.engine.toy import ToyEngine
from amuro.engine.training import joint_lora
from amuro.engine.training.finetune import finetune
from amuro.engine.training.lora import draw_adapter
from amuro.run.claims import Claims
from amuro.run.jobs import Jobs
from amuro.run.runner import run as fill
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.status import states
from amuro.study.store import Store

NAMES = ("llama", "gpt_neox", "gemma2", "gpt2")
"""Flat tokens without and with biases; rows with padding, which are tuned alone; matrices the other way round."""
APART = 1e-5
"""Most that a loss in nats or a merged weight may differ."""


def run(seed: int = 1, rate: float = 1e-2, pairs: Any = None, **recipe: Any) -> Run:
    described = tuned(method="lora", tune_seed=seed, lora_rank=4, lora_alpha=8, **recipe)
    return Run(training_pairs() if pairs is None else pairs, described, rate, lambda *_: None)


def several() -> list[Run]:
    """Other seeds, rates, tasks, batch sizes, weightings, ranks and schedules; 10 to 18 steps."""
    rng = np.random.default_rng(4)
    other = [(words(rng, 5, 30), (*words(rng, 1, 3), EOS)) for _ in range(13)]
    return [
        run(1, 1e-2),
        run(2, 3e-3, epochs=3, weighting="example"),
        run(1, 1e-2, other, batch_size=3, epochs=3, weight_decay=0.1),
        Run(
            training_pairs(9), tuned(method="lora", tune_seed=5, lora_rank=2, lora_alpha=16, batch_size=1), 1e-3, _quiet
        ),
    ]


def _quiet(*_: Any) -> None:
    """Nobody is told."""


def by_peft(network: Network, wanted: Run) -> Training:
    """The same tuning with peft's layers in the model, one run, merged by peft."""
    recipe = wanted.model.recipe
    assert recipe is not None
    config = LoraConfig(
        r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, lora_dropout=0.0, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(wanted.model.tune_seed or 0)
        adapted = get_peft_model(network.model, config)
    fresh = Network(network.model, network.precision, network.device)  # one remembers the modules of its last layer
    training = finetune(fresh, wanted.sequences, wanted.model, wanted.learning_rate, wanted.on_step)
    adapted.merge_and_unload().requires_grad_(True)
    return training


def weights(engine: TorchEngine) -> Mapping[str, Tensor]:
    return {name: tensor.clone() for name, tensor in live_tensors(engine._live().model).items()}


def farthest(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    assert list(left) == list(right)
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def in_one_group(monkeypatch: pytest.MonkeyPatch, tokens: int = 1 << 20) -> None:
    monkeypatch.setattr(joint_lora, "_FILLED", {"cpu": tokens})


@pytest.mark.parametrize("name", NAMES)
def test_together_is_as_alone_with_peft(
    name: str, engine_of: Callable[[str], TorchEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of other tasks, seeds, rates, lengths and ranks in one group give the losses to 1e-5 and the merged weights
    that each gives alone in peft's layers.
    """
    in_one_group(monkeypatch)
    engine = engine_of(name)
    found = [(training, weights(engine)) for training in engine.tune_each(several())]
    for wanted, (training, tensors) in zip(several(), found, strict=True):
        plain = engine_of(name)
        alone = by_peft(plain._live(), wanted)
        assert training.losses == pytest.approx(alone.losses, abs=APART)
        assert farthest(tensors, weights(plain)) <= APART
        assert (training.steps, training.tokens, training.answer_tokens, training.diverged_at) == (
            alone.steps, alone.tokens, alone.answer_tokens, None,
        )  # fmt: skip


def test_an_adapter_alone_is_as_in_a_group(
    engine_of: Callable[[str], TorchEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How runs are grouped changes no loss beyond 1e-5, nor how they are told: each run hears of its own steps."""
    engine, told = engine_of("llama"), dict[tuple[int, int], list[tuple[int, int, float]]]()

    def heard(tokens: int) -> list[Training]:
        in_one_group(monkeypatch, tokens)
        runs = [
            Run(r.sequences, r.model, r.learning_rate, lambda *step, n=n: told.setdefault((tokens, n), []).append(step))
            for n, r in enumerate(several())
        ]
        return list(engine.tune_each(runs))

    for number, (apart, joined) in enumerate(zip(heard(1), heard(1 << 20), strict=True)):
        assert joined.losses == pytest.approx(apart.losses, abs=APART)
        assert told[1 << 20, number] == [(n, joined.steps, loss) for n, loss in enumerate(joined.losses, start=1)]


def test_small_forward_passes_change_nothing(engine_of: Callable[[str], TorchEngine]) -> None:
    """One sequence a pass, with layers that compute their states again, gives the losses of one pass a step."""
    network = engine_of("llama")._live()
    whole, pieces = (joint_lora.train_together(network, several(), budget) for budget in (10_000, 8))
    for (one, _), (other, _) in zip(whole, pieces, strict=True):
        assert other.losses == pytest.approx(one.losses, abs=APART)


def test_a_run_that_diverges_ends_alone(
    engine_of: Callable[[str], TorchEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An absurd rate ends its run at the first step that is not finite; the others' losses are those without it."""
    in_one_group(monkeypatch)
    engine = engine_of("llama")
    first, wild, last = engine.tune_each([run(1), run(2, 1e30, warmup_ratio=0.0), run(3)])
    without = [training.losses for training in engine.tune_each([run(1), run(3)])]
    assert wild.diverged_at == wild.steps == len(wild.losses) < 10
    assert all(map(math.isfinite, wild.losses))
    assert (first.diverged_at, last.diverged_at) == (None, None)
    assert first.losses == pytest.approx(without[0], abs=APART)
    assert last.losses == pytest.approx(without[1], abs=APART)


def test_each_is_live_in_turn_and_comes_back(
    engine_of: Callable[[str], TorchEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept while a run was live brings its very weights back, in any order and after a full tuning."""
    in_one_group(monkeypatch)
    engine = engine_of("llama")
    own = engine.weights_digest()
    kept = [(engine.weights_digest(), engine.keep()) for _ in engine.tune_each(several())]
    engine.tune(training_pairs(), tuned(), 1e-3, _quiet)
    for digest, adapter in [*reversed(kept), *kept]:
        engine.restore(adapter)
        assert engine.weights_digest() == digest
    assert len({own, *(digest for digest, _ in kept)}) == 5
    engine.reset()
    assert engine.weights_digest() == own
    assert all(p.requires_grad for p in engine._live().model.parameters())


def test_full_tunings_stand_between(engine_of: Callable[[str], TorchEngine]) -> None:
    """Runs that tune every weight keep their place among adapters, and start at the checkpoint's own weights."""
    engine = engine_of("llama")
    full = Run(training_pairs(), tuned(), 1e-3, _quiet)
    mixed = [(training.losses, engine.weights_digest()) for training in engine.tune_each([run(1), full, run(2)])]
    for wanted, (losses, digest) in zip([run(1), full, run(2)], mixed, strict=True):
        assert engine.tune(wanted.sequences, wanted.model, wanted.learning_rate, _quiet).losses == losses
        assert engine.weights_digest() == digest


def test_groups_fill_a_step(engine_of: Callable[[str], TorchEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are joined in order while their steps hold no more tokens than make the device busy, of models read flat."""
    pairs = [((2,) * 8, (3, EOS, EOS))] * 4  # 10 tokens each, 40 a step
    network, runs = engine_of("llama")._live(), [run(seed, pairs=pairs) for seed in range(5)]
    sizes = {}
    for tokens in (1, 80, 1000):
        in_one_group(monkeypatch, tokens)
        sizes[tokens] = [len(group) for group in joint_lora.groups(network, runs)]
    assert sizes == {1: [1] * 5, 80: [2, 2, 1], 1000: [5]}
    assert [len(group) for group in joint_lora.groups(engine_of("gemma2")._live(), runs)] == [1] * 5


def test_half_precision_is_near(engine_of: Callable[[str], TorchEngine], tmp_path: Path) -> None:
    """Under autocast the losses are peft's to what bfloat16 can hold, and the adapters stay float32."""
    engine = engine_of("llama")
    network = Network(engine._live().model, "bfloat16", torch.device("cpu"))
    ((training, adapter),) = joint_lora.train_together(network, [run(1)])
    assert training.losses == pytest.approx(by_peft(network, run(1)).losses, rel=0.02)
    assert adapter.flat.dtype == torch.float32


class Counting(ToyEngine):
    """A toy that notes how many runs it is given at once."""

    given: list[int]

    def tune_each(self, runs: Sequence[Run]) -> Iterator[Training]:
        self.given.append(len(runs))
        return super().tune_each(runs)


def test_a_rule_hands_all_its_rates_over_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visit whose rule has three rates tunes them in one call, and chooses what one call a rate chooses."""
    table = toy_table()
    table["tune"][0] |= {"learning_rate": [1e-3, 1e-2, 1e-1], "method": "lora", "more_seeds_at": []}
    plan = planning.make(studies.parse(table))
    monkeypatch.setattr(Counting, "given", [], raising=False)
    choices = []
    for name, kind in (("counted", Counting), ("plain", ToyEngine)):
        monkeypatch.setattr("amuro.engine.toy.ToyEngine", kind)
        store = Store(tmp_path / name)
        assert fill(plan, store, lambda _: None).failures == []
        choices.append({m["chosen_for"]: m["dev_scores"] for m in store.manifests("models") if "chosen_for" in m})
    assert Counting.given == [3, 3, 3]
    assert choices[0] == choices[1]
    assert len(choices[0]) == 3


class Joining(ToyEngine):
    """A toy that trains all it is given together, and may fail at it."""

    told: list[str]
    broken = False

    def joins(self, runs: Sequence[Run]) -> int:
        return len(runs)

    def tune_each(self, runs: Sequence[Run]) -> Iterator[Training]:
        if len(runs) > 2 and self.broken:
            raise RuntimeError("no memory for so many")
        self.told += ["together"] * (len(runs) > 2)
        return super().tune_each(runs)

    def score(self, request_batch: RequestBatch) -> list[tuple[float, ...]]:
        self.told.append(f"{request_batch.cell.model.checkpoint.step}/{request_batch.cell.model.tune_seed}")
        return super().score(request_batch)


def _two_rates_three_seeds() -> planning.Plan:
    table = toy_table(workers=1)
    table["tune"][0] |= {"learning_rate": [1e-3, 1e-2], "method": "lora", "tune_seeds": [0, 1, 2], "more_seeds_at": []}
    return planning.make(studies.parse(table))


@pytest.mark.parametrize("broken", [False, True], ids=["together", "the group fails"])
def test_visits_that_wait_are_trained_ahead(broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first visit of a checkpoint trains the adapters of the visits behind it, once a checkpoint; every visit fills
    its own cells as if it had tuned alone, and a group that fails costs nobody a visit.
    """
    plan, cells = _two_rates_three_seeds(), []
    monkeypatch.setattr(Joining, "told", [], raising=False)
    monkeypatch.setattr(Joining, "broken", broken)
    for kind in (ToyEngine, Joining):
        monkeypatch.setattr("amuro.engine.toy.ToyEngine", kind)
        store = Store(tmp_path / kind.__name__)
        assert fill(plan, store, lambda _: None).failures == []
        assert all(state.done for state in states(plan, store))
        cells.append({address: [m["key"] for m in results] for address, results in store.cells().items()})
    assert cells[0] == cells[1]
    assert Joining.told.count("together") == (0 if broken else 3)
    order = [step for step, same in groupby(told.partition("/")[0] for told in Joining.told if told != "together")]
    assert order == ["0", "1000", "10000"]


def test_several_workers_train_nothing_ahead(tmp_path: Path) -> None:
    """Where another process may visit a model, nobody else trains it; nor is a full tuning or another checkpoint's."""
    plan = _two_rates_three_seeds()
    many = replace(plan, study=plan.study.model_copy(update={"workers": 2}))
    store = Store(tmp_path)
    jobs = {
        p: Jobs(p_, store, Claims(store.root), lambda event: None).visits(p_.cells)
        for p, p_ in (("one", plan), ("many", many))
    }
    assert sorted(len(job.payload["waiting"]) for job in jobs["one"]) == [0] * 6 + [1] * 3 + [2] * 3
    assert {len(job.payload["waiting"]) for job in jobs["many"]} == {0}
    for job in jobs["one"]:
        assert all(name.partition("+")[0] == job.payload["model"].partition("+")[0] for name in job.payload["waiting"])


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_an_adapter_is_drawn_as_peft_draws_it(name: str, engine_of: Callable[[str], TorchEngine]) -> None:
    """Seed for seed the numbers of the first halves are peft's own, beside the same layers, named or not."""
    model = engine_of(name)._live().model
    for targets, chosen in (((), "all-linear"), (("c_attn", "q_proj"), ["c_attn", "q_proj"])):
        wanted = [one for one in targets if any(part.endswith(one) for part, _ in model.named_modules())]
        recipe = run(lora_targets=tuple(wanted)).model.recipe
        assert recipe is not None
        found = draw_adapter(model, recipe, 9).factors
        config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=chosen, task_type="CAUSAL_LM")
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(9)
            adapted = get_peft_model(model, config)
        theirs = {
            part: layer.lora_A["default"].weight.detach().clone()
            for part, layer in adapted.get_base_model().named_modules()
            if hasattr(layer, "lora_A")
        }
        adapted.unload().requires_grad_(True)
        assert list(found) == list(theirs)
        assert all(torch.equal(found[part][0], down) for part, down in theirs.items())


def test_a_target_that_is_no_layer_is_named(engine_of: Callable[[str], TorchEngine]) -> None:
    """A lora_target that no linear layer's name ends with stops before training, with the nearest that does."""
    with pytest.raises(AmuroError, match=r"'q_prj'.*did you mean 'q_proj'"):
        engine_of("llama").tune(training_pairs(), run(lora_targets=("q_prj",)).model, 1e-2, _quiet)


def test_targets_learn_alone(engine_of: Callable[[str], TorchEngine]) -> None:
    """Only the layers that the recipe names are changed by its adapters."""
    engine = engine_of("llama")
    before = weights(engine)
    engine.tune(training_pairs(), run(lora_targets=("q_proj", "layers.1.mlp.up_proj")).model, 1e-2, _quiet)
    moved = {name for name, tensor in weights(engine).items() if not torch.equal(tensor, before[name])}
    assert moved == {
        "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
    }  # fmt: skip
