"""Each defect of the paper's protocol, where it is kept and where it is repaired (docs/protocol.md lists them by P)."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import toy_table
from real_rows import PAPER_ROWS, ROWS
from resampling import percentile_interval

from amuro.core import coordinates, hub
from amuro.core.errors import DataError, StudyError
from amuro.core.text import single_spaced
from amuro.core.types import Example, Recipe, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.results.stats.bootstrap import cluster_draws
from amuro.run import records, request_cache, requests, requests_paper, training_sets
from amuro.study import config as studies
from amuro.study import plan as planning
from amuro.tasks import load_task
from amuro.tasks.metrics import load_metric
from amuro.tasks.metrics.base import Context

ROOT = Path(__file__).parents[1]
IN_BYTES = Encoder.of_bytes()
TUNED = ("xsum", "socialiqa_question", "mnli", "paws")
RECIPE = Recipe("r", (("mnli", 1.0),), rows=1, epochs=1, learning_rates=(1e-3,))


def both(name: str) -> tuple[Task, list[Example], Task, list[Example]]:
    """Sound task with its examples, paper task with its examples."""
    sound, paper = load_task(name), load_task(name, "paper")
    return sound, [sound.example(row) for row in ROWS[name]], paper, [paper.example(row) for row in PAPER_ROWS[name]]


def ids_of(encoded: requests.EncodedEvalSet, row: int) -> tuple[int, ...]:
    """What is read for one row, shots included."""
    prefix = next(prefix for _, prefix, rows in encoded.groups if row in rows)
    return (*prefix, *encoded.requests[row].context)


def text_of(encoded: requests.EncodedEvalSet, row: int) -> str:
    """The same as text."""
    return IN_BYTES.decode(ids_of(encoded, row))


# -- the list itself


def test_the_page_lists_every_defect_once_with_a_test_that_exists() -> None:
    """P1 to P26 without P25, each marked; whatever is marked protocol or code names a test of this suite."""
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (P\d+) \| (protocol|code|n/a) \|.*\|([^|]*)\|$", page, flags=re.MULTILINE)
    assert [name for name, _, _ in rows] == [f"P{n}" for n in range(1, 27) if n != 25]
    for name, kind, named in rows:
        tests = re.findall(r"`(test_\w+)::(test_\w+)`", named)
        assert bool(tests) == (kind != "n/a"), name
        for file, function in tests:
            assert f"def {function}(" in (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8"), function


# -- what the protocols do differently


@pytest.mark.parametrize("name", ["qqp", "stsb"])
def test_p1_hidden_golds_are_kept_visible_or_refused(name: str, tmp_path: Path) -> None:
    """On the paper's split every gold is "no", and the task says so; the sound one refuses such rows and splits."""
    sound, _, paper, examples = both(name)
    assert {example.answer for example in examples} == {"no"}
    assert paper.hidden_gold
    assert not sound.hidden_gold
    assert paper.source.startswith("hub:SetFit/")
    assert (paper.splits["test"], sound.splits["test"]) == ("test", "validation")
    hidden = {**ROWS[name][0], "label": -1}
    with pytest.raises(DataError, match="name the validation split"):
        sound.example(hidden)
    pl.DataFrame([{**row, "label": 0} for row in ROWS[name]]).write_parquet(tmp_path / "validation.parquet")
    with pytest.raises(DataError, match=r"every one of the 3 answers .* is 'no'"):
        sources.examples(dataclasses.replace(sound, source=f"file:{tmp_path}"), "test")


def test_p2_rte_has_two_labels_or_three_of_which_one_is_never_right() -> None:
    """Sound: two labels, chance one half. Paper: a third candidate that no row has; who says it is wrong."""
    sound, found, paper, told = both("rte")
    assert sound.labels == ("entailment", "neutral")
    assert (sound.chance, paper.chance) == (1 / 2, pytest.approx(1 / 3))
    assert paper.labels == ("entailment", "neutral", "contradiction")
    assert [e.answer for e in found] == [e.answer for e in told] == ["neutral", "entailment", "neutral"]
    assert paper.example({**PAPER_ROWS["rte"][0], "label": -1}).answer == "entailment"


def test_p3_shots_are_scored_rows_or_rows_of_train() -> None:
    """Paper: the first two rows are everybody's shots and are scored all the same, their own gold in view. Sound: a
    seeded draw from train with balanced classes.
    """
    sound, pool, paper, examples = both("mnli")
    encoded = requests_paper.encode(paper, "default", examples, (), 2, IN_BYTES, 4096)
    assert len(encoded.requests) == len(examples)
    assert text_of(encoded, 0).count(render.prompt(paper, "default", examples[0]) + examples[0].answer) == 1
    assert all(text_of(encoded, row).startswith(text_of(encoded, 0)[:60]) for row in range(3))
    assert sound.shots_from == "train"
    drawn = render.draw_shots(sound, pool, 3, shot_seed=0)
    assert Counter(shot.answer for shot in drawn) == dict.fromkeys(sound.labels, 1)


def test_p4_prompts_outgrow_the_context_or_lose_shots() -> None:
    """Paper: nothing is cut, though the model cannot read it. Sound: shots are dropped until all fits, and counted."""
    sound, (*shots, asked), paper, examples = both("xsum")
    room = 220
    long = requests_paper.encode(paper, "default", examples, (), 2, IN_BYTES, room)
    assert all(len(text_of(long, row)) > room for row in range(3))
    assert not any(long.truncated)
    fitted = requests.encode(sound, "default", [asked], shots, IN_BYTES, room)
    assert fitted.k_effective() == [0]
    assert len(text_of(fitted, 0)) + sound.max_new_tokens <= room


def test_p4_multiple_choice_is_cut_to_the_context_in_both() -> None:
    """The paper's multiple-choice evaluation does cut: context and longest option never exceed the room."""
    _, _, paper, examples = both("boolq")
    encoded = requests_paper.encode(paper, "default", examples, examples, 2, IN_BYTES, 100)
    longest = max(len(option) for request in encoded.requests for option in request.options)
    assert all(len(text_of(encoded, row)) + longest <= 100 for row in range(3))
    assert any(encoded.truncated)


@pytest.mark.parametrize("name", TUNED)
def test_p5_the_space_before_an_answer_belongs_to_it_or_to_nobody(name: str) -> None:
    """Paper: learned with the answer, asked as a token of its own at the end of the prompt. Sound: both times with the
    answer, so that what is learned is what is asked, id for id.
    """
    sound, examples, paper, told = both(name)
    asked = requests_paper.encode(paper, "default", told[:1], (), 0, IN_BYTES, 4096)
    ((prompt, reply),) = training_sets.training_sequences([(paper, told[:1])], RECIPE, IN_BYTES)
    assert text_of(asked, 0) == IN_BYTES.decode(prompt) + " "
    assert IN_BYTES.decode(reply[:-1]) == " " + told[0].answer
    encoded = requests.encode(sound, "default", examples[:1], (), IN_BYTES, 4096)
    ((prompt, reply),) = training_sets.training_sequences([(sound, examples[:1])], RECIPE, IN_BYTES)
    assert prompt == ids_of(encoded, 0)
    assert reply == (*encoded.requests[0].options[encoded.requests[0].gold], IN_BYTES.eos)


def test_p5_the_line_feed_of_a_dialogue_is_not_learned() -> None:
    """In a dialogue the paper masks the assistant's tag with its line feed: the answer begins with its first letter."""
    _, _, paper, examples = both("tulu")
    first, reply, second, last = training_sets.training_sequences([(paper, examples[:1])], RECIPE, IN_BYTES)[0]
    assert IN_BYTES.decode(first).endswith("<|assistant|>\n")
    assert IN_BYTES.decode(reply[:-1]) == "A plum."
    assert IN_BYTES.decode(second) == "\n<|user|>\nAnd a tool?\n<|assistant|>\n"
    assert reply[-1] == last[-1] == IN_BYTES.eos


@pytest.mark.parametrize("length", [1, 18, 40, 50, 100, 120, 4096])
def test_the_paper_cuts_what_it_learns_on_the_right(length: int) -> None:
    """Of a dialogue that outgrows the recipe's length the first ids are learned; a row left without answer is not."""
    _, _, paper, examples = both("tulu")
    recipe = dataclasses.replace(RECIPE, max_length=length)
    whole = training_sets.training_sequences([(paper, examples[:1])], RECIPE, IN_BYTES)[0]
    flat = [token for part in whole for token in part]
    learned = training_sets.training_set([(paper, examples[:1])], recipe, IN_BYTES, 4096)
    ends = [sum(map(len, whole[:count])) for count in (1, 2, 3)]
    kept = 0 if length <= ends[0] else min(length, ends[1]) if length <= ends[2] else min(length, len(flat))
    assert [token for parts in learned.sequences for part in parts for token in part] == flat[:kept]
    assert all(parts and len(parts) % 2 == 0 for parts in learned.sequences)
    assert learned.truncated == (kept < len(flat))


def test_p6_labels_are_scored_by_their_likeliest_sub_token_or_whole() -> None:
    """Paper: each byte of " no" and "yes" is a candidate at the next position, and a label scores its best one. Sound:
    one candidate a label, whole.
    """
    sound, examples, paper, told = both("paws")
    encoded = requests_paper.encode(paper, "default", told, (), 0, IN_BYTES, 4096)
    candidates = [IN_BYTES.decode(option) for option in encoded.requests[0].options]
    assert candidates == list("no" + "yes" + " no" + " yes")
    assert encoded.owners == (0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1)
    scores = tuple(-float(place) for place in range(12, 0, -1))  # the last candidate, "s" of " yes", is likeliest
    frame = records.predictions(encoded, dict.fromkeys(range(3), scores), {})
    assert frame["log_probabilities"].to_list() == [[-5.0, -1.0]] * 3
    accuracy = load_metric("accuracy")
    assert accuracy.score(frame, Context(paper)) == pytest.approx(1 / 3)
    whole = requests.encode(sound, "default", examples, (), IN_BYTES, 4096)
    assert [IN_BYTES.decode(option) for option in whole.requests[0].options] == [" no", " yes"]
    assert whole.owners == ()


def test_p7_labels_follow_the_task_and_no_path(tmp_path: Path) -> None:
    """A folder whose name holds "nli" or "rte" asks what its task asks."""
    sound, examples, _, _ = both("paws")
    place = tmp_path / "sorted_nli"
    place.mkdir()
    pl.DataFrame(ROWS["paws"]).write_parquet(place / "test.parquet")
    found = sources.examples(dataclasses.replace(sound, source=f"file:{place}"), "test")
    assert render.options(sound, found[0]) == ("no", "yes")
    assert [example.answer for example in found] == [example.answer for example in examples]


def test_p8_a_label_is_itself_and_no_part_of_another() -> None:
    """ "not known" holds the letters of "no" and is not taken for it."""
    task = dataclasses.replace(load_task("paws"), labels=("not known", "no"))
    frame = pl.DataFrame(
        {"gold": ["no", "no"], "options": [["not known", "no"]] * 2, "log_probabilities": [[-1.0, -2.0], [-2.0, -1.0]]}
    )
    assert load_metric("accuracy").rows(frame, Context(task)).to_list() == [0.0, 1.0]
    said = pl.DataFrame({"output": ["I do not know: yes", "yes"], "gold": ["no", "yes"]})
    assert load_metric("exact_match").rows(said, Context(task)).to_list() == [0.0, 1.0]


def test_p10_the_bare_format_parts_its_fields_or_runs_them_together() -> None:
    """Paper: context, answers and question are one string. Sound: a line each, and the answer after "Output:"."""
    sound, examples, paper, told = both("socialiqa_question")
    assert "home.annoyedhelpfulout of breath" in render.prompt(paper, "input_output", told[0])
    assert render.prompt(sound, "input_output", examples[0]).endswith("home.\nhelpful\nOutput:")


def test_p11_spaces_drift_or_are_single() -> None:
    """Paper: "Answer C" and "Generate" hang on the word before them. Sound: no line of any prompt has a double, missing
    or outer space of its own; what a row holds is asked as it is, unless its task says otherwise.
    """
    _, _, paper, told = both("socialiqa_question")
    assert "helpfulAnswer C: out of breathGenerate a" in render.prompt(paper, "instruct", told[0])
    for name in ROWS:
        sound, examples, _, _ = both(name)
        for form in ("default", "instruct", "input_output"):
            for example in examples:
                told = {key: text if key == "messages" else single_spaced(text) for key, text in example.inputs.items()}
                lines = render.prompt(sound, form, dataclasses.replace(example, inputs=told)).split("\n")
                assert all(line == " ".join(line.split()) for line in lines), (name, form)


@pytest.mark.parametrize("name", ["socialiqa_question", "sciq_question"])
def test_p12_all_answers_are_shown_or_the_right_one(name: str) -> None:
    """Paper: every candidate and no word about which is right. Sound: the right one alone, which the question fits."""
    sound, examples, paper, told = both(name)
    row = ROWS[name][0]
    wrong = [row[key] for key in ("answerA", "answerC", "distractor1", "distractor2") if key in row]
    for form in paper.templates:
        assert all(text in render.prompt(paper, form, told[0]) for text in wrong)
    for form in ("default", "instruct", "input_output"):
        body = render.prompt(sound, form, examples[0]).removeprefix(examples[0].inputs["context"])
        shown = body.replace(examples[0].inputs["context"], "")
        assert not any(text in shown for text in wrong)


def test_p13_text_ends_at_a_mark_or_after_sixty_tokens() -> None:
    """Paper: only end-of-text stops. Sound: a line feed does (in a dialogue, the user's tag), and no right answer
    holds one.
    """
    for name in ROWS:
        sound, examples, paper, _ = both(name)
        if sound.kind == "generation":
            assert (paper.stop, paper.max_new_tokens) == ((), 60)
            assert sound.stop
            assert not any(mark in example.answer for example in examples for mark in sound.stop)


def test_p14_a_score_is_the_mean_and_its_interval_has_a_seed() -> None:
    """Not the middle of an unseeded interval: the mean of the rows, and equal seeds give equal intervals."""
    values, clusters = np.array([[0.0, 0.0, 0.0, 1.0]]), np.arange(4)
    intervals = [
        percentile_interval(cluster_draws(values, clusters, np.random.default_rng(seed))[:, 0]) for seed in (1, 1)
    ]
    assert intervals[0] == intervals[1]
    frame = pl.DataFrame({"gold": list("aaab"), "options": [["b", "a"]] * 4, "log_probabilities": [[-1.0, -2.0]] * 4})
    assert load_metric("accuracy").score(frame, Context(load_task("paws"))) == values.mean() == 0.25
    assert sum(intervals[0]) / 2 != values.mean()


def test_p15_tests_are_not_training_rows_and_rates_are_chosen_on_dev() -> None:
    """Paper: TweetQA, RTE and GPT-3 NLI are asked on their training split, and nothing is held out. Sound: a labelled
    split of its own where the hub has one, and a dev part that neither train nor test shares.
    """
    assert {name for name in ROWS if load_task(name, "paper").splits.get("test") == "train"} == {
        "tweetqa_question",
        "rte",
        "gpt3nli",
    }
    assert not any("dev" in load_task(name, "paper").splits for name in ROWS)
    one_split = {"gpt3nli", "tulu"}
    for name in set(ROWS) - one_split:
        splits = load_task(name).splits
        assert "dev" in splits
        tests = {source for split, source in splits.items() if split.startswith("test")}
        assert not any(source.startswith("train") for source in tests)


def test_p16_no_shot_is_the_rule_and_shots_are_parted_by_a_blank_line() -> None:
    """Paper: four shots a line apart, which no tuned model ever saw. Sound: a study asks without shots unless it says
    otherwise, and shots stand a blank line apart.
    """
    study = studies.parse(toy_table(evaluate=[{"models": ["base"], "sets": ["mnli/test_matched"]}]))
    assert study.evaluate[0].shots == (0,)
    assert {load_task(name, "paper").separator for name in TUNED} == {"\n"}
    assert {load_task(name).separator for name in ROWS} == {"\n\n"}


def test_the_paper_tunes_on_the_rows_that_its_library_drew() -> None:
    """6,000 rows by seed 42 mean the same rows as `shuffle(seed=42).select(range(6000))` of the `datasets` library."""
    datasets = pytest.importorskip("datasets")
    pool = [Example(str(i), "c", {}, "a") for i in range(9000)]
    recipe = dataclasses.replace(RECIPE, protocol="paper", row_seed=42)
    theirs = datasets.Dataset.from_dict({"id": [example.id for example in pool]}).shuffle(seed=42).select(range(6000))
    assert {example.id for example in request_cache.training_rows(pool, 6000, recipe)} == set(theirs["id"])
    sound = {
        example.id
        for example in request_cache.training_rows(pool, 6000, dataclasses.replace(recipe, protocol="corrected"))
    }
    assert len(sound) == 6000
    assert sound != set(theirs["id"])


# -- what code may not repeat


def test_p21_one_name_means_one_task_and_metric() -> None:
    """SciQ is two tasks by name, and a cell's coordinates tell them apart, with format, shots and protocol."""
    sets = ["sciq_question/test", "sciq_choice/test"]
    plan = planning.make(studies.parse(toy_table(tune=[], evaluate=[{"models": ["base"], "sets": sets}])))
    told = {(c["task"], c["decoding"]) for c in map(coordinates.of_cell, plan.cells) if c["split"] == "test"}
    assert told == {("sciq_question", "greedy"), ("sciq_choice", "likelihood")}
    assert {load_task(name).metric for name in ("sciq_question", "sciq_choice")} == {"rouge_l", "accuracy"}


def test_p22_a_set_named_twice_is_counted_once() -> None:
    """The paper's notebook lists SciQ twice in a mean; here the same square is one cell in however many blocks it is
    named, and a block that names it twice is refused.
    """
    once = {"models": ["base"], "sets": ["sciq_choice/test"]}
    twice = planning.make(studies.parse(toy_table(tune=[], evaluate=[once, once])))
    assert twice.cells == planning.make(studies.parse(toy_table(tune=[], evaluate=[once]))).cells
    with pytest.raises(StudyError, match="twice"):
        studies.parse(toy_table(tune=[], evaluate=[{**once, "sets": once["sets"] * 2}]))


def test_p24_optimiser_states_are_never_fetched() -> None:
    """What is downloaded of a checkpoint is weights, configuration and tokenizer."""
    for name in ("optim.pt", "train.pt", "model.pt", "optimizer.bin", "pytorch_model.bin", "scheduler.pt"):
        assert not any(fnmatch(name, pattern) for pattern in hub.FILES)
    assert any(fnmatch("model-00001-of-00002.safetensors", pattern) for pattern in hub.FILES)


def test_p26_no_set_needs_a_script_and_all_but_one_are_pinned() -> None:
    """Every source has its namespace, and a commit that a public source states, or the hub's own Parquet export, whose
    commit the lock file remembers. Of SetFit/qqp no full hash was found.
    """
    unpinned = set()
    for name in ROWS:
        for protocol in ("corrected", "paper"):
            task = load_task(name, protocol)
            assert hub.parts(task.source.removeprefix("hub:"))[0].count("/") == 1
            if not re.fullmatch(r"[0-9a-f]{40}", task.revision or ""):
                unpinned.add((task.source, task.revision))
    assert unpinned == {
        ("hub:EdinburghNLP/xsum/default", "refs/convert/parquet"),
        ("hub:csebuetnlp/xlsum/english", "refs/convert/parquet"),
        ("hub:ucsbnlp/tweet_qa/default", "refs/convert/parquet"),
        ("hub:SetFit/qqp", None),
    }
