"""Series without weights and series in local folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from amuro.core.errors import AmuroError, SeriesError, StudyError, WeightsError
from amuro.core.types import Checkpoint
from amuro.core.weights import small_files
from amuro.prompts.tokenizer import Encoder
from amuro.series import load_series_kind
from amuro.series.base import UNKNOWN_STEP, equal_weights
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.inputs import Inputs
from amuro.study.series_audits import faults_of
from amuro.study.store import Store


def test_toy_checkpoints_count_tokens() -> None:
    """Proves order, token counts and schedule of the toy series, and that it has no weights."""
    toy = load_series_kind("toy")
    found = toy.checkpoints("t", {"steps": [100, 0, 10], "tokens_per_step": 50})
    assert [(c.step, c.tokens, c.unique_tokens, c.schedule) for c in found] == [
        (0, 0, 0, "initial"),
        (10, 500, 500, "constant"),
        (100, 5000, 5000, "constant"),
    ]
    assert toy.locate(found[0], Path()) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": [1, 1]}, "series 't' has step 1 twice"),
        ({"steps": []}, "series 't' has no checkpoints"),
        ({"steps": [1.0]}, "steps of series 't' is 1.0"),
        ({"steps": [True]}, "steps of series 't' is True"),
        ({"steps": [1], "tokens_per_step": 0}, "tokens_per_step of series 't' is 0"),
        ({"step": [1]}, "unknown key 'step' in series 't'; did you mean 'steps'?"),
        ({"steps": [1], "schedule": "decaying"}, "series 't' has schedule 'decaying'; did you mean 'decay'?"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    """Proves that each bad option is named with its value and the series it stands in."""
    with pytest.raises(AmuroError) as caught:
        load_series_kind("toy").checkpoints("t", options)
    assert str(caught.value).startswith(message)


def model_folder(folder: Path, fill: int = 0, **config: Any) -> Path:
    """The smallest folder that passes as a checkpoint; the tests on the hub use real models."""
    folder.mkdir(parents=True)
    save_file({"weight": np.full((300, 20), fill, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "olmo2", **config}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def folder_series(path: Path, **options: Any) -> tuple[Checkpoint, ...]:
    return load_series_kind("folder").checkpoints("mine", {"path": str(path), **options})


def test_a_folder_of_checkpoints_is_read_by_its_names(tmp_path: Path) -> None:
    """Proves that steps and tokens come from folder names in any of their forms, ordered by step."""
    for i, name in enumerate(["step1000-tokens4B", "step-00000700", "step0", "checkpoint-5"]):
        model_folder(tmp_path / name, fill=i)
    (tmp_path / "logs").mkdir()
    found = folder_series(tmp_path)
    assert [(c.step, c.tokens, c.schedule) for c in found] == [
        (0, None, "initial"),
        (5, None, "unknown"),
        (700, None, "unknown"),
        (1000, 4 * 10**9, "unknown"),
    ]
    assert len({c.address for c in found}) == len({c.identity for c in found}) == 4
    assert [load_series_kind("folder").locate(c, tmp_path) for c in found][2] == tmp_path / "step-00000700"


def test_counts_follow_from_the_course_of_the_run(tmp_path: Path) -> None:
    """Proves exact tokens from tokens_per_step, repeated tokens beyond the corpus, and the state of the schedule."""
    for step in (0, 10, 100):
        model_folder(tmp_path / f"step{step}-tokens1B", fill=step)
    found = folder_series(tmp_path, tokens_per_step=8, corpus_tokens=500, warmup_steps=100, schedule="constant")
    assert [(c.tokens, c.unique_tokens, c.schedule) for c in found] == [
        (0, 0, "initial"),
        (80, 80, "warmup"),
        (800, 500, "constant"),
    ]


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_listing_states_what_names_do_not(tmp_path: Path, suffix: str) -> None:
    """Proves that series.toml and series.json give any folder step, tokens and schedule, and that the study wins."""
    for fill, name in enumerate(("early", "late", "unlisted")):
        model_folder(tmp_path / name, fill)
    early = {"folder": "early", "step": 3, "tokens": 30, "unique_tokens": 20, "schedule": "warmup"}
    late = {"folder": "late", "step": 9}
    text = json.dumps({"schedule": "decay", "tokens_per_step": 7, "checkpoint": [late, early]})
    if suffix == "toml":
        tables = ("[[checkpoint]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in c.items()) for c in (late, early))
        text = 'schedule = "decay"\ntokens_per_step = 7\n' + "\n".join(tables)
    (tmp_path / f"series.{suffix}").write_text(text)
    told = [(c.step, c.tokens, c.unique_tokens, c.schedule) for c in folder_series(tmp_path)]
    assert told == [(3, 30, 20, "warmup"), (9, 63, None, "decay")]
    assert folder_series(tmp_path, tokens_per_step=10)[1].tokens == 90


def test_a_single_model_is_a_series_of_one(tmp_path: Path) -> None:
    """Proves that a model folder needs no step, is never taken for step 0, and takes step and tokens from the study."""
    folder = model_folder(tmp_path / "final")
    (only,) = folder_series(folder)
    assert (only.step, only.tokens, only.schedule) == (UNKNOWN_STEP, None, "unknown")
    (told,) = folder_series(folder, step=738_020, tokens=10**12, schedule="annealed")
    assert (told.step, told.tokens, told.schedule) == (738_020, 10**12, "annealed")


def test_identity_follows_the_weights_and_not_the_place(tmp_path: Path) -> None:
    """Proves that a moved folder keeps its address, and that exchanged weights change it."""
    (here,) = folder_series(model_folder(tmp_path / "a" / "model"))
    shutil.move(tmp_path / "a", tmp_path / "b")
    (there,) = folder_series(tmp_path / "b" / "model")
    (other,) = folder_series(model_folder(tmp_path / "c" / "model", fill=1))
    assert here.address == there.address != other.address


def test_equal_weights_are_found_before_they_are_loaded(tmp_path: Path) -> None:
    """Proves that two checkpoints with the same tensors are named as a group, and no others."""
    for step, fill in ((0, 0), (1, 0), (2, 1)):
        model_folder(tmp_path / f"step{step}", fill=fill)
    inspect = load_series_kind("folder").inspect
    groups = equal_weights({c: inspect(c, tmp_path / "cache") for c in folder_series(tmp_path)})
    assert [[c.step for c in group] for group in groups] == [[0, 1]]


def spoil(folder: Path, fault: str) -> None:
    """Plants one fault in a sound checkpoint folder."""
    weights = folder / "model.safetensors"
    if fault == "pickled":
        weights.rename(folder / "pytorch_model.bin")
        for name in ("optimizer.pt", "rng_state.pth", "training_args.bin"):
            (folder / name).write_bytes(b"")
    elif fault == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif fault == "shard":
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"weight": "model-2.safetensors"}}')
        weights.unlink()
    elif fault == "escape":
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"weight": "../secret.safetensors"}}')
        weights.unlink()
    elif fault in ("config.json", "tokenizer.json"):
        (folder / fault).unlink()
    elif fault == "nameless":
        (folder / "config.json").write_text('{"hidden_size": 16}')
    elif fault == "torn":
        (folder / "config.json").write_text('{"model_type":')
    elif fault == "code":
        (folder / "modeling_mine.py").write_text("raise SystemExit")
    else:
        asking = {"model_type": "olmo2", "parts": [{"text_config": {fault: {"AutoModel": "x--y.Z"}}}]}
        (folder / "config.json").write_text(json.dumps(asking))


@pytest.mark.parametrize(
    ("fault", "message", "cure"),
    [
        ("pickled", "has no model.safetensors, only pytorch_model.bin", "convert to safetensors"),
        ("cut", "is no sound safetensors file", "fetch or save it again"),
        ("shard", "lacks model-2.safetensors, which its index lists", "missing shard"),
        ("escape", "points to '../secret.safetensors'", "files beside it"),
        ("config.json", "has weights but no config.json", "save_pretrained"),
        ("tokenizer.json", "has weights but no tokenizer.json", "AutoTokenizer"),
        ("nameless", "config.json names no model_type", "save_pretrained"),
        ("torn", "config.json is no valid JSON", "fetch or save it again"),
        ("code", "brings code of its own (modeling_mine.py)", "amuro runs none"),
        ("auto_map", "code of its own (parts.0.text_config.auto_map)", "transformers has itself"),
        (
            "trust_remote_code",
            "asks for code of its own (parts.0.text_config.trust_remote_code)",
            "transformers has itself",
        ),
        (
            "custom_pipelines",
            "asks for code of its own (parts.0.text_config.custom_pipelines)",
            "transformers has itself",
        ),
    ],
)
def test_a_spoilt_checkpoint_stops_the_series_by_name(tmp_path: Path, fault: str, message: str, cure: str) -> None:
    """Proves for each fault of a checkpoint folder that it is found before compute, with its place and cure."""
    model_folder(tmp_path / "step1")
    spoil(model_folder(tmp_path / "step2"), fault)
    with pytest.raises(WeightsError) as caught:
        folder_series(tmp_path)
    assert str(tmp_path / "step2") in caught.value.message
    assert message in caught.value.message
    assert cure in caught.value.cure


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["step7", "step-0007"], {}, "has step 7 twice: folder:"),
        (["best"], {}, "best holds weights, but its name says no step"),
        ([], {}, "has no weights (it is empty)"),
        (["step7"], {"step": 7}, "states step or tokens for many checkpoints"),
        (
            ["step7"],
            {"token_per_step": 7},
            "unknown key 'token_per_step' in series 'mine'; did you mean 'tokens_per_step'",
        ),
    ],
)
def test_a_folder_that_is_no_series_says_why(
    tmp_path: Path, names: list[str], options: dict[str, Any], message: str
) -> None:
    """Proves that ambiguous or nameless checkpoints and misplaced options end in a sentence, not in a guess."""
    for i, name in enumerate(names):
        model_folder(tmp_path / name, fill=i)
    with pytest.raises((SeriesError, StudyError, WeightsError)) as caught:
        folder_series(tmp_path, **options)
    assert message in str(caught.value)


def test_a_missing_folder_and_a_broken_listing_are_named(tmp_path: Path) -> None:
    """Proves that a wrong path, a listing that is no TOML and one without steps are each named with the place."""
    with pytest.raises(SeriesError, match="there is no folder"):
        folder_series(tmp_path / "nowhere")
    listing = tmp_path / "series.toml"
    for text, message in (("step = ", "no valid TOML"), ("schedule = 'decay'", "lists no checkpoints")):
        listing.write_text(text)
        with pytest.raises(SeriesError, match=message):
            folder_series(tmp_path)
    listing.write_text("[[checkpoint]]\nfolder = 'a'\n")
    with pytest.raises(SeriesError, match="without folder or step"):
        folder_series(tmp_path)


def test_every_file_that_is_read_is_listed(tmp_path: Path) -> None:
    """Proves that index, configurations and tokenizer files are listed, from the tokenizer's own folder too,
    and nothing that is not read.
    """
    folder = model_folder(tmp_path / "model")
    for name in ("generation_config.json", "tokenizer_config.json", "README.md", "model.safetensors.index.json"):
        (folder / name).write_text("{}")
    names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    assert small_files(folder) == tuple(folder / name for name in names)
    apart = tmp_path / "tokenizer"
    apart.mkdir()
    (apart / "tokenizer.json").write_text("{}")
    assert small_files(folder, apart) == (*(folder / name for name in names[:2]), apart / "tokenizer.json")


def test_what_is_no_checkpoint_yet_is_told_and_left_out(tmp_path: Path) -> None:
    """Proves that drafts, folders without weights, nameless ones and weights in the root itself end no series, are no
    part of it, and are each named by the plan.
    """
    for fill, name in enumerate(("checkpoint-7", "checkpoint-9", "final", "tmp-checkpoint-12")):
        model_folder(tmp_path / name, fill)
    (tmp_path / "checkpoint-9" / "model.safetensors").unlink()
    shutil.copy(tmp_path / "final" / "model.safetensors", tmp_path)
    for name in ("runs", "empty-final", "checkpoint-50.tmp"):
        (tmp_path / name).mkdir()
    assert [checkpoint.step for checkpoint in folder_series(tmp_path)] == [7]
    table = {"name": "strays", "series": {"mine": {"kind": "folder", "path": str(tmp_path)}},
             "evaluate": [{"models": ["base"], "sets": ["world_inference/test"]}]}  # fmt: skip
    faults = faults_of(planning.make(studies.parse(table)), Store(tmp_path / "store"))
    told = " ".join(str(fault) for fault in faults if fault.name == "left out")
    bare = "empty-final, whose name says no step, and which holds no weights"
    for name in ("itself", "checkpoint-9, which holds no weights", "final", "tmp-checkpoint-12", bare, "-50.tmp"):
        assert name in told
    assert "runs" not in told
    assert {fault.level for fault in faults if fault.name == "left out"} == {"note"}


def test_a_series_without_any_weights_says_so(tmp_path: Path) -> None:
    """Proves that leaving out never leaves nothing: checkpoints of which none holds weights are refused."""
    (tmp_path / "checkpoint-9").mkdir()
    with pytest.raises(SeriesError, match=r"no checkpoint in .* holds weights \(checkpoint-9"):
        folder_series(tmp_path)


def test_a_tokenizer_may_lie_elsewhere(tmp_path: Path) -> None:
    """Proves that checkpoints without a tokenizer take that of the named folder, in every check and list, and that
    without the key they are refused with it as the cure.
    """
    folder = model_folder(tmp_path / "runs" / "checkpoint-3")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match="tokenizer = "):
        folder_series(tmp_path / "runs")
    words = tmp_path / "words"
    with pytest.raises(SeriesError, match="there is no folder"):
        folder_series(tmp_path / "runs", tokenizer=str(words))
    words.mkdir()
    with pytest.raises(WeightsError, match=r"words has no tokenizer\.json"):
        folder_series(tmp_path / "runs", tokenizer=str(words))
    Encoder.of_bytes().tokenizer.save(str(words / "tokenizer.json"))
    (words / "tokenizer_config.json").write_text('{"eos_token": "<eos>"}')
    (only,) = folder_series(tmp_path / "runs", tokenizer=str(words))
    kind = load_series_kind("folder")
    assert kind.locate(only, tmp_path) == folder
    assert kind.document(only, "tokenizer.json") == words / "tokenizer.json"
    assert Encoder.from_folder(folder, words).eos == 0
    series = {"mine": {"kind": "folder", "path": str(tmp_path / "runs"), "tokenizer": str(words)}}
    table = {"name": "apart", "series": series, "evaluate": [{"models": ["base"], "sets": ["world_inference/test"]}]}
    plan, store = planning.make(studies.parse(table)), Store(tmp_path / "store")
    before = Inputs(plan, store).checkpoint(plan.checkpoints[0])
    (words / "tokenizer_config.json").write_text('{"eos_token": "a"}')
    assert Inputs(plan, store).checkpoint(plan.checkpoints[0]) != before


def test_a_vocabulary_that_lies_elsewhere_must_fit_too(tmp_path: Path) -> None:
    """Proves that more ids than rows of embedding are refused, whichever folder the tokenizer comes from."""
    folder = model_folder(tmp_path / "checkpoint-3", vocab_size=5)
    words = model_folder(tmp_path / "words" / "here")
    Encoder.of_bytes().tokenizer.save(str(words / "tokenizer.json"))
    (only,) = folder_series(folder, tokenizer=str(words))
    with pytest.raises(WeightsError, match="has 257 ids, the embedding 5 rows"):
        load_series_kind("folder").locate(only, tmp_path)


def test_the_trainers_count_of_tokens_is_read(tmp_path: Path) -> None:
    """Proves the order of sources: a listing, tokens_per_step, the trainer's count (0 is none), the folder's name."""
    for step, seen in ((1, 111), (2, 0)):
        folder = model_folder(tmp_path / f"step{step}-tokens1M", fill=step)
        state = {"num_input_tokens_seen": seen, "log_history": [{"loss": float("nan")}]}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    assert [c.tokens for c in folder_series(tmp_path)] == [111, 1_000_000]
    assert [c.tokens for c in folder_series(tmp_path, tokens_per_step=8)] == [8, 16]
    assert folder_series(tmp_path / "step1-tokens1M")[0].tokens == 111
    (tmp_path / "series.toml").write_text('[[checkpoint]]\nfolder = "step1-tokens1M"\nstep = 1\ntokens = 5')
    assert [c.tokens for c in folder_series(tmp_path, tokens_per_step=8)] == [5]


def test_what_a_variable_holds_is_not_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that a path is told as it is written, so that no secret of the environment stands in a message."""
    monkeypatch.setenv("SOME_TOKEN", "hf_secret")
    with pytest.raises(SeriesError) as caught:
        folder_series(Path("$SOME_TOKEN"))
    assert "$SOME_TOKEN" in str(caught.value)
    assert "hf_secret" not in str(caught.value)
