"""Tables of others: names that parse to one meaning or to an error, and nothing ambiguous settled in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amuro.core import registry
from amuro.core.errors import DataError
from amuro.paper.changes import comparable
from amuro.results.importers import _paper_ids as ids
from amuro.results.importers import _paper_sets as facts
from amuro.results.importers import paper
from amuro.results.scoring import no_scores
from amuro.tasks import load_task

STEP = st.sampled_from(ids.STEPS)
SHOTS = st.sampled_from([2, 4, 7])


@st.composite
def tuned_id(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    """A well-formed id of a tuned model with what it says."""
    step, name = draw(st.none() | STEP), draw(st.sampled_from(ids.SETS))
    epochs, rate, shots = (
        draw(st.sampled_from([3, 5])),
        draw(st.sampled_from(["2e-5", "2e-6", "2e-7"])),
        draw(st.none() | SHOTS),
    )
    text = f"olmo1b_hf_{f'ckpt{step}' if step else 'main'}_{name}_{epochs}epoch_{rate}"
    said = {
        "checkpoint": step or "main",
        "tuned_on": name,
        "epochs": epochs,
        "learning_rate": float(rate),
        "shots": shots,
    }
    return text + (f"_{shots}shots" if shots else ""), said


@settings(deadline=None, max_examples=50)
@given(tuned_id())
def test_a_tuned_id_reads_as_it_was_written(case: tuple[str, dict[str, object]]) -> None:
    """Checkpoint, training set, epochs, rate and shots come back from every well-formed id."""
    text, said = case
    found = ids.parse_model(text)
    assert found.alternative == "tuned"
    assert {key: getattr(found, key) for key in said} == said


@settings(deadline=None, max_examples=50)
@given(STEP, SHOTS)
def test_base_ids_tell_their_conversion(step: str, shots: int) -> None:
    """The three spellings of one base checkpoint are told apart by how its weights were converted."""
    assert ids.parse_model(f"olmo1b_checkpoint-{step}_original_hf_{shots}shots").conversion == "hf"
    assert ids.parse_model(f"olmo1b_checkpoint-{step}_original").conversion == "old"
    plain = ids.parse_model(f"checkpoint-{step}_{shots}shots")
    assert (plain.conversion, plain.shots, plain.checkpoint) == ("unstated", shots, step)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(ids.examples()), st.text(min_size=1, max_size=4))
def test_nothing_may_stand_before_or_after_an_id(good: str, more: str) -> None:
    """The grammar is anchored: whatever is added to an id makes another id or an error, never the same meaning."""
    for text in (good + more, more + good):
        assert _meaning(text) != ids.parse_model(good)


def _meaning(text: str) -> ids.PaperModel | None:
    try:
        return ids.parse_model(text)
    except DataError:
        return None


def test_every_example_fits_exactly_one_alternative() -> None:
    """Alternatives are disjoint, so no id has two readings."""
    patterns = [pattern for several in ids.ALTERNATIVES.values() for pattern in several]
    for text in ids.examples():
        assert sum(re.fullmatch(pattern, text) is not None for pattern in patterns) == 1, text


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([(t, n) for t in facts.TABLES for n in facts.sets(t)]), st.sampled_from(sorted(ids.FORMATS)))
def test_set_names_read_by_the_longest_known_name(named: tuple[str, str], suffix: str) -> None:
    """A name and a format come back whatever underscores the name holds."""
    table, name = named
    assert ids.parse_set(name + suffix, facts.sets(table)) == (name, ids.FORMATS[suffix])


def test_an_unknown_name_is_an_error_with_the_nearest_cure(tmp_path: Path) -> None:
    """The message has the id and its line, the cure the likeliest id."""
    path = _csv(tmp_path, "olmo1b_hf_ckpt18001_mnli_3epoch_2e-6_4shots,mnli_matched,0.5,0.01")
    with pytest.raises(DataError, match="line 2: model id 'olmo1b_hf_ckpt18001_mnli") as error:
        paper.read([path])
    assert "olmo1b_hf_ckpt18000_mnli_3epoch_2e-6_4shots" in error.value.cure
    path = _csv(tmp_path, "olmo1b_original_hf_4shots,mnli_machted,0.5,0.01")
    with pytest.raises(DataError, match="'mnli_machted'") as error:
        paper.read([path])
    assert "mnli_matched" in error.value.cure


@pytest.mark.parametrize("value", ["1.2", "-0.1", "", "nan", "high", "inf"])
def test_a_score_outside_its_scale_is_an_error(tmp_path: Path, value: str) -> None:
    """A fraction beyond 0 to 1, or no number at all, never becomes a score."""
    with pytest.raises(DataError, match="Performance"):
        paper.read([_csv(tmp_path, f"olmo1b_original_hf_4shots,paws,{value},0.01")])


def test_files_that_are_none_of_the_three_are_refused(tmp_path: Path) -> None:
    """A missing column is named; sets of two tables in one file are not guessed apart."""
    (tmp_path / "a.csv").write_text("model,eval dataset,Performance\nx,y,0.5\n")
    with pytest.raises(DataError, match="'model_id'"):
        paper.read([tmp_path / "a.csv"])
    mixed = _csv(tmp_path, "checkpoint-1000,boolq,0.5", "checkpoint-1000,gsm,0.5", std=False)
    with pytest.raises(DataError, match="two tables"):
        paper.read([mixed])
    with pytest.raises(DataError, match="cannot be read"):
        paper.read([tmp_path / "absent.csv"])


def test_the_three_tables_become_one_frame(tmp_path: Path) -> None:
    """sciq has its two meanings, percents become fractions, unstated shots stay unknown, and all of it is remarked."""
    sft = _csv(tmp_path, "olmo1b_original_hf_4shots,sciq,0.16,0.003", name="one.csv")
    choice = _csv(tmp_path, "olmo1b_original_hf,sciq,0.93", "checkpoint-1000,sciq,0.5", std=False, name="two.csv")
    instruct = _csv(tmp_path, "olmo1b_tulu_5epoch_2e-6,alpaca,12.5", std=False, name="three.csv")
    found = paper.read([sft, choice, instruct])
    rows = {row["task"]: row for row in found.scores.iter_rows(named=True)}
    assert (rows["sciq_question"]["metric"], rows["sciq_choice"]["metric"]) == ("rouge_l", "accuracy")
    assert rows["alpaca_farm"]["value"] == 0.125
    assert (rows["sciq_question"]["shots"], rows["sciq_choice"]["shots"]) == (4, None)
    assert rows["sciq_choice"]["se"] == pytest.approx((0.5 * 0.5 / 1000) ** 0.5)
    assert rows["alpaca_farm"]["se"] is None
    kinds = {remark.kind for remark in found.remarks}
    assert {"a name with two meanings", "number of shots not stated", "percent scale", "no standard errors"} <= kinds


def test_imported_scores_have_every_column_of_a_run(tmp_path: Path) -> None:
    """Names and types are those of a run's scores, so the same readers take both."""
    found = paper.read([_csv(tmp_path, "olmo1b_hf_main_paws_3epoch_2e-6_4shots,paws_instruct,0.5,0.01")])
    wanted = no_scores().schema
    assert {name: found.scores.schema[name] for name in wanted} == dict(wanted)
    row = found.scores.row(0, named=True)
    assert (row["protocol"], row["role"], row["format"], row["n"]) == ("paper", "in_domain", "instruct", 8000)


def test_duplicates_are_shown_and_not_used(tmp_path: Path) -> None:
    """One name with two values is remarked, and both rows are kept out of every comparison."""
    row = "olmo1b_original_hf_4shots,paws"
    found = paper.read([_csv(tmp_path, f"{row},0.5,0.01", f"{row},0.6,0.01")])
    assert found.scores["evidence"].to_list() == ["mixed", "mixed"]
    assert any(remark.kind == "the same row more than once" for remark in found.remarks)


def test_two_ids_with_equal_scores_are_shown(tmp_path: Path) -> None:
    """Scores that agree to the last digit on several sets say that one model may have been asked under two names."""
    rows = [f"{model},{name},{value}" for name, value in (("gsm", 0.031), ("toxigen", 0.628), ("mmlu", 0.267))
            for model in ("olmo1b_ckpt342000_tulu_5epoch_2e-6", "olmo1b_ckpt424000_tulu_5epoch_2e-6")]  # fmt: skip
    found = paper.read([_csv(tmp_path, *rows, std=False)])
    equal = [r for r in found.remarks if r.kind == "two ids with equal scores"]
    assert len(equal) == 1
    assert "3 of the 3" in equal[0].detail


def test_the_carried_table_is_whole() -> None:
    """649 rows, 76 ids, 35 evaluation names, one row twice under two names, and the known holes."""
    found = paper.carried()
    assert (found.scores.height, found.scores["source_id"].n_unique(), found.scores["source_set"].n_unique()) == (
        649,
        76,
        35,
    )
    assert found.scores["cell"].n_unique() == 649
    assert found.scores.null_count()["value"].item() == 0
    kinds = [remark.kind for remark in found.remarks]
    assert kinds.count("one model under two ids") == 1
    holes = {r.where: r.detail for r in found.remarks if r.kind == "missing rows"}
    assert holes["tuned on mnli, paws, default, 4 shots"] == "no score at 342000"
    assert (
        holes["tuned on socialiqa_question, tweetqa_question, instruct, 4 shots"] == "no score at 342000, 424000, main"
    )
    assert "rows do not fit" not in kinds


def test_the_importer_is_one_of_its_kind() -> None:
    """The catalog finds it by its file's name; helpers beside it are no plugins."""
    assert registry.names("importers") == ("paper",)
    assert registry.plugin("importers", "paper").name == "paper"


def _csv(folder: Path, *rows: str, std: bool = True, name: str = "table.csv") -> Path:
    path = folder / name
    head = ",model_id,eval dataset,Performance" + (",std" if std else "")
    path.write_text("\n".join([head, *(f"{k},{row}" for k, row in enumerate(rows))]) + "\n")
    return path


def test_facts_of_sets_agree_with_the_tasks() -> None:
    """Kind, metric, family and typical lengths are those that the task of the same name states."""
    known = {"mnli_matched": "mnli", "mnli_mismatched": "mnli", "rte_choice": "rte", "qqp_choice": "qqp"}
    compared = 0
    for found in (fact for table in facts.TABLES for fact in facts.sets(table).values()):
        name = known.get(found.task, found.task)
        if name in registry.names("tasks"):
            task = load_task(name)
            assert (found.kind, found.metric, found.family) == (task.kind, task.metric, task.family)
            assert task.size is not None
            assert (found.prompt_tokens, found.answer_tokens) == (task.size.prompt_tokens, task.size.answer_tokens)
            compared += 1
    assert compared == 21


def test_an_empty_table_is_an_error(tmp_path: Path) -> None:
    """A header alone holds nothing to compare."""
    with pytest.raises(DataError, match="no row"):
        paper.read([_csv(tmp_path)])


def test_tidy_rows_survive_a_round_trip(tmp_path: Path) -> None:
    """What the script writes is what the importer reads: the tidy table is lossless but for the sixth decimal."""
    rows = paper.tidy_rows(_csv(tmp_path, "olmo1b_original_hf_4shots,cnn,0.0627901,0.0004"))
    (tmp_path / "tidy.csv").write_text(rows.write_csv())
    assert pl.read_csv(tmp_path / "tidy.csv", schema=rows.schema).equals(rows)


NAMES = ("source_id", "cell", "value", "se")
"""Columns that are no coordinate."""


@settings(deadline=None, max_examples=30)
@given(tuned_id(), st.none() | tuned_id(), st.booleans(), st.booleans())
def test_ids_that_differ_have_other_coordinates(one: Any, other: Any, chat: bool, also: bool) -> None:
    """Whatever part of an id differs, its suffix `_cot_chat` among them, the two are no replicates of each other."""
    texts = [text + "_cot_chat" * asked for (text, _), asked in ((one, chat), (other or one, also))]
    rows = [paper._tidy({"model_id": t, "eval dataset": "gsm", "Performance": "0.5"}, "instruct") for t in texts]
    scores = paper.imported(pl.DataFrame(rows, schema=paper._SCHEMA)).scores.drop(NAMES)
    assert (texts[0] == texts[1]) == scores.is_duplicated().all()


def test_a_dialogue_is_another_format(tmp_path: Path) -> None:
    """A score that was asked as a dialogue is neither subtracted from a plain one nor remarked as its second name."""
    rows = ["checkpoint-1000,gsm,0.1", "checkpoint-1000_cot_chat,gsm,0.2", "checkpoint-18000_cot_chat,gsm,0.3"]
    found = paper.read([_csv(tmp_path, *rows, std=False)])
    assert found.scores["format"].to_list() == ["default", "cot_chat", "cot_chat"]
    assert not any(remark.kind == "one model under two ids" for remark in found.remarks)
    assert comparable(found.scores).height == 3


@pytest.mark.parametrize(
    ("std", "names"),
    [
        (False, "olmo1b_ckpt{}_tulu_5epoch_2e-6,gsm"),
        (False, "checkpoint-{},boolq"),
        (True, "olmo1b_checkpoint-{}_original_hf_4shots,paws"),
    ],
)
def test_holes_of_every_table_are_listed(tmp_path: Path, std: bool, names: str) -> None:
    """A score that two checkpoints have and a third lacks is remarked, whichever table, conversion and shots it has."""
    other = {"gsm": "mmlu", "boolq": "arc_easy", "paws": "mnli_matched"}
    name = names.rpartition(",")[2]
    kept = [names.format(step) for step in (1000, 18000)] + [names.format(342000).replace(name, other[name])]
    more = [names.format(step).replace(name, other[name]) for step in (1000, 18000)]
    found = paper.read([_csv(tmp_path, *(f"{row},0.5{',0.01' * std}" for row in kept + more), std=std)])
    holes = [remark for remark in found.remarks if remark.kind == "missing rows"]
    assert [remark.detail for remark in holes] == ["no score at 342000"]


def test_other_epochs_are_not_compared(tmp_path: Path) -> None:
    """Of two numbers of epochs of one training set the one that most rows have is compared."""
    rows = [f"olmo1b_hf_ckpt{step}_mnli_3epoch_2e-6_4shots,mnli_matched,0.5,0.01" for step in (1000, 18000)]
    found = paper.read([_csv(tmp_path, "olmo1b_hf_ckpt1000_mnli_5epoch_2e-6_4shots,mnli_matched,0.9,0.01", *rows)])
    assert sorted(comparable(found.scores)["value"]) == [0.5, 0.5]
