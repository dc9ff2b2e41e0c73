"""The audit of series, on series that carry one planted defect each, and on sound ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_table
from hypothesis import given
from hypothesis import strategies as st
from stub_hub import Repository, StubHub, serve
from weight_files import CONFIG, SHARDS, STEPS, Tensors, files, pretrained, tokenizer, write

from amuro.core import hub as hub_client
from amuro.core.errors import WeightsError
from amuro.report.build import series_audits
from amuro.run.runner import audited, run
from amuro.series import load_series_kind
from amuro.series._audit.issue import AuditIssue, found
from amuro.series._audit.known_bad import entries, known_bad, known_gaps
from amuro.series._audit.steps import holes
from amuro.series._audit.weight_norms import direction_outliers, norm_outliers, trajectory
from amuro.series.olmo_1b import RUN as OLMO_1B
from amuro.series.pythia import STEPS as PYTHIA
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.study.series_audits import Audit, AuditTarget, audit, faults_of, keep, of_study
from amuro.study.store import Store

Content = dict[int, dict[str, bytes]]


def clean(shards: int = 1) -> Content:
    return {step: files(tensors, shards=shards) for step, tensors in pretrained().items()}


def audit_of(root: Path, content: Mapping[int, Mapping[str, bytes]], **allow: bool) -> Audit:
    """The audit of a local series that holds this content."""
    for step, files_of_step in content.items():
        write(root / f"step{step}", files_of_step)
    kind, options = load_series_kind("folder"), {"path": str(root)}
    return audit(AuditTarget("mine", kind, options, kind.checkpoints("mine", options), root / ".cache", **allow))


def named(faults: list[AuditIssue]) -> list[tuple[str, str, int]]:
    """(name, level, step) of each fault."""
    return [(fault.name, fault.level, int(fault.checkpoint.rpartition("@")[2] or -1)) for fault in faults]


# -- local folders


def test_a_sound_series_has_no_fault(tmp_path: Path) -> None:
    """Proves that nothing is found in log-spaced checkpoints on a smooth way, and that all of it was looked at."""
    done = audit_of(tmp_path, clean())
    assert (done.faults, done.inspected, done.unchecked) == ([], len(STEPS), [])
    norms = [row["norm"] for row in done.weights]
    assert norms == sorted(norms)
    assert all(0 < row["cosine_to_previous"] < 1 for row in done.weights[1:])


def stretched(tensors: Tensors, by: float) -> Tensors:
    return {name: (tensor * np.float32(by)) for name, tensor in tensors.items()}


def plant(defect: str) -> tuple[Content, dict[int, dict[str, bytes]]]:
    """A sound local series, and what replaces parts of it."""
    content, weights = clean(), pretrained()
    swapped = {**tokenizer()["model"], "vocab": {"w1": 0, "w0": 1}}
    stranger = pretrained(pretrain_seed=1)
    changed = {
        "duplicate": {1000: content[100]},
        "other files, equal weights": {1000: files(weights[100], shards=2)},
        "config": {1000: files(weights[1000], config={**CONFIG, "rope_theta": 5e5})},
        "tokenizer": {1000: files(weights[1000], words={**tokenizer(), "model": swapped})},
        "vocabulary": {1000: files(weights[1000], words=tokenizer(40))},
        "stretched": {1000: files(stretched(weights[1000], 1.5))},
        "stranger": {1000: files(stranger[1000])},
        "nan": {1000: files(stretched(weights[1000], float("nan")))},
        "shape": {1000: files({**weights[1000], "model.layers.0.mlp.weight": np.ones((3, 3), "<f4")})},
    }
    return content, changed[defect]


@pytest.mark.parametrize(
    ("defect", "faults"),
    [
        ("duplicate", [("equal weights", "refused", 1000)]),
        ("other files, equal weights", [("equal weights", "refused", 1000)]),
        ("config", [("config drift", "doubtful", 1000)]),
        ("tokenizer", [("tokenizer drift", "doubtful", 1000)]),
        ("vocabulary", [("tokenizer drift", "doubtful", 1000), ("vocabulary", "refused", 1000)]),
        ("stretched", [("norm outlier", "doubtful", 1000)]),
        ("stranger", [("direction outlier", "doubtful", 1000)]),
        ("nan", [("not finite", "refused", 1000)]),
        ("shape", [("other tensors", "doubtful", 1000)]),
    ],
)
def test_each_planted_defect_is_named_and_nothing_else(
    tmp_path: Path, defect: str, faults: list[tuple[str, str, int]]
) -> None:
    """Proves for each defect of a local series that the audit names it, at its step, with its level and a cure."""
    content, changed = plant(defect)
    for step in changed:
        del content[step]
    done = audit_of(tmp_path, content | changed)
    assert named(done.faults) == faults
    assert found(done.faults)
    assert all(fault.cure and "\n" not in str(fault) for fault in done.faults)


def test_a_gap_in_a_local_series_is_named(tmp_path: Path) -> None:
    """Proves that a lost stretch among evenly spaced checkpoints is a fault of the whole series."""
    steps = [*range(1000, 8000, 1000), 150_000, 151_000]
    done = audit_of(tmp_path, {step: files(tensors) for step, tensors in pretrained(steps).items()})
    (gap,) = [fault for fault in done.faults if fault.name == "gap"]
    assert (gap.level, gap.detail) == ("doubtful", "the series has nothing between steps 7,000 and 150,000")


@pytest.mark.parametrize("allowed", [False, True])
def test_a_copied_shard_of_a_local_series(tmp_path: Path, allowed: bool) -> None:
    """Proves that one shard of the last checkpoint in an earlier one is found, refused, and accepted on demand."""
    content = clean(shards=2)
    content[1000][SHARDS[0]] = content[STEPS[-1]][SHARDS[0]]
    done = audit_of(tmp_path, content, allow_known_bad=allowed)
    (fault,) = [fault for fault in done.faults if fault.name == "copied shard"]
    assert fault.level == ("doubtful" if allowed else "refused")
    assert f"{SHARDS[0]} of {tmp_path}/step1000 is also that of {tmp_path}/step{STEPS[-1]}" in fault.detail
    assert {checkpoint.step for checkpoint in done.refused()} == (set() if allowed else {1000})


def test_equal_weights_may_be_allowed(tmp_path: Path) -> None:
    """Proves that a series whose study accepts duplicates has no fault because of them."""
    content = clean()
    content[1000] = content[100]
    assert not [f for f in audit_of(tmp_path, content, allow_duplicates=True).faults if f.name == "equal weights"]


def test_a_tokenizer_that_does_not_fit_is_refused_before_loading(tmp_path: Path) -> None:
    """Proves that `locate` names the folder, both numbers and the cure, and lets a fitting tokenizer pass."""
    weights = pretrained()
    write(tmp_path / "step1", files(weights[1]))
    write(tmp_path / "step10", files(weights[10], words=tokenizer(40)))
    series = load_series_kind("folder")
    fits, not_so = series.checkpoints("mine", {"path": str(tmp_path)})
    assert series.locate(fits, tmp_path) == tmp_path / "step1"
    with pytest.raises(WeightsError, match="has 41 ids, the embedding 40 rows") as caught:
        series.locate(not_so, tmp_path)
    assert str(tmp_path / "step10") in caught.value.message


def test_folders_tell_parameters_and_bytes(tmp_path: Path) -> None:
    """Proves that a local checkpoint's size is read off the headers of its files."""
    (only,) = load_series_kind("folder").checkpoints(
        "mine", {"path": str(write(tmp_path / "m", files(pretrained()[1])))}
    )
    assert only.parameters == 40 * 8 + 16 * 8 + 40 * 8
    assert only.bytes == (tmp_path / "m" / "model.safetensors").stat().st_size


# -- the rules


def test_bfloat16_is_read_as_its_values(tmp_path: Path) -> None:
    """Proves that norms and products of bfloat16 tensors are those of the same values in float32."""
    grams = []
    for name in ("f4", "bf16"):
        folders = []
        for step, tensors in pretrained(STEPS[:3]).items():
            cut = {n: (t.view("<u4") & 0xFFFF0000).view("<f4") for n, t in tensors.items()}
            folders.append(write(tmp_path / name / str(step), files(cut) if name == "f4" else {**_bfloat16(cut)}))
        grams.append(trajectory(folders).gram)
    np.testing.assert_allclose(grams[0], grams[1], rtol=1e-12)


def _bfloat16(tensors: Tensors) -> dict[str, bytes]:
    header, data = {}, b""
    for name, tensor in tensors.items():
        content = (tensor.view("<u4") >> 16).astype("<u2").tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    return {"model.safetensors": len(text).to_bytes(8, "little") + text + data}


def test_a_gram_matrix_does_not_depend_on_the_size_of_its_pieces(tmp_path: Path, monkeypatch: Any) -> None:
    """Proves that reading tensors in small pieces gives what reading them whole gives."""
    folders = [write(tmp_path / str(step), files(tensors)) for step, tensors in pretrained().items()]
    whole = trajectory(folders)
    monkeypatch.setattr("amuro.series._audit.weight_norms._CHUNK", 50)
    np.testing.assert_allclose(trajectory(folders).gram, whole.gram, rtol=1e-9)
    expected = [
        np.sqrt(sum((t.astype(float) ** 2).sum() for t in tensors.values())) for tensors in pretrained().values()
    ]
    np.testing.assert_allclose(whole.norms, expected, rtol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 10**5), st.integers(5, 60))
def test_even_steps_have_no_holes(first: int, every: int, count: int) -> None:
    """Proves for any evenly spaced grid, wherever it begins, that nothing is missing in it."""
    assert holes(range(first, first + count * every, every)) == []


@given(st.integers(2, 10), st.integers(5, 12))
def test_log_spaced_steps_have_no_holes(ratio: int, count: int) -> None:
    """Proves for any geometric grid that its growing distances are no holes; nor are Pythia's two kinds of steps."""
    assert holes([ratio**i for i in range(count)]) == []
    assert holes(PYTHIA) == []


@given(st.integers(20, 60), st.integers(12, 40), st.integers(1, 18))
def test_a_lost_stretch_is_found_wherever_it_lies(count: int, lost: int, after: int) -> None:
    """Proves that more than ten lost steps in an even grid are the one hole that is named, wherever they lie."""
    earlier, later = range(1, after + 1), range(after + lost, after + lost + count)
    assert holes([*earlier, *later]) == [(after, after + lost)]


@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=12), st.floats(0.01, 100))
def test_growing_norms_have_no_outlier(growth: list[float], scale: float) -> None:
    """Proves that norms that only rise, however unevenly and on whatever scale, are never called outliers."""
    norms = scale * np.cumprod(1 + np.array(growth))
    assert norm_outliers([10**i for i in range(len(growth))], norms) == []


@given(st.integers(1, 5), st.floats(1.3, 3), st.booleans())
def test_one_stretched_checkpoint_is_the_outlier(at: int, by: float, longer: bool) -> None:
    """Proves that an inner checkpoint of another norm is named, and its neighbours are not."""
    norms = np.linspace(10, 11, 7)
    norms[at] *= by if longer else 1 / by
    assert norm_outliers(STEPS, norms) == [at]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_foreign_weights_are_the_only_direction_outlier(pretrain_seed: int, at: int) -> None:
    """Proves that weights of another run stand out on a random walk, whose own points do not."""
    rng = np.random.default_rng(pretrain_seed)
    walk = np.cumsum([rng.normal(size=2000) * (3 if i == 0 else 0.5) for i in range(7)], axis=0)
    assert direction_outliers(cosines(walk)) == []
    walk[at] = rng.normal(size=2000) * 3
    assert direction_outliers(cosines(walk)) == [at]


def cosines(rows: Any) -> Any:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


# -- the table of known-bad revisions


def checkpoints(kind: str, **options: Any) -> Any:
    return load_series_kind(kind).checkpoints("s", options)


def test_the_table_holds_what_the_reports_say() -> None:
    """Proves that the rows of pythia-2.8b name 86 of its 154 branches, as its report counts, with step143000."""
    steps: set[int] = set()
    for entry in entries():
        assert entry.level in ("refused", "doubtful", "note")
        assert entry.issue.startswith("https://github.com/")
        steps |= entry.steps if entry.repository == "EleutherAI/pythia-2.8b" else set()
    assert len(steps | {143_000}) == 86
    assert steps <= set(PYTHIA)


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"kind": "pythia", "size": "12b", "steps": [49000, 50000, 58000]}, [50000, 58000]),
        ({"kind": "pythia", "size": "12b", "deduped": True, "steps": [50000]}, []),
        ({"kind": "pythia", "size": "410m", "steps": [0, 1, 2, 4]}, [1, 2]),
        ({"kind": "pythia", "size": "410m", "steps": [1, 4]}, []),
        ({"kind": "pythia", "size": "2.8b", "steps": [53000, 66000]}, [53000]),
        ({"kind": "hub", "model": "allenai/OLMo-2-1124-7B@stage1-step101000-tokens424B"}, [101000]),
        ({"kind": "olmo_1b"}, []),
    ],
)
def test_known_bad_revisions_are_named_without_a_network(options: dict[str, Any], refused: list[int]) -> None:
    """Proves which checkpoints of which series the table refuses, and that the rest passes."""
    faults = known_bad(checkpoints(**options))
    assert [step for name, level, step in named(faults)] == refused
    assert all(fault.issue and str(fault).count(fault.issue) == 1 for fault in faults)
    assert not found(known_bad(checkpoints(**options), allow=True))


def test_equal_steps_are_accepted_where_duplicates_are() -> None:
    """Proves that Pythia's step1, which equals step0, needs only allow_duplicates."""
    own = checkpoints("pythia", size="70m", steps=[0, 1])
    assert not found(known_bad(own, allow_duplicates=True))
    assert "allow_duplicates = true" in known_bad(own)[0].cure


def test_a_documented_gap_is_a_note() -> None:
    """Proves that the stretch that OLMo 1B lost is told with its report, and is no fault of the chosen steps."""
    (gap,) = known_gaps(checkpoints("olmo_1b"))
    assert (gap.level, gap.issue) == ("note", "https://github.com/allenai/OLMo/issues/879")
    assert holes((0, *OLMO_1B.steps)) == [(117_850, 330_000)]


def bad_study(**series: Any) -> studies.Study:
    table = series if "path" in series else {"kind": "pythia", "size": "12b", "steps": [50000], **series}
    block = {"models": ["base"], "sets": ["world_inference/test"], "limit": 5}
    return studies.parse(toy_table(engine="torch", series={"big": table}, tune=[], evaluate=[block]))


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(*_: Any) -> Any:
        raise hub_client.UnreachableError("no network")

    monkeypatch.setattr(hub_client, "find", silence)
    monkeypatch.setattr(hub_client, "revisions", silence)


def test_a_run_leaves_known_bad_checkpoints_out(store: Store, no_hub: None) -> None:
    """Proves that a run names the checkpoint, the reason and the cure, loads nothing, and keeps the audit."""
    plan = planning.make(bad_study())
    outcome = run(plan, store, lambda event: None)
    assert outcome.filled == 0
    assert len(outcome.failures) == 2  # its test and its dev cell
    assert "EleutherAI/pythia-12b@step50000 its first shard" in outcome.failures[0]
    assert "https://github.com/EleutherAI/pythia/issues/206" in outcome.failures[0]
    assert "allow_known_bad = true" in outcome.failures[0]
    (kept,) = [manifest for manifest in store.manifests("audits") if manifest["audit"] == "series"]
    assert [fault["name"] for fault in kept["faults"]] == ["known bad"]
    assert kept["checkpoints"][0]["parameters"] == 11_846_072_320
    ((told,), other) = series_audits(plan, store), series_audits(planning.make(bad_study(allow_known_bad=True)), store)
    assert [fault["name"] for fault in told["faults"]] == ["known bad"]  # what the report says of the series
    assert other == []


def test_a_study_may_accept_what_is_known(store: Store, no_hub: None) -> None:
    """Proves that with allow_known_bad the checkpoint is not refused, that plan still names it, and that an older
    audit does not speak for a study with other permissions."""
    refusing, allowing = planning.make(bad_study()), planning.make(bad_study(allow_known_bad=True))
    assert [fault.level for fault in faults_of(refusing, store)] == ["refused"]
    keep(audit(of_study(refusing, "big", store.root), weights=False), store)
    done = audit(of_study(allowing, "big", store.root), weights=False)
    assert done.refused() == {}
    assert [fault.level for fault in faults_of(allowing, store)] == ["note"]
    assert [fault.level for fault in faults_of(refusing, store)] == ["refused"]


def test_a_run_tells_of_doubtful_and_refused_checkpoints(tmp_path: Path, store: Store) -> None:
    """Proves that a local series is audited before compute: drift is told and studied, equal weights are left out."""
    content = clean()
    content[10] = content[1]
    content[1000] = files(pretrained()[1000], config={**CONFIG, "rope_theta": 5e5})
    for step, files_of_step in content.items():
        write(tmp_path / "mine" / f"step{step}", files_of_step)
    plan = planning.make(bad_study(kind="folder", path=str(tmp_path / "mine")))
    events: list[Mapping[str, Any]] = []
    refused = audited(plan, store, plan.cells, events.append)
    assert {checkpoint.step for checkpoint in refused} == {10}
    assert [(event["event"], event["job"].rpartition("@")[2]) for event in events] == [
        ("doubt", "1000"),
        ("lost", "10"),
    ]


# -- a hub on loopback

DRIVER = """
import json, sys, time
from pathlib import Path
from amuro.series import load_series_kind
from amuro.study.series_audits import AuditTarget, audit

time.sleep = lambda seconds: None
hub, said = load_series_kind("hub"), []
for model in json.loads(sys.argv[1]):
    checkpoints = hub.checkpoints("s", {"model": model})
    for checkpoint in checkpoints if "fetched" in model else ():
        hub.locate(checkpoint, Path())
    found = audit(AuditTarget("s", hub, {"model": model}, checkpoints, Path(sys.argv[2])))
    said.append(found.facts())
print(json.dumps(said))
"""


@pytest.fixture
def hub() -> Iterator[StubHub]:
    with serve() as stub:
        yield stub


def environment(hub: StubHub, home: Path) -> dict[str, str]:
    proxies = {key: "" for key in os.environ if key.lower().endswith("_proxy")}
    return {
        **os.environ, **proxies, "HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip


def on_hub(hub: StubHub, home: Path, *models: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", DRIVER, json.dumps(models), str(home)]
    done = subprocess.run(command, env=environment(hub, home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def repository(content: Mapping[int, Mapping[str, bytes]]) -> Repository:
    return Repository({f"step{step}": dict(files_of_step) for step, files_of_step in content.items()})


def test_defects_on_a_hub_are_found_without_their_weights(hub: StubHub, tmp_path: Path) -> None:
    """Proves for each defect of a series on a hub that its records and small files are enough to name it."""
    weights = pretrained()
    steps = ",".join(map(str, STEPS))
    repositories: dict[str, Content] = {}
    for name in ("clean", "shard", "duplicate", "config", "tokenizer", "vocabulary"):
        repositories[name] = clean(shards=2)
    repositories["shard"][1000][SHARDS[0]] = repositories["shard"][STEPS[-1]][SHARDS[0]]
    repositories["duplicate"][1000] = repositories["duplicate"][100]
    for name, changed in {
        "config": {"config": {**CONFIG, "rope_theta": 5e5}},
        "tokenizer": {"words": {**tokenizer(), "model": {"vocab": {f"w{i}": 37 - i for i in range(38)}}}},
        "vocabulary": {"words": tokenizer(40)},
    }.items():
        repositories[name][1000] = files(weights[1000], shards=2, **changed)  # type: ignore[arg-type]
    hub.repositories |= {f"o/{name}": repository(content) for name, content in repositories.items()}
    said = on_hub(hub, tmp_path, *(f"o/{name}@step[{steps}]" for name in repositories))
    faults = {
        name: [(f["name"], f["level"], f["checkpoint"].rpartition("@")[2]) for f in facts["faults"]]
        for name, facts in zip(repositories, said, strict=True)
    }
    assert faults == {
        "clean": [],
        "shard": [("copied shard", "refused", "1000")],
        "duplicate": [("equal weights", "refused", "1000")],
        "config": [("config drift", "doubtful", "1000")],
        "tokenizer": [("tokenizer drift", "doubtful", "1000")],
        "vocabulary": [("tokenizer drift", "doubtful", "1000"), ("vocabulary", "refused", "1000")],
    }
    details = " ".join(fault["detail"] for facts in said for fault in facts["faults"])
    assert "rope_theta 10000.0 → 500000.0" in details
    assert "38 tokens with other ids: 'w0'" in details
    assert not [path for _, path, _ in hub.requests if path.endswith(".safetensors")], "no weights were fetched"
    once, changed_twice = 6, 2
    assert len(hub.ranges("tokenizer.json")) == once + changed_twice, "equal tokenizers are fetched once a repository"


def test_what_a_hub_lacks_is_named(hub: StubHub, tmp_path: Path) -> None:
    """Proves what is said of a missing revision, a gated repository, a hole in what is listed, and lost steps."""
    content = {step: files(tensors) for step, tensors in pretrained([*range(1000, 8000, 1000), 150_000]).items()}
    hub.repositories |= {
        "o/holes": repository(content),
        "o/gated": Repository({"step1": files(pretrained()[1])}, gated=True),
        "o/pickled": Repository({"step1": {"pytorch_model.bin": b"\x80", "config.json": b"{}"}}),
        "EleutherAI/pythia-14m": repository(dict.fromkeys((1000, 2000), content[1000])),
    }
    models = ("o/holes@step[1000,1500]", "o/gated@step1", "o/pickled@step1", "EleutherAI/pythia-14m@step1000")
    holes_, gated, pickled, lost = (facts["faults"] for facts in on_hub(hub, tmp_path, *models))
    missing, gap = holes_
    assert (missing["name"], missing["level"]) == ("unreadable", "refused")
    assert missing["detail"] == "o/holes has no revision 'step1500'"
    assert missing["cure"].startswith("nearest: step1000, step2000")
    assert gap["detail"] == "what the hub lists has nothing between steps 7,000 and 150,000"
    assert gap["level"] == "note"
    assert [(f["name"], f["detail"]) for f in gated] == [
        ("unreadable", "o/gated is gated, and the hub did not let this account in")
    ]
    assert pickled[0]["detail"].startswith("o/pickled@step1 has no model.safetensors: only pytorch_model.bin")
    assert [(f["name"], f["level"], f["detail"]) for f in lost] == [
        ("missing steps", "note", "the hub lacks 152 of 154 documented steps: 0, 1, 2, 4, 8 …")
    ]


def test_cached_weights_are_looked_along(hub: StubHub, tmp_path: Path) -> None:
    """Proves that weights that the hub client's cache holds are read, whose token counts the study left out, and that
    equal weights in files of other bytes are found among them."""
    weights = pretrained()
    content = {f"step{step}-tokens1B": files(tensors) for step, tensors in weights.items()}
    content["step1000-tokens1B"] = files(stretched(weights[1000], 1.5))
    content["step10-tokens1B"] = files(weights[1], shards=2)
    hub.repositories["o/fetched"] = Repository(content)
    (facts,) = on_hub(hub, tmp_path, f"o/fetched@step[{','.join(map(str, STEPS))}]")
    faults = [(f["name"], f["checkpoint"].rpartition("@")[2]) for f in facts["faults"]]
    assert faults == [("norm outlier", "1000"), ("equal weights", "10")]
    assert [row["step"] for row in facts["weights"]] == list(STEPS)


# -- the verb


def amuro(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from amuro.cli.main import main; sys.argv = ['amuro', *{list(words)!r}]\n"
    code += "try: main()\nfinally: assert 'torch' not in sys.modules"
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_the_verb_ends_with_a_code_for_ci(tmp_path: Path) -> None:
    """Proves exit code 0 on a sound folder, 4 on a faulty one, and that both forms of output name the fault."""
    store = str(tmp_path / "store")
    content = clean()
    for step, files_of_step in content.items():
        write(tmp_path / "sound" / f"step{step}", files_of_step)
        write(tmp_path / "faulty" / f"step{step}", content[100] if step == 1000 else files_of_step)
    done = amuro("audit", "series", str(tmp_path / "sound"), "--store", store)
    assert (done.returncode, "nothing found" in done.stdout) == (0, True), done.stderr
    done = amuro("audit", "series", str(tmp_path / "faulty"), "--store", store, "--json")
    assert done.returncode == 4, done.stderr
    (told,) = json.loads(done.stdout)["series"]
    assert [fault["name"] for fault in told["faults"]] == ["equal weights"]
    assert told["checkpoints"][0]["parameters"] == 768
    audits = [m["series"] for m in Store(tmp_path / "store").manifests("audits")]
    assert sorted(audits) == ["faulty", "sound"]


def test_every_verb_of_a_study_names_known_bad_checkpoints(hub: StubHub, tmp_path: Path) -> None:
    """Proves that plan names a known-bad checkpoint without a network, that work refuses its model job, and that every
    series of a study is audited."""
    study = tmp_path / "bad.toml"
    study.write_text(
        'name = "bad"\n[series.big]\nkind = "pythia"\nsize = "12b"\nsteps = [50000]\n'
        '[[evaluate]]\nmodels = ["base"]\nsets = ["world_inference/test"]\n'
    )
    hub.repositories["EleutherAI/pythia-12b"] = Repository({"step50000": files(pretrained()[1])})
    env, store = environment(hub, tmp_path / "home"), str(tmp_path / "store")
    planned = amuro("plan", str(study), "--store", store, "--json", env=env)
    assert [fault["name"] for fault in json.loads(planned.stdout)["faults"]] == ["known bad"], planned.stderr
    assert not hub.requests
    (model,) = {cell["cell"].partition("|")[0] for cell in json.loads(planned.stdout)["cells"]}
    done = amuro("run-model", str(study), "--model", model, "--store", store, env=env)
    assert (done.returncode, "allow_known_bad = true" in done.stderr) == (4, True), done.stderr
    done = amuro("audit", "series", str(study), "--store", store, env=env)
    assert done.returncode == 4, done.stderr
    assert "refused  known bad: EleutherAI/pythia-12b@step50000" in done.stdout


def test_the_verb_says_how_to_use_it() -> None:
    """Proves that the help of `amuro audit series` has an example and its exit codes."""
    told = " ".join(amuro("audit", "series", "--help").stdout.split())
    assert "amuro audit series EleutherAI/pythia-410m" in told
    assert "4 something found" in told
