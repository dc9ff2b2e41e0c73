"""Names of revisions: what is read from them, and how a study chooses among them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amuro.core.errors import HubError, StudyError
from amuro.core.revisions import Revision, label, log_spaced, match, parse_revision, parse_revision_spec, select


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
    bracketed = parse_revision_spec(f"org/name@step{steps}-seed-default")
    assert bracketed == parse_revision_spec("org/name@" + ",".join(f"step{step}-seed-default" for step in steps))
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
    assert parse_revision_spec(spec).named == named


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("pythia-160m@step1000", "names no model on the hub"),
        ("org/name/more@step1", "names no model on the hub"),
        ("../name@step1", "names no model on the hub"),
        ("org/na--me@step1", "names no model on the hub"),
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
        parse_revision_spec(spec)
    assert fault in str(caught.value)
    assert caught.value.cure


@given(st.text(max_size=40))
def test_any_text_is_a_spec_or_our_error(text: str) -> None:
    """Proves that no text whatever breaks the reader of specs."""
    try:
        assert parse_revision_spec(f"org/name@{text}").repository == "org/name"
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
        select(parse_revision_spec("o/n@log8").listed[0], names, "o/n")
    assert [r.step for r in select(parse_revision_spec("o/n@stage1-all").listed[0], names, "o/n")] == [1, 9]
    seeds = ["step1-seed-a", "step1-seed-b", "step2-seed-b"]
    assert [r.name for r in select(parse_revision_spec("o/n@log8-seed-b").listed[0], seeds, "o/n")] == seeds[1:]
    with pytest.raises(StudyError, match="no revisions of 'c'"):
        select(parse_revision_spec("o/n@log8-seed-c").listed[0], seeds, "o/n")


def test_a_missing_revision_is_answered_with_its_neighbours() -> None:
    """Proves that the nearest steps are offered, not the nearest spellings."""
    with pytest.raises(HubError, match="o/n has no revision 'step1100'; nearest: step1000, step2000, step11000"):
        match("step1100", ["step1000", "step2000", "step11000", "step110000"], "o/n")
    with pytest.raises(
        StudyError, match="'step1' fits several revisions of o/n; write one of: step1-tokens1B, step1-tok"
    ):
        match("step1", ["step1-tokens1B", "step1-tokens2B"], "o/n")
