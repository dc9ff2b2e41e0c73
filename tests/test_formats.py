"""The words of every prompt, and that the three formats say the same with them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_rows import PAPER_ROWS, ROWS, Rows

from amuro.core.errors import DataError
from amuro.core.types import Example, Task
from amuro.prompts import render
from amuro.prompts.formats import load_format
from amuro.run import requests_paper
from amuro.tasks import load_task

GOLDEN = Path(__file__).parent / "golden"
FORMATS = ("default", "instruct", "input_output")
WORLDLY = Task(
    name="inference",
    source="world:inference",
    family="inference",
    kind="classification",
    metric="accuracy",
    example=lambda row: Example("", "", {}, ""),
    fields=(("premise", "premise"), ("hypothesis", "hypothesis")),
    answer_prefix="relation :",
    instruction="does the first sentence say the second ?",
    cluster="person",
    splits={},
    labels=("true", "false"),
    field_separator=" ",
)
ASKED = Example("1", "c", {"premise": "bogid likes tapine .", "hypothesis": "bogid likes meat ."}, "false")


def written(task: Task, format_name: str, rows: Rows) -> str:
    """A 2-shot prompt of the first rows with the last one's answer; of a dialogue, all that is learned of it."""
    examples = [task.example(row) for row in rows]
    if task.name == "tulu":
        gap = "" if task.encoding == "whole_text" else " "
        turns = render.turns(task, format_name, examples[0])
        return "".join(f"{prompt}{gap}{answer}<eos>" for prompt, answer in turns) + "\n"
    *shots, asked = examples
    prompt, answer = render.prompt(task, format_name, asked), render.answer(task, asked.answer)
    if task.shots_from == "train":
        pairs = render.shots_text(task, format_name, shots)
        return "".join(f"{text} {reply}" for text, reply in pairs) + f"{task.separator}{prompt} {answer}\n"
    gap = "" if task.encoding == "whole_text" else " "
    return f"{requests_paper.shots_text(task, format_name, shots)}{prompt}{gap}{answer}\n"


@pytest.mark.parametrize("name", sorted(ROWS))
@pytest.mark.parametrize("format_name", FORMATS)
def test_prompt_is_the_golden_one(name: str, format_name: str) -> None:
    """A changed word in any prompt of a real task shows as a changed file (AMURO_GOLDEN=write makes them anew)."""
    text = written(load_task(name), format_name, ROWS[name])
    path = GOLDEN / "corrected" / f"{name}.{format_name}.txt"
    if os.environ.get("AMURO_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("path", sorted((GOLDEN / "paper").iterdir()), ids=lambda path: path.stem)
def test_paper_prompt_is_the_one_typed_by_hand(path: Path) -> None:
    """The paper's wording comes out to the character, its drifted spaces included. These files are never written by
    a renderer: they were typed from a description of the paper's formatters.
    """
    name, format_name = path.stem.split(".")
    text = written(load_task(name, "paper"), format_name, PAPER_ROWS[name])
    assert text == path.read_text(encoding="utf-8")


def test_every_wording_of_the_paper_has_its_golden_file() -> None:
    """No wording of the paper goes unreviewed, and a format that it did not have is refused rather than invented."""
    typed = {path.stem for path in (GOLDEN / "paper").iterdir()}
    asked = {f"{name}.{form}" for name in PAPER_ROWS for form in load_task(name, "paper").templates}
    assert typed == asked
    for name in PAPER_ROWS:
        task = load_task(name, "paper")
        for form in set(FORMATS) - set(task.templates):
            with pytest.raises(DataError, match=f"the paper has no {form} template of {name}"):
                render.prompt(task, form, task.example(PAPER_ROWS[name][0]))


def test_formats_fit_a_lower_case_task_on_one_line() -> None:
    """The formats' own words follow a lower-case task, so that an embedded model meets no capital it never saw."""
    said = [load_format(name).render(WORLDLY, ASKED) for name in FORMATS]
    assert said == [
        "premise: bogid likes tapine . hypothesis: bogid likes meat . relation :",
        "does the first sentence say the second ? premise: bogid likes tapine . hypothesis: bogid likes meat . "
        "the answer is",
        "input: bogid likes tapine . bogid likes meat . output:",
    ]


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_task_may_word_a_format_itself(format_name: str) -> None:
    """A template of the task replaces the format's layout, whichever format it is."""
    task = replace(WORLDLY, templates={format_name: "{hypothesis} | {premise} ? "})
    assert render.prompt(task, format_name, ASKED) == "bogid likes meat . | bogid likes tapine . ?"


def test_a_template_that_names_no_input_is_refused() -> None:
    """A misspelt place stops with the names that exist instead of standing in the prompt."""
    task = replace(WORLDLY, templates={"default": "{premis}"})
    with pytest.raises(DataError, match=r"premis.*premise, hypothesis"):
        render.prompt(task, "default", ASKED)


@given(st.text("ab{}\\/%$ ").map(lambda text: "x" + text.strip() + "x"))
def test_data_are_never_read_as_a_template(text: str) -> None:
    """Braces, backslashes and percent signs of the data arrive in the prompt unchanged, place names included."""
    example = replace(ASKED, inputs={"premise": text + "{hypothesis}", "hypothesis": "h"})
    task = replace(WORLDLY, templates={"default": "{premise} so {hypothesis}"})
    assert render.prompt(task, "default", example) == f"{text}{{hypothesis}} so h"


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("name", sorted(ROWS))
def test_no_prompt_ends_in_a_space_or_hides_a_field(name: str, format_name: str) -> None:
    """All formats show every field, and none ends in a space (it would part the answer's first token in two)."""
    task = load_task(name)
    example = task.example(ROWS[name][0])
    prompt = render.prompt(task, format_name, example)
    assert prompt == prompt.rstrip()
    assert all(example.inputs[key] in prompt for key, _ in task.fields)


def test_an_empty_field_leaves_no_label_and_no_double_space() -> None:
    """SciQ has rows without a supporting text; their prompts are words, not gaps."""
    task = load_task("sciq_question")
    example = task.example({**ROWS["sciq_question"][0], "support": ""})
    assert render.prompt(task, "default", example) == "Answer: glass\nQuestion:"
    assert render.prompt(task, "instruct", example).startswith("Given the context:\nAnd the answer: glass")
    assert render.prompt(task, "input_output", example) == "Input: glass\nOutput:"
