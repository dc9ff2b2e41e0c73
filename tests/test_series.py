"""Series from toys, folders and a hub: the real hub client against a stub on loopback, then offline on its cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from amuro import catalog
from amuro.errors import AmuroError, HubError, SeriesError, StudyError, WeightsError
from amuro.revisions import Revision, label, log_spaced, match, parse_revision, parse_spec, select
from amuro.series_kind import UNKNOWN_STEP, equal_weights
from amuro.types import Checkpoint
from amuro.weights import check_folder

sys.path.insert(0, str(Path(__file__).parent))
from stub_hub import Repository, StubHub, commit_of, read_folder, serve

# ---------------------------------------------------------------------------------------------- names of revisions


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("step1000", Revision("step1000", 1000)),
        ("step-00000700", Revision("step-00000700", 700)),
        ("checkpoint-700", Revision("checkpoint-700", 700)),
        ("step20000-tokens84B", Revision("step20000-tokens84B", 20_000, 84 * 10**9)),
        ("stage1-step1000-tokens3B", Revision("stage1-step1000-tokens3B", 1000, 3 * 10**9, "stage1")),
        (
            "stage2-ingredient1-step5-tokens1B",
            Revision("stage2-ingredient1-step5-tokens1B", 5, 10**9, "stage2-ingredient1"),
        ),
        ("step1250-seed-small-aux-2", Revision("step1250-seed-small-aux-2", 1250, seed_name="small-aux-2")),
        ("main", None),
        ("stepwise", None),
        ("step1000-tokens", None),
        ("old-step1000", None),
    ],
)
def test_documented_names_are_read_and_others_are_not(name: str, revision: Revision | None) -> None:
    """Proves that step, tokens, stage and seed name are taken from documented names and from nothing else."""
    assert parse_revision(name) == revision


@given(st.integers(0, 10**7), st.integers(1, 9999), st.sampled_from(["", "stage1", "stage2-ingredient3"]))
def test_the_label_forgets_only_the_token_count(step: int, billions: int, stage: str) -> None:
    """Proves that a revision has one label with and without its token count, and that labels parse to themselves."""
    short = (f"{stage}-" if stage else "") + f"step{step}"
    assert label(f"{short}-tokens{billions}B") == label(short) == short
    assert label(label(short)) == short


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True))
def test_brackets_name_each_step_once_in_the_written_order(steps: list[int]) -> None:
    """Proves that bracketed steps mean the same as the revisions written one by one."""
    bracketed = parse_spec(f"org/name@step{steps}-seed-default")
    assert bracketed == parse_spec("org/name@" + ",".join(f"step{step}-seed-default" for step in steps))
    assert bracketed.named == tuple(f"step{step}-seed-default" for step in steps)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("EleutherAI/pythia-160m", ("main",)),
        ("EleutherAI/pythia-160m@step[1000, 2000]", ("step1000", "step2000")),
        ("allenai/OLMo-1B-hf@step1000-tokens4B", ("step1000-tokens4B",)),
        ("allenai/OLMo-1B-hf@step[1000,18000]-tokens…B,main", ("step1000", "step18000", "main")),
        ("allenai/OLMo-2@stage1-step[1,2]", ("stage1-step1", "stage1-step2")),
    ],
)
def test_specs_name_revisions(spec: str, named: tuple[str, ...]) -> None:
    """Proves that each documented way to write a choice of revisions is understood."""
    assert parse_spec(spec).named == named


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("pythia-160m@step1000", "names no model on the hub"),
        ("org/name/more@step1", "names no model on the hub"),
        ("../name@step1", "names no model on the hub"),
        ("org/name@", "cannot be read: ''"),
        ("org/name@step1,,step2", "cannot be read: ''"),
        ("org/name@step[1000,2000", "cannot be read: 'step[1000"),
        ("org/name@step[1000,…]", "a step that is no number: '…'"),
        ("org/name@step[1e3]", "a step that is no number: '1e3'"),
        ("org/name@log0", "'log0' chooses no revision"),
    ],
)
def test_specs_that_say_nothing_clear_are_refused(spec: str, fault: str) -> None:
    """Proves that a mistyped spec ends in a sentence that shows the fault, never in another choice."""
    with pytest.raises(StudyError) as caught:
        parse_spec(spec)
    assert fault in str(caught.value)
    assert caught.value.cure


@given(st.text(max_size=40))
def test_any_text_is_a_spec_or_our_error(text: str) -> None:
    """Proves that no text whatever breaks the reader of specs."""
    try:
        assert parse_spec(f"org/name@{text}").repository == "org/name"
    except StudyError as error:
        assert error.cure  # noqa: PT017 — either way out is fine, and this is what the second must offer


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60, unique=True), st.integers(1, 12))
@example([1, 2, 3, 4, 1000], 4)
def test_log_spaced_keeps_the_ends_and_the_number(steps: list[int], count: int) -> None:
    """Proves that the choice is a sub-list of the wanted length without step 0, and holds the last, and the first."""
    revisions = [Revision(f"step{step}", step) for step in sorted(steps)]
    positive = [revision for revision in revisions if revision.step > 0]
    chosen = log_spaced(revisions, count)
    assert len({revision.step for revision in chosen}) == len(chosen) == min(count, len(positive))
    assert chosen == sorted(chosen, key=positive.index)
    assert not chosen or chosen[-1] == positive[-1]
    assert count == 1 or not chosen or chosen[0] == positive[0]


def test_log_spaced_on_the_steps_of_pythia() -> None:
    """Proves on a published grid that the chosen steps are evenly spaced in log(step)."""
    steps = [0, *(2**i for i in range(10)), *range(1000, 144_000, 1000)]
    chosen = [revision.step for revision in log_spaced([Revision(f"step{s}", s) for s in steps], 8)]
    assert chosen == [1, 4, 32, 128, 1000, 5000, 26_000, 143_000]


def test_a_mix_of_runs_must_be_narrowed() -> None:
    """Proves that log8 over several stages or seeds is refused, and that a stage or a seed name narrows it."""
    names = ["stage1-step1-tokens1B", "stage1-step9-tokens2B", "stage2-ingredient1-step1-tokens1B", "main"]
    with pytest.raises(
        StudyError, match=r"several runs \(stage1, stage2-ingredient1\); choose one, such as stage1-log8"
    ):
        select(parse_spec("o/n@log8").listed[0], names, "o/n")
    assert [r.step for r in select(parse_spec("o/n@stage1-all").listed[0], names, "o/n")] == [1, 9]
    seeds = ["step1-seed-a", "step1-seed-b", "step2-seed-b"]
    assert [r.name for r in select(parse_spec("o/n@log8-seed-b").listed[0], seeds, "o/n")] == seeds[1:]
    with pytest.raises(StudyError, match="no revisions of 'c'"):
        select(parse_spec("o/n@log8-seed-c").listed[0], seeds, "o/n")


def test_a_missing_revision_is_answered_with_its_neighbours() -> None:
    """Proves that the nearest steps are offered, not the nearest spellings."""
    with pytest.raises(HubError, match="o/n has no revision 'step1100'; nearest: step1000, step2000, step11000"):
        match("step1100", ["step1000", "step2000", "step11000", "step110000"], "o/n")
    with pytest.raises(
        StudyError, match="'step1' fits several revisions of o/n; write one of: step1-tokens1B, step1-tok"
    ):
        match("step1", ["step1-tokens1B", "step1-tokens2B"], "o/n")


# ------------------------------------------------------------------------------------------------------------- toy


def test_toy_checkpoints_count_tokens() -> None:
    """Proves order, token counts and schedule of the toy series, and that it has no weights."""
    toy = catalog.series("toy")
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
        catalog.series("toy").checkpoints("t", options)
    assert str(caught.value).startswith(message)


# ---------------------------------------------------------------------------------------------------------- folders


def model_folder(folder: Path, fill: int = 0, **config: Any) -> Path:
    """The smallest folder that passes as a checkpoint; the tests on the hub use real models."""
    folder.mkdir(parents=True)
    save_file({"weight": np.full((300, 20), fill, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "olmo2", **config}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def folder_series(path: Path, **options: Any) -> tuple[Checkpoint, ...]:
    return catalog.series("folder").checkpoints("mine", {"path": str(path), **options})


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
    assert [catalog.series("folder").locate(c, tmp_path) for c in found][2] == tmp_path / "step-00000700"


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
    groups = equal_weights(catalog.series("folder"), folder_series(tmp_path), tmp_path / "cache")
    assert [[c.step for c in group] for group in groups] == [[0, 1]]


def spoil(folder: Path, fault: str) -> None:
    """Plants one fault in a sound checkpoint folder."""
    weights = folder / "model.safetensors"
    if fault == "empty":
        for path in list(folder.iterdir()):
            path.unlink()
    elif fault == "pickled":
        weights.rename(folder / "pytorch_model.bin")
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
        ("empty", "has no weights (it is empty)", "a checkpoint folder holds model.safetensors"),
        ("pickled", "has no model.safetensors, only pytorch_model.bin", "convert to safetensors"),
        ("cut", "is no sound safetensors file", "fetch or save it again"),
        ("shard", "lacks model-2.safetensors, which its index lists", "missing shard"),
        ("escape", "points to '../secret.safetensors'", "files beside it"),
        ("config.json", "has weights but no config.json", "save_pretrained"),
        ("tokenizer.json", "has weights but no tokenizer.json", "AutoTokenizer"),
        ("nameless", "config.json names no model_type", "save_pretrained"),
        ("torn", "config.json is no valid JSON", "fetch or save it again"),
        ("code", "brings code of its own (modeling_mine.py)", "amuro runs none"),
        ("auto_map", "asks for code of its own (auto_map)", "transformers has itself"),
        ("trust_remote_code", "asks for code of its own (trust_remote_code)", "transformers has itself"),
        ("custom_pipelines", "asks for code of its own (custom_pipelines)", "transformers has itself"),
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
        (["step7", "best"], {}, "best holds weights, but its name says no step"),
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


# -------------------------------------------------------------------------------------------------------------- hub

DRIVER = """
import json, sys, time
from pathlib import Path
from amuro import catalog
from amuro.errors import AmuroError
from amuro.series_kind import equal_weights

time.sleep = lambda seconds: None  # the client waits a second before each new attempt
hub = catalog.series("hub")

def ask(options, call):
    try:
        if call == "lock":
            return hub.lock("s", options)
        found = hub.checkpoints("s", options)
        if call == "list":
            return [[c.step, c.tokens, c.revision, c.address] for c in found]
        if call == "equal":
            return [[c.step for c in group] for group in equal_weights(hub, found, Path())]
        return [str(hub.locate(c, Path())) for c in found]
    except AmuroError as error:
        return [type(error).__name__, str(error)]

print(json.dumps([ask(options, call) for options, call in json.loads(sys.argv[1])]))
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Tiny random checkpoints of the library's own classes, as files: two of GPT-NeoX, one of OLMo 2."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(letters, [])), eos_token="!")
    sizes = {
        "vocab_size": 256,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    saved = {}
    for name, build, pretrain_seed in (
        ("neox", lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**sizes)), 0),
        ("neox later", lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**sizes)), 1),
        ("olmo", lambda: Olmo2ForCausalLM(Olmo2Config(**sizes)), 0),
    ):
        torch.manual_seed(pretrain_seed)
        folder = tmp_path_factory.mktemp("model")
        build().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        saved[name] = read_folder(folder)
    return saved


@pytest.fixture
def hub() -> Iterator[StubHub]:
    with serve() as stub:
        yield stub


def environment(stub: StubHub | None, home: Path, offline: bool) -> dict[str, str]:
    proxies = {key: "" for key in os.environ if key.lower().endswith("_proxy")}
    env = {**os.environ, **proxies, "HF_HOME": str(home), "HF_ENDPOINT": stub.url if stub else "http://127.0.0.1:9"}
    env |= {"HF_HUB_OFFLINE": str(int(offline)), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return env


def ask_all(stub: StubHub | None, home: Path, tasks: list[tuple[dict[str, Any], str]], offline: bool = False) -> Any:
    """What the series answers in a process of its own, whose real client knows only the stub."""
    command = [sys.executable, "-c", DRIVER, json.dumps(tasks)]
    env = environment(stub, home, offline)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(stub: StubHub | None, home: Path, model: str, *calls: str, offline: bool = False, **options: Any) -> Any:
    said = ask_all(stub, home, [({"model": model, **options}, call) for call in calls], offline)
    return said if len(said) > 1 else said[0]


def test_named_steps_need_no_network(tmp_path: Path) -> None:
    """Proves that a study that names its steps is planned offline, with tokens and schedule of known runs."""
    series = catalog.series("hub").checkpoints
    found = series("p", {"model": "EleutherAI/pythia-160m@step[0,1000],main"})
    assert [(c.step, c.tokens, c.schedule) for c in found] == [
        (0, 0, "initial"),
        (1000, 2_097_152_000, "warmup"),
        (143_000, 299_892_736_000, "decay"),
    ]
    last = series("d", {"model": "EleutherAI/pythia-1.4b-deduped"})[0]
    assert (last.step, last.tokens, last.unique_tokens) == (143_000, 299_892_736_000, 207_000_000_000)
    short, long, main = series("o", {"model": "allenai/OLMo-1B-hf@step1000,step20000-tokens84B,main"})
    assert (short.tokens, long.tokens, main.step) == (4_194_304_000, 83_886_080_000, 738_020)
    (same,) = series("o", {"model": "allenai/OLMo-1B-hf@step1000-tokens4B"})
    assert same.address == short.address


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "series 's' names no model"),
        ({"model": "o/n@step[1,1],step1-tokens4B"}, "series 's' has step 1 twice: step1 and step1-tokens4B"),
        ({"model": "o/n@step1,main"}, "the step of main in series 's' is unknown; state it: step_of"),
        ({"model": "o/n@step1", "lock": {"repository": "a/b"}}, "the lock of series 's' is of a/b, not o/n"),
        ({"model": "o/n@step1", "step_of": 7}, "step_of of series 's' is 7"),
    ],
)
def test_hub_options_that_contradict_themselves(options: dict[str, Any], message: str) -> None:
    """Proves that unclear hub series are refused before any request."""
    with pytest.raises(AmuroError) as caught:
        catalog.series("hub").checkpoints("s", options)
    assert str(caught.value).startswith(message)


def test_a_single_revision_without_a_step_is_a_series_of_one() -> None:
    """Proves that `main` of an unknown run is one checkpoint of unknown step, unless the study states it."""
    series = catalog.series("hub").checkpoints
    assert series("s", {"model": "o/n"})[0].step == UNKNOWN_STEP
    (told,) = series("s", {"model": "o/n", "step_of": {"main": 5}, "tokens_of": {"main": 50}})
    assert (told.step, told.tokens) == (5, 50)


def test_the_journey_of_a_hub_series(hub: StubHub, tmp_path: Path, models: dict[str, Any]) -> None:
    """Proves the whole way: list, choose, lock, find equal weights, download, load; then all of it offline."""
    published = {f"step{step}": models["neox"] for step in (0, 1)} | {
        f"step{2**i}": models["neox later"] for i in (4, 9)
    }
    hub.repositories["EleutherAI/pythia-14m"] = Repository({"main": models["neox later"], **published})
    model = "EleutherAI/pythia-14m@step0,log2"
    listed, locked, equal, folders = ask(hub, tmp_path, model, "list", "lock", "equal", "locate")
    assert [[step, tokens] for step, tokens, *_ in listed] == [[0, 0], [1, 2_097_152], [512, 512 * 2_097_152]]
    assert locked["revisions"] == {name: commit_of(published[name], name) for name in ("step0", "step1", "step512")}
    assert equal == [[0, 1]]
    for folder, name in zip(folders, ("step0", "step1", "step512"), strict=True):
        assert read_folder(Path(folder)) == published[name]
        check_folder(Path(folder))

    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(folders[0]).num_parameters() > 0
    again, equal_offline, cached = ask(None, tmp_path, model, "list", "equal", "locate", offline=True, lock=locked)
    assert [[s, t, a] for s, t, _, a in again] == [[s, t, a] for s, t, _, a in listed]
    assert [revision for _, _, revision, _ in again] == [f"{n}@{c}" for n, c in sorted(locked["revisions"].items())]
    assert (equal_offline, cached) == (equal, folders)


def test_a_locked_series_asks_nothing_of_the_hub(hub: StubHub, tmp_path: Path, models: dict[str, Any]) -> None:
    """Proves that pinned and cached weights need no request, and stay the same when the branch moves on."""
    hub.repositories["o/n"] = Repository({"step1": models["neox"]})
    locked, before = ask(hub, tmp_path, "o/n@step1", "lock", "locate")
    hub.repositories["o/n"] = Repository({"step1": models["neox later"]})
    hub.requests.clear()
    assert ask(hub, tmp_path, "o/n@step1", "locate", lock=locked) == before
    assert not hub.requests
    assert ask(hub, tmp_path, "o/n@step1", "locate") != before
    kind, message = ask(hub, tmp_path / "elsewhere", "o/n@step1", "locate", lock=locked)
    assert kind == "HubError"
    assert "no longer has the locked commit" in message


def test_a_hub_that_is_down_is_no_obstacle_to_what_is_cached(
    hub: StubHub, tmp_path: Path, models: dict[str, Any]
) -> None:
    """Proves that weights in the cache are used when the hub answers 503, and what is said when there are none."""
    hub.repositories["o/n"] = Repository({"step1": models["neox"]})
    folders = ask(hub, tmp_path, "o/n@step1", "locate")
    hub.down = 503
    again, (kind, sentence) = ask_all(hub, tmp_path, [({"model": f"o/n@step{i}"}, "locate") for i in (1, 2)])
    assert again == folders
    assert (kind, sentence) == (
        "UnreachableError",
        f"{hub.url} answered 503 for o/n@step2; wait a little, then call again",
    )


def test_token_counts_may_be_left_out(hub: StubHub, tmp_path: Path, models: dict[str, Any]) -> None:
    """Proves that step1000 finds step1000-tokens4B, online and later in the cache without a network."""
    hub.repositories["allenai/OLMo-1B-hf"] = Repository({"step1000-tokens4B": models["olmo"], "main": models["neox"]})
    locked, folders = ask(hub, tmp_path, "allenai/OLMo-1B-hf@step[1000]", "lock", "locate")
    assert list(locked["revisions"]) == ["step1000-tokens4B"]
    assert read_folder(Path(folders[0])) == models["olmo"]
    assert ask(None, tmp_path, "allenai/OLMo-1B-hf@step[1000]", "locate", offline=True) == folders
    assert ask(None, tmp_path, "allenai/OLMo-1B-hf@step[1000]", "locate") == folders


def test_refusals_of_the_hub_are_one_sentence_with_a_cure(hub: StubHub, tmp_path: Path, models: dict[str, Any]) -> None:
    """Proves what is said of gated, missing and pickled models, missing revisions and an unreachable hub."""
    pickled = {**models["neox"], "pytorch_model.bin": b"\x80"}
    del pickled["model.safetensors"]
    hub.repositories |= {
        "o/gated": Repository({"main": models["neox"]}, gated=True),
        "o/steps": Repository({f"step{step}": models["neox"] for step in (1000, 2000, 3000, 4000)}),
        "o/pickled": Repository({"main": pickled}),
    }
    here = tmp_path / "home"
    closed = "http://127.0.0.1:9"
    answers = {
        "o/gated": "HubError: o/gated is gated, and the hub did not let this account in; accept its terms at",
        "o/absent": f"HubError: {hub.url} shows no model o/absent; check the spelling",
        "o/steps@step2100": "HubError: o/steps has no revision 'step2100'; nearest: step2000, step3000, step1000",
        "o/pickled": "WeightsError: o/pickled@main has no model.safetensors: only pytorch_model.bin",
    }
    failures = {
        "o/steps@step1000": f"UnreachableError: the connection to {closed} failed (ConnectError), and o/steps",
        "o/steps@log8": "HubError: series 's' chooses among revisions, and the hub does not answer; name the steps",
    }
    offline = {
        **failures,
        "o/steps@step1000": "UnreachableError: HF_HUB_OFFLINE is set, and o/steps@step1000 is not whole",
    }
    for stub, expected in ((hub, answers), (None, failures), (None, offline)):
        said = ask_all(stub, here, [({"model": model}, "locate") for model in expected], offline=expected is offline)
        for (kind, sentence), beginning in zip(said, expected.values(), strict=True):
            assert f"{kind}: {sentence}".startswith(beginning)
            assert "\n" not in sentence
    assert "hf download o/steps --revision step1000" in said[0][1]
    assert not list(here.rglob("*.safetensors"))


def test_a_moved_repository_is_followed_and_both_names_are_kept(
    hub: StubHub, tmp_path: Path, models: dict[str, Any]
) -> None:
    """Proves that redirects are followed to the end, that the lock names both, and that the cache knows the old one."""
    hub.repositories |= {"old/n": Repository(moved_to="new/n"), "new/n": Repository({"step5": models["neox"]})}
    locked, folders = ask(hub, tmp_path, "old/n@step5", "lock", "locate")
    assert (locked["repository"], locked["moved_to"]) == ("old/n", "new/n")
    assert read_folder(Path(folders[0])) == models["neox"]
    assert ask(None, tmp_path, "old/n@step5", "locate", offline=True) == folders


@pytest.fixture
def big(hub: StubHub, models: dict[str, Any], tmp_path: Path) -> dict[str, bytes]:
    """A revision o/n@step1 whose weights are larger than the 10 MB that the client writes at once."""
    save_file({"weight": np.arange(3 << 20, dtype=np.float32)}, tmp_path / "big.safetensors")
    files = {**models["neox"], "model.safetensors": (tmp_path / "big.safetensors").read_bytes()}
    hub.repositories["o/n"] = Repository({"step1": files})
    return files


def test_a_broken_connection_costs_only_the_rest(hub: StubHub, tmp_path: Path, big: dict[str, bytes]) -> None:
    """Proves that a download cut in mid-file asks for the missing bytes alone, and that the whole file is right."""
    hub.cuts["model.safetensors"] = [11 << 20]
    (folder,) = ask(hub, tmp_path / "home", "o/n@step1", "locate")
    assert read_folder(Path(folder)) == big
    assert hub.ranges("model.safetensors") == ["", f"bytes={10 << 20}-"]


def test_a_dead_connection_leaves_nothing_half(hub: StubHub, tmp_path: Path, big: dict[str, bytes]) -> None:
    """Proves that after a download that failed for good no weights are visible, and that the next call fetches them."""
    home = tmp_path / "home"
    hub.cuts["model.safetensors"] = [0] * 100
    kind, sentence = ask(hub, home, "o/n@step1", "locate")
    assert (kind, "\n" in sentence) == ("UnreachableError", False)
    assert not list(home.rglob("snapshots/*/model.safetensors"))
    hub.cuts.clear()
    hub.requests.clear()
    assert read_folder(Path(ask(hub, home, "o/n@step1", "locate")[0])) == big
    assert not hub.ranges("config.json"), "what was whole is not fetched again"


def test_a_killed_download_leaves_nothing_half(hub: StubHub, tmp_path: Path, big: dict[str, bytes]) -> None:
    """Proves the same of a process that is killed in mid-file, when nobody can tidy up."""
    home = tmp_path / "home"
    command = [sys.executable, "-c", DRIVER, json.dumps([({"model": "o/n@step1"}, "locate")])]
    with hub.stalled("model.safetensors") as half_sent:
        process = subprocess.Popen(command, env=environment(hub, home, offline=False), stdout=subprocess.DEVNULL)
        assert half_sent.wait(60)
        process.kill()
        process.wait()
    assert not list(home.rglob("snapshots/*/model.safetensors"))
    assert ask(None, home, "o/n@step1", "locate", offline=True)[0] == "UnreachableError"
    assert read_folder(Path(ask(hub, home, "o/n@step1", "locate")[0])) == big
