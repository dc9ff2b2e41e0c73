"""Published series by their names: facts, choices without a network, and the same weights as through kind = "hub"."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amuro.core import hub
from amuro.core.errors import AmuroError
from amuro.core.revisions import parse_revision
from amuro.core.types import Checkpoint
from amuro.series import llama3_8b, load_series_kind, olmo2_1b, olmo_1b, pythia
from amuro.series._published_run import PublishedRun
from amuro.series.base import UNKNOWN_STEP, training_flops
from amuro.series.hub import KNOWN

NAMED: dict[str, dict[str, Any]] = {"olmo_1b": {}, "olmo2_1b": {}, "pythia": {"size": "410m"}, "llama3_8b": {}}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test of this file fails where a connection is opened."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def series(kind: str, **options: Any) -> tuple[Checkpoint, ...]:
    return load_series_kind(kind).checkpoints("s", options)


def test_olmo_1b_is_the_series_of_the_paper_unless_told() -> None:
    """Proves the paper's eight checkpoints with exact tokens, and that `main` is the last row of the list."""
    found = series("olmo_1b")
    steps = [1000, 18_000, 342_000, 424_000, 505_000, 592_000, 738_000, 738_020]
    assert [checkpoint.step for checkpoint in found] == steps
    assert [checkpoint.tokens for checkpoint in found] == [step * 2048 * 2048 for step in steps]
    assert {checkpoint.source for checkpoint in found} == {"hub:allenai/OLMo-1B-hf"}
    assert (found[0].revision, found[-1].revision) == ("step1000", "main")
    assert {checkpoint.bytes for checkpoint in found} == {4 * 1_176_764_416}


def test_the_documented_grids_have_the_documented_sizes() -> None:
    """Proves the number of rows of each list, and that each one rises."""
    sizes = {"pythia": (pythia.STEPS, 154), "olmo_1b": (olmo_1b.RUN.steps, 351), "olmo2_1b": (olmo2_1b.RUN.steps, 195)}
    for steps, size in sizes.values():
        assert len(steps) == size
        assert list(steps) == sorted(set(steps))
    assert pythia.STEPS[:12] == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)


@pytest.mark.parametrize(
    ("member", "layers", "layer", "rest"),
    [
        (olmo_1b, 16, 4 * 2048**2 + 3 * 2048 * 8192, 50_304 * 2048),
        (olmo2_1b, 16, 4 * 2048**2 + 3 * 2048 * 8192 + 4 * 2048, 2 * 100_352 * 2048 + 2048),
        (llama3_8b, 32, (2 * 4096 + 2 * 1024) * 4096 + 3 * 4096 * 14_336 + 2 * 4096, 2 * 128_256 * 4096 + 4096),
    ],
)
def test_parameters_are_those_of_the_configuration(member: Any, layers: int, layer: int, rest: int) -> None:
    """Proves each stated number from widths, layers and vocabulary of the published configuration."""
    assert member.RUN.parameters == layers * layer + rest


@pytest.mark.parametrize(
    ("size", "layers", "width", "rows"),
    [
        ("14m", 6, 128, 50_304), ("31m", 6, 256, 50_304), ("70m", 6, 512, 50_304), ("160m", 12, 768, 50_304),
        ("410m", 24, 1024, 50_304), ("1b", 16, 2048, 50_304), ("1.4b", 24, 2048, 50_304), ("2.8b", 32, 2560, 50_304),
        ("6.9b", 32, 4096, 50_432), ("12b", 36, 5120, 50_688),
    ],
)  # fmt: skip
def test_parameters_of_every_pythia(size: str, layers: int, width: int, rows: int) -> None:
    """Proves the table of the model cards from each size's configuration: GPT-NeoX, biases included."""
    block = 12 * width**2 + 13 * width
    assert pythia.PARAMETERS[size] == 2 * rows * width + layers * block + 2 * width


def test_flops_follow_from_parameters_and_tokens() -> None:
    """Proves 6·N·D, beside the 3.5e22 that the model card of OLMo 2 1B states, and None where tokens are unknown."""
    assert training_flops(series("olmo2_1b", at="main")[0]) == pytest.approx(3.5e22, rel=0.05)
    (unknown,) = series("hub", model="o/n")
    assert training_flops(unknown) is None
    (told,) = series("hub", model="o/n", parameters=10, step_of={"main": 5}, tokens_per_step=2)
    assert training_flops(told) == 6 * 10 * 10


@pytest.mark.parametrize("kind", sorted(NAMED))
def test_a_named_series_is_the_same_as_through_the_hub_kind(kind: str) -> None:
    """Proves that addresses, tokens, schedule and size do not depend on which kind names the repository."""
    for checkpoint in series(kind, **NAMED[kind]):
        repository = checkpoint.source.removeprefix("hub:")
        (same,) = series("hub", model=f"{repository}@{checkpoint.revision}")
        assert same == checkpoint


@given(st.sampled_from(["olmo_1b", "olmo2_1b", "pythia"]), st.integers(1, 20))
def test_log_spaced_choices_need_no_network(kind: str, count: int) -> None:
    """Proves for each documented grid that `logN` gives N steps above 0 of it, the last among them."""
    run: PublishedRun = {"olmo_1b": olmo_1b.RUN, "olmo2_1b": olmo2_1b.RUN, "pythia": pythia.RUNS[0]}[kind]
    options = {"size": "14m"} if kind == "pythia" else {}
    steps = [checkpoint.step for checkpoint in series(kind, at=f"log{count}", **options)]
    assert len(steps) == count
    assert 0 not in steps
    assert set(steps) <= set(run.steps)
    assert steps[-1] == run.steps[-1]


def test_main_takes_the_place_of_the_last_step() -> None:
    """Proves that `log8,main` is eight checkpoints: the documented last step and `main` are the same weights."""
    found = series("pythia", size="1b", at="log8,main")
    assert len(found) == 8
    assert (found[-1].step, found[-1].revision) == (143_000, "main")


def test_all_and_steps_choose_from_the_documented_grid() -> None:
    """Proves that `all` is the whole list, that `steps` names some of it, and that deduplicated runs have their own."""
    assert [c.step for c in series("pythia", size="70m", at="all")] == list(pythia.STEPS)
    first, second = series("pythia", size="70m", deduped=True, steps=[143_000, 0])
    assert (first.step, second.step) == (0, 143_000)
    assert second.source == "hub:EleutherAI/pythia-70m-deduped"
    assert second.unique_tokens == 207_000_000_000
    assert [c.revision for c in series("olmo2_1b", steps=[300])] == ["stage1-step300"]


def test_later_stages_are_counted_through() -> None:
    """Proves that a step of OLMo 2's second stage comes after all of the first, with its tokens, unique ones unknown,
    and that `main` is the end of ingredient 3."""
    first, last = series("hub", model="allenai/OLMo-2-0425-1B@stage2-ingredient3-step[1000,23852]")
    (main,) = series("olmo2_1b", at="main")
    assert (first.step, first.tokens) == (1_908_359, 1_908_359 * 512 * 4096)
    assert (first.schedule, last.schedule, main.schedule) == ("decay", "annealed", "annealed")
    assert (last.step, last.tokens, last.unique_tokens) == (main.step, main.tokens, None)
    assert series("olmo2_1b", steps=[10_000])[0].unique_tokens == 10_000 * 512 * 4096


def test_llama_has_tokens_and_no_step() -> None:
    """Proves that the only published weights carry what their makers told: tokens, not steps."""
    (only,) = series("llama3_8b")
    assert (only.step, only.tokens, only.schedule) == (UNKNOWN_STEP, 15 * 10**12, "unknown")
    assert only.bytes == 2 * 8_030_261_248


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("pythia", {}, "series 's' has size None; known: 1.4b, 12b"),
        ("pythia", {"size": "410"}, "series 's' has size '410'; did you mean '410m'?"),
        ("pythia", {"size": "1b", "deduped": "yes"}, "deduped of series 's' is 'yes'; write true or false"),
        ("pythia", {"size": "1b", "steps": [1500]}, "'step1500' is no documented checkpoint of EleutherAI/pythia-1b"),
        ("pythia", {"size": "1b", "steps": "1000"}, "steps of series 's' is '1000'; give whole numbers of at least 0"),
        ("pythia", {"size": "1b", "steps": [1000], "at": "main"}, "series 's' has both at and steps"),
        ("pythia", {"sise": "1b"}, "unknown key 'sise' in series 's'; did you mean 'size'?"),
        ("olmo_1b", {"at": "step200000"}, "'step200000' is no documented checkpoint of allenai/OLMo-1B-hf"),
        ("olmo2_1b", {"at": "stage1-step1000"}, "'stage1-step1000' is no documented checkpoint of allenai/OLMo-2"),
        ("olmo2_1b", {"at": "stage3-log8"}, "allenai/OLMo-2-0425-1B has no revisions of 'stage3'"),
        ("llama3_8b", {"steps": [1000]}, "series 's' has no 'step1000': meta-llama/Meta-Llama-3-8B publishes its last"),
        ("llama3_8b", {"at": "log8"}, "meta-llama/Meta-Llama-3-8B lists no revision with a step in its name"),
    ],
)
def test_what_a_series_does_not_have_is_said_offline(kind: str, options: dict[str, Any], message: str) -> None:
    """Proves for each kind of wrong table that one sentence names it and the cure, before any request."""
    with pytest.raises(AmuroError) as caught:
        series(kind, **options)
    assert str(caught.value).startswith(message)
    assert caught.value.cure
    assert "\n" not in str(caught.value)


def test_an_undocumented_step_names_the_nearest() -> None:
    """Proves that the cure lists the documented steps around the wanted one, and the way to any other revision."""
    with pytest.raises(AmuroError) as caught:
        series("olmo_1b", at="step200000")
    assert caught.value.cure.startswith("nearest: step117850, step117000, step116000;")
    assert 'kind = "hub"' in caught.value.cure


def test_every_run_is_known_once_and_its_names_can_be_read() -> None:
    """Proves that no repository has two runs, and that each documented name is parsed back to its step."""
    members = (llama3_8b, olmo2_1b, olmo_1b, pythia)
    assert len(KNOWN) == sum(len(member.RUNS) for member in members) == 24
    for run in KNOWN.values():
        parsed = [parse_revision(name) for name in run.names]
        assert [p and (p.stage, p.step) for p in parsed] == [(run.stage, step) for step in run.steps]


def test_a_locked_named_series_keeps_its_pins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Proves that a lock of a named series, given back, pins each revision, and that a changed choice is seen."""
    listed = {f"step{step}-tokens{tokens}B": f"{step:040x}" for step, tokens in ((1000, 4), (18_000, 75))}
    monkeypatch.setattr(hub, "revisions", lambda repository: listed)
    monkeypatch.setattr(hub, "find", lambda repository, revision: hub.Found(repository, "", "", {}, {}))
    kind = load_series_kind("olmo_1b")
    locked = kind.lock("s", {"steps": [1000, 18_000]})
    assert locked["revisions"] == listed
    again = series("olmo_1b", steps=[1000, 18_000], lock=locked)
    assert [c.revision for c in again] == [f"{name}@{commit}" for name, commit in listed.items()]
    assert [c.address for c in again] == [c.address for c in series("olmo_1b", steps=[1000, 18_000])]
    assert kind.lock("s", {"steps": [1000, 18_000], "lock": locked}) == locked


def test_the_series_of_the_page_is_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Proves that the file shown in docs/series.md, kept outside the package, is a kind by its dotted name."""
    page = (Path(__file__).parents[1] / "docs" / "series.md").read_text(encoding="utf-8")
    code = page.split("```python my_lab/series/acme_3b.py\n")[1].split("```")[0]
    (tmp_path / "my_lab" / "series").mkdir(parents=True)
    (tmp_path / "my_lab" / "series" / "acme_3b.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = series("my_lab.series.acme_3b")
    assert (len(found), found[-1].step, found[-1].tokens) == (8, 40_000, 40_000 * 1_048_576)
