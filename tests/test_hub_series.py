"""Series on a hub: the real client against a stub on loopback, then offline on the cache that it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from stub_hub import Repository, StubHub, commit_of, read_folder, serve

from amuro.core.errors import AmuroError
from amuro.core.weights import check_folder
from amuro.series import load_series_kind
from amuro.series.base import UNKNOWN_STEP

DRIVER = """
import json, sys, time
from pathlib import Path
from amuro.series import load_series_kind
from amuro.core.errors import AmuroError
from amuro.series.base import equal_weights

time.sleep = lambda seconds: None  # the client waits a second before each new attempt
hub = load_series_kind("hub")

def ask(options, call):
    try:
        if call == "lock":
            return hub.lock("s", options)
        found = hub.checkpoints("s", options)
        if call == "list":
            return [[c.step, c.tokens, c.revision, c.address] for c in found]
        if call == "equal":
            seen = {c: inspection for c in found if (inspection := hub.inspect(c, Path()))}
            return [[c.step for c in group] for group in equal_weights(seen)]
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
    series = load_series_kind("hub").checkpoints
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
        load_series_kind("hub").checkpoints("s", options)
    assert str(caught.value).startswith(message)


def test_a_single_revision_without_a_step_is_a_series_of_one() -> None:
    """Proves that `main` of an unknown run is one checkpoint of unknown step, unless the study states it."""
    series = load_series_kind("hub").checkpoints
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
