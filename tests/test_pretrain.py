"""Pre-training: packing, the optimiser, and checkpoints that any tool loads and any interruption leaves equal."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from amuro.core.errors import StoreError
from amuro.core.hashing import digest
from amuro.data.world import corpus
from amuro.engine.forward.causal_lm import Network
from amuro.engine.pretraining import pretrain as room
from amuro.engine.pretraining import resume
from amuro.engine.pretraining.muon import Muon, orthogonal
from amuro.engine.pretraining.packing import IGNORED, Packer
from amuro.engine.pretraining.pretrain import new_model, pretrain
from amuro.engine.pretraining.tokenizer import EOS, train_tokenizer
from amuro.prompts.tokenizer import Encoder
from amuro.series._pretrain_world import PretrainConfig

TINY = PretrainConfig(
    steps=(0, 2, 5),
    vocab_size=400,
    vocabulary_documents=200,
    hidden_size=16,
    layers=2,
    heads=2,
    intermediate_size=24,
    rows=2,
    copy_steps=3,
    warmup_steps=2,
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(itertools.islice(corpus.documents(0, 0), 500), 400)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny series made in one go."""
    folder = tmp_path_factory.mktemp("series")
    pretrain(TINY, folder)
    return folder


def _weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder / f"step-{step:08d}" / "model.safetensors")


def test_every_checkpoint_loads_with_the_library_alone(finished: Path) -> None:
    """A step's folder is an ordinary one: model and tokenizer load, and `<eos>` stands before a text and ends it."""
    for step in TINY.steps:
        folder = finished / f"step-{step:08d}"
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        assert type(model).__name__ == "Olmo2ForCausalLM"
        assert model.num_parameters() == TINY.parameters()
        assert tokenizer("bogid lives")["input_ids"][0] == model.config.eos_token_id == tokenizer.eos_token_id
        assert torch.isfinite(model(**tokenizer("bogid lives in lagton.", return_tensors="pt")).logits).all()


def test_steps_change_the_weights_and_keys_start_equal_to_queries(finished: Path) -> None:
    """Step 0 is untrained, with W_k = W_q; every later checkpoint differs from the one before."""
    first, second, third = (_weights(finished, step) for step in TINY.steps)
    key, request = (f"model.layers.1.self_attn.{which}_proj.weight" for which in "kq")
    assert torch.equal(first[key], first[request])
    assert not torch.equal(second[key], second[request])
    assert not torch.equal(second[key], third[key])


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_an_interrupted_run_ends_in_the_same_bits(finished: Path, tmp_path: Path, stop_after: int) -> None:
    """Stopped before, at and after the change of phase, then gone on with: every checkpoint equals that of one go."""
    done: list[int] = []
    pretrain(TINY, tmp_path, lambda step, last, loss: done.append(step), lambda: len(done) == stop_after)
    assert done == list(range(1, stop_after + 1))
    pretrain(TINY, tmp_path, lambda step, last, loss: done.append(step))
    assert done == [1, 2, 3, 4, 5]
    for step in TINY.steps:
        whole, resumed = _weights(finished, step), _weights(tmp_path, step)
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_world_is_read_as_it_was() -> None:
    """The first batch of each phase is pinned: whoever changes what is read raises SEMANTICS."""
    words = train_tokenizer(itertools.islice(corpus.documents(0, 0), TINY.vocabulary_documents), TINY.vocab_size)
    batches = [room._packer(TINY, TINY.corpus(), words, step).batch() for step in (0, TINY.copy_steps)]
    assert [digest(batch.ids.tolist())[:12] for batch in batches] == ["de3f9373cf32", "8c423660d1eb"]


def test_a_finished_run_returns_at_once(finished: Path) -> None:
    """Nothing is trained, and no file changes, when all checkpoints are there."""
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    pretrain(TINY, finished, lambda step, last, loss: pytest.fail("trained again"))
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*")}


def test_a_draft_left_by_a_killed_run_is_no_checkpoint(tmp_path: Path) -> None:
    """A kill while writing leaves a draft under another name; the checkpoint is made as if it were not there."""
    draft = tmp_path / ".draft-step-00000000-1"
    draft.mkdir(parents=True)
    (draft / "model.safetensors").write_bytes(b"half")
    pretrain(replace(TINY, steps=(0,)), tmp_path)
    assert _weights(tmp_path, 0)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_changed_checkpoint_is_made_anew(finished: Path, tmp_path: Path, name: str) -> None:
    """One flipped byte in a file of a published checkpoint: it is set aside, and the new one has the right bits."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    place = tmp_path / "step-00000002"
    content = bytearray((place / name).read_bytes())
    content[len(content) // 2] ^= 1
    (place / name).write_bytes(content)
    aside: list[Path] = []
    pretrain(TINY, tmp_path, set_aside=lambda path: (aside.append(path), resume.put_aside(path))[0])
    assert aside == [place]
    assert (place / name).read_bytes() == (finished / "step-00000002" / name).read_bytes()
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


def test_a_checkpoint_at_another_steps_place_is_made_anew(finished: Path, tmp_path: Path) -> None:
    """Two whole checkpoints that were exchanged are both set aside: neither answers for the other's step."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    first, last = tmp_path / "step-00000002", tmp_path / "step-00000005"
    first.rename(tmp_path / "moved")
    last.rename(first)
    (tmp_path / "moved").rename(last)
    aside: list[Path] = []
    pretrain(TINY, tmp_path, set_aside=lambda path: (aside.append(path), resume.put_aside(path))[0])
    assert set(aside) == {first, last}
    for step in (2, 5):
        assert all(
            torch.equal(weight, _weights(finished, step)[name]) for name, weight in _weights(tmp_path, step).items()
        )


@pytest.mark.parametrize("broken", [["facts.json"], ["tensors.safetensors"], ["facts.json", "both"]])
def test_a_damaged_state_costs_steps_and_no_more(
    finished: Path, tmp_path: Path, broken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state cut short is set aside and the one before it is used, or the start: the weights come out the same."""
    monkeypatch.setattr("amuro.engine.pretraining.pretrain.STATE_EVERY", 1)
    done: list[int] = []
    pretrain(TINY, tmp_path, lambda step, last, loss: done.append(step), lambda: len(done) == 4)
    states = sorted((tmp_path / "state").glob("step-*"))
    assert [state.name for state in states] == ["step-00000003", "step-00000004"]
    for state in states if "both" in broken else states[1:]:
        path = state / broken[0]
        path.write_bytes(path.read_bytes()[:20])
    pretrain(TINY, tmp_path, lambda step, last, loss: done.append(step))
    assert done == [1, 2, 3, 4, *((1, 2, 3, 4, 5) if "both" in broken else (4, 5))]
    assert _weights(tmp_path, 5).keys() == _weights(finished, 5).keys()
    assert all(torch.equal(weight, _weights(finished, 5)[name]) for name, weight in _weights(tmp_path, 5).items())


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while weights are written, told in the words of another language, becomes a StoreError."""

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(resume, "save_file", full)
    with pytest.raises(StoreError, match="is full"):
        resume.save_state(tmp_path, {"step": 1, "digest": ""}, {})
    assert not list((tmp_path / "state").iterdir())


def test_an_annealed_branch_leaves_its_trunk_alone(finished: Path, tmp_path: Path) -> None:
    """Branches before a checkpoint change nothing in it, step 0 has none, and an annealed checkpoint is another model
    with more tokens and a schedule state of its own.
    """
    annealed = replace(TINY, anneal_steps=2)
    pretrain(annealed, tmp_path / "all")
    pretrain(replace(annealed, steps=(0, 5)), tmp_path / "last")
    for name, weight in _weights(tmp_path / "last", 5).items():
        assert torch.equal(weight, _weights(tmp_path / "all", 5)[name])
    name = "model.embed_tokens.weight"
    assert torch.equal(_weights(tmp_path / "all", 0)[name], _weights(finished, 0)[name])
    assert not torch.equal(_weights(tmp_path / "all", 5)[name], _weights(finished, 5)[name])
    assert annealed.digest() != TINY.digest() == replace(TINY, anneal_steps=0).digest()
    assert annealed.tokens_at(5) == TINY.tokens_at(7)
    assert (annealed.schedule_at(0), annealed.schedule_at(5)) == ("initial", "annealed")


def test_a_state_of_another_configuration_is_not_gone_on_from(finished: Path, tmp_path: Path) -> None:
    """A folder with a foreign state starts from nothing instead of mixing two runs."""
    (tmp_path / "state").symlink_to(finished / "state")
    done: list[int] = []
    pretrain(replace(TINY, steps=(1,), pretrain_seed=9), tmp_path, lambda step, last, loss: done.append(step))
    assert done == [1]
    name = "model.embed_tokens.weight"
    assert not torch.equal(_weights(tmp_path, 1)[name], _weights(finished, 2)[name])


def test_the_untrained_model_depends_on_the_seed_alone(tokenizer: Tokenizer) -> None:
    """Two builds are equal whatever torch's own generator did before; another seed differs."""
    one = new_model(TINY, tokenizer).model.embed_tokens.weight
    torch.rand(5)
    assert torch.equal(one, new_model(TINY, tokenizer).model.embed_tokens.weight)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=30, max_size=60), rows=st.integers(1, 4), length=st.integers(24, 64)
)
def test_packing_cuts_nothing_and_repeats_nothing(lengths: list[int], rows: int, length: int) -> None:
    """Every packed document is one of the stream, whole, once, begun by end-of-text and answered by it."""
    packer = Packer(_numbered(lengths), _tokenizer(), 0, rows, length)
    seen = []
    for _ in range(3):
        batch = packer.batch()
        for ids, documents, targets in zip(batch.ids, batch.documents, batch.targets, strict=True):
            for number in range(1, documents.max() + 1):
                mine = documents == number
                tokens, wanted = ids[mine].tolist(), targets[mine].tolist()
                assert tokens[0] == 0
                assert wanted == [*tokens[1:], 0]
                seen.append(tuple(tokens))
            assert (targets[documents == 0] == IGNORED).all()
    known = {tuple(e.ids) for e in _tokenizer().encode_batch([_numbered(lengths)(n) for n in range(4000)])}
    assert set(seen) <= known
    assert len(seen) == len(set(seen))


@cache
def _tokenizer() -> Tokenizer:
    return train_tokenizer(["a b c"], 300)


def _numbered(lengths: list[int]) -> Callable[[int], str]:
    """An endless stream whose documents are all different: their number, spelt, and some padding words."""
    return lambda number: f"{number}" + " a" * lengths[number % len(lengths)]


@settings(max_examples=10, deadline=None)
@given(batches=st.integers(0, 4))
def test_a_packer_goes_on_where_it_was(batches: int) -> None:
    """A packer restored from its state gives the batches that the first one would have given."""
    first, second = (Packer(_numbered([3, 9, 27]), _tokenizer(), 0, 2, 48) for _ in range(2))
    for _ in range(batches):
        first.batch()
    state = first.state
    second.restore(state["waiting"], state["next"])
    for _ in range(2):
        assert np.array_equal(first.batch().ids, second.batch().ids)


@pytest.mark.parametrize(("rows", "length"), [(1, 128), (3, 128), (4, 24)], ids=["row", "rows", "a document a row"])
def test_packed_documents_do_not_see_each_other(tokenizer: Tokenizer, rows: int, length: int) -> None:
    """The loss of packed rows equals that of their documents read one by one, also where each row holds but one."""
    model = new_model(TINY, tokenizer).eval()
    packer = Packer(lambda n: corpus.document(0, 0, "main", n), tokenizer, 0, rows, length)
    batch = packer.batch()
    alone = []
    for row in range(rows):
        for number in range(1, batch.documents[row].max() + 1):
            mine = batch.documents[row] == number
            logits = model(torch.from_numpy(batch.ids[row][mine])[None]).logits[0]
            alone.append(
                torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.targets[row][mine]), reduction="sum")
            )
    count = int((batch.targets != IGNORED).sum())
    assert len(alone) > rows or length < 128
    network = Network(model, "float32", torch.device("cpu"))
    torch.testing.assert_close(room._loss(network, batch), sum(alone) / count, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 6), (4, 10), (10, 4)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    """Newton–Schulz leaves directions and brings every singular value between .6 and 1.3."""
    matrix = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert 0.6 < values.min() <= values.max() < 1.3


def test_muon_steps_as_the_library_does() -> None:
    """Three steps equal those of torch.optim.Muon (which works in bfloat16) up to that rounding."""
    generator = torch.Generator().manual_seed(0)
    start = [
        torch.randn(8, 8, generator=generator),
        torch.randn(12, 8, generator=generator),
        torch.randn(8, 8, generator=generator),
    ]
    mine, theirs = ([torch.nn.Parameter(m.clone()) for m in start] for _ in range(2))
    optimizers = Muon(mine, lr=0.1), torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0)
    for _ in range(3):
        for ours, other in zip(mine, theirs, strict=True):
            ours.grad = torch.randn(ours.shape, generator=generator)
            other.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for ours, other, begun in zip(mine, theirs, start, strict=True):
        assert (ours - begun).norm() > 0.1
        assert (ours - other).norm() < 0.05 * (ours - begun).norm()


def test_the_vocabulary_is_of_words(tokenizer: Tokenizer) -> None:
    """First words have the ids of later ones, prompt and answer agree with the joined text, any text is encodable."""
    encoder = Encoder(tokenizer, tuple(tokenizer.encode("").ids), tokenizer.token_to_id(EOS))
    assert encoder.bos == (encoder.eos,)
    (first,), (he,), (later,) = encoder.prompts(["lives"]), encoder.prompts(["he"]), encoder.prompts(["he lives"])
    assert he + first == later
    assert encoder.disagreements(["text: bogid eats", "a"], ["soup.", "true."]) == 0
    assert encoder.decode(encoder.prompts(["Größe 12 ☃"])[0]).strip() == "Größe 12 ☃"
