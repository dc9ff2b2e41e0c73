"""The report: what stands on the page, that hostile text stays text, and that holes stay holes."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections import Counter
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixture import HOSTILE, make_book, poisoned, prompt_of

from amuro.core.errors import StoreError
from amuro.core.types import Finding
from amuro.report.examples import choose_examples, count_changes, pairs
from amuro.report.formatting import sentence
from amuro.report.html.csp import embedded_json
from amuro.report.html.data_table import points_table
from amuro.report.html.examples_json import names_of, pack
from amuro.report.html.provenance import flags_by_name
from amuro.report.model import ReportData
from amuro.report.plots.chart import Chart, Line, Point, Reference, merge_references
from amuro.report.plots.specs import COLOURS, draw, finding_chart, line_looks, short_names, task_chart
from amuro.report.plots.svg import log_places, nice_ticks, spread, text
from amuro.report.plots.svg_markers import mark
from amuro.report.score_tables import overview
from amuro.report.tables import NOT_RUN, checkpoint_names, pool
from amuro.report.transfer_matrix import forgetting_tables
from amuro.report.write import write_report


class Page(HTMLParser):
    """Tags, attributes, and the text of scripts and styles of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in self.inside:
            self.inside[self._open].append(data)
        else:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def book() -> ReportData:
    return make_book()


@pytest.fixture(scope="module")
def folder(book: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_report(book, out)
    return out


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile_folder(book: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hostile")
    write_report(poisoned(book), out)
    return out


def test_sections_come_in_the_order_in_which_a_reader_asks(html: str) -> None:
    """The page leads from the question over findings and scores down to single examples and costs."""
    ids = [attributes.get("id") for tag, attributes in Page(html).tags if tag == "section"]
    order = ["study", "findings", "flags", "scores", "forgetting", "examples", "reading", "record"]
    assert [name for name in ids if name in order] == order


def test_a_page_with_a_hole_says_so_before_anything_else(html: str) -> None:
    """How many of the planned cells it stands on, and why not on all, is in the head of the page."""
    head = " ".join(html[: html.index("<main>")].split())
    assert re.search(r"This report stands on [\d,]+ of [\d,]+ planned cells: \d+ not run\.", head)


def test_every_finding_stands_on_the_page_without_script(book: ReportData, html: str) -> None:
    """Statement, verdict, interval and limits of each finding are in the page's own text."""
    words = Page(html).text
    for finding in book.findings:
        assert finding.statement in words
        assert finding.note in words
    assert f"between {book.findings[0].low:.2f} and {book.findings[0].high:.2f}".replace("-", "−") in words
    assert book.study["question"] in words


def test_ids_are_unique(html: str) -> None:
    """No two elements share an id, so that every link and title meets its own element."""
    ids = [attributes["id"] for _, attributes in Page(html).tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 50


def test_links_lead_to_elements_of_the_page(html: str) -> None:
    """Every link goes to an id that exists here, and none leaves the page."""
    tags = Page(html).tags
    ids = {f"#{attributes['id']}" for _, attributes in tags if "id" in attributes}
    assert {attributes["href"] for tag, attributes in tags if tag == "a"} <= ids


def test_policy_allows_exactly_the_script_and_style_of_the_page(html: str) -> None:
    """The hashes of the policy are those of the one script and the one style; nothing else may load or run."""
    page = Page(html)
    content = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    script, style = page.inside["script"][-1], "".join(page.inside["style"])

    def digest(text: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert content == (
        f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert kinds == ["application/json", None]
    assert [tag for tag, _ in page.tags].count("style") == 1


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    """No element names a source, no style an address or an import, no attribute a script or a style."""
    page = Page(html)
    attributes = {name for _, found in page.tags for name in found}
    assert not attributes & {"src", "srcset", "action", "style", "xlink:href"}
    assert not [name for name in attributes if name.startswith("on")]
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "form", "base"}
    assert not re.search(r"url\(|@import", "".join(page.inside["style"]))
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval|innerHTML|localStorage)\b", page.inside["script"][-1])


def test_hostile_text_adds_no_element(hostile_folder: Path, html: str) -> None:
    """Hostile names, prompts and answers leave the page with the same kinds of elements and attributes."""
    clean, dirty = Page(html), Page((hostile_folder / "report.html").read_text(encoding="utf-8"))
    assert {tag for tag, _ in dirty.tags} == {tag for tag, _ in clean.tags}
    assert {name for _, a in dirty.tags for name in a} == {name for _, a in clean.tags for name in a}
    assert dirty.inside["script"][-1] == clean.inside["script"][-1]


def test_hostile_figures_are_sound_xml(hostile_folder: Path) -> None:
    """Each figure file parses as XML, holds no script, and needs no variable of the page."""
    drawings = list((hostile_folder / "figures").glob("*.svg"))
    assert len(drawings) > 10
    for drawing in drawings:
        tree = ElementTree.parse(drawing)
        assert not [node for node in tree.iter() if node.tag.endswith("script")]
        assert "var(" not in drawing.read_text(encoding="utf-8")


def test_embedded_json_cannot_end_its_script() -> None:
    """JSON keeps its value and holds no character that HTML or old JavaScript would act on."""
    written = embedded_json({"a": list(HOSTILE)})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {"a": list(HOSTILE)}


def test_findings_come_back_from_json(book: ReportData, folder: Path) -> None:
    """findings.json has a schema version and holds every field, so that the findings can be read back unchanged."""
    stored = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    assert stored["schema"] == 1
    assert stored["study"] == "demo"
    back = [Finding(**{**record, "cells": tuple(record["cells"]), "points": tuple(record["points"])})
            for record in stored["findings"]]  # fmt: skip
    assert back == list(book.findings)
    assert {field.name for field in fields(Finding)} == set(stored["findings"][0])


def test_numbers_that_json_lacks_become_null(book: ReportData, tmp_path: Path) -> None:
    """A NaN effect is written as null and shown as no number, never as something else."""
    broken = replace(book.findings[0], effect=float("nan"), points=({"line": "a", "tokens": 1, "value": float("inf")},))
    write_report(replace(book, findings=[broken]), tmp_path)
    record = json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))["findings"][0]
    assert record["effect"] is None
    assert record["points"][0]["value"] is None


def test_tables_come_back(book: ReportData, folder: Path) -> None:
    """Parquet gives back the frames; CSV has a row a score and a row a finding."""
    assert pl.read_parquet(folder / "scores.parquet").equals(book.scores)
    assert pl.read_parquet(folder / "items.parquet").equals(book.items)
    assert pl.read_csv(folder / "scores.csv").height == book.scores.height
    assert pl.read_csv(folder / "findings.csv")["statement"].to_list() == [f.statement for f in book.findings]


def test_csv_holds_no_formula(book: ReportData, tmp_path: Path) -> None:
    """Text that a spreadsheet would run is quoted, numbers below zero stay numbers."""
    scores = book.scores.with_columns(task=pl.lit("=1+1"))
    write_report(replace(book, scores=scores), tmp_path)
    back = pl.read_csv(tmp_path / "scores.csv")
    assert back["task"].unique().to_list() == ["'=1+1"]
    assert back["tune_seed"].min() == -1


def test_same_book_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Nothing on the page depends on the clock, on hashing or on the order of sets."""
    write_report(make_book(), tmp_path)
    for name in ("report.html", "findings.json", "scores.csv", "findings.csv"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_study_of_which_nothing_has_run(book: ReportData, tmp_path: Path) -> None:
    """An empty study gives a page that says so, instead of an error or an empty figure."""
    empty = {name: getattr(book, name).clear() for name in ("scores", "items", "examples", "ledger")}
    nothing = replace(book, findings=[], flags=[], baselines=[], series=[], **empty)
    words = Page(write_report(nothing, tmp_path).read_text(encoding="utf-8")).text
    assert "Nothing yet" in words
    assert "0 of 414 cells measured" not in words
    assert "No cost was recorded" in words


def test_unknown_tokens_do_not_stop_the_report(book: ReportData, tmp_path: Path) -> None:
    """A series of which only steps are known still gets its tables."""
    scores = book.scores.with_columns(tokens=pl.lit(None, pl.Int64))
    series = [{**row, "tokens": None} for row in book.series]
    words = Page(write_report(replace(book, scores=scores, series=series), tmp_path).read_text(encoding="utf-8")).text
    assert "step 3,000" in words


def test_folder_that_cannot_be_written_is_named(book: ReportData, tmp_path: Path) -> None:
    """Where the folder is a file, one sentence names it and the cure."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match=r"file.*--out"):
        write_report(book, blocked)


def test_missing_run_leaves_no_mean(book: ReportData) -> None:
    """Three seeds of which one has not run have no pooled value, and so has a group that differs in more than seeds."""
    row = book.scores.filter(pl.col("tune_seed") >= 0, pl.col("step") == 3000).head(1)
    seeds = pl.concat([row.with_columns(tune_seed=pl.lit(k, pl.Int64), value=pl.lit(v, pl.Float64))
                       for k, v in enumerate((0.2, 0.4, None))])  # fmt: skip
    assert pool(seeds.head(2), ["task"])["value"].to_list() == pytest.approx([0.3])
    assert pool(seeds, ["task"]).select("value", "missing").row(0) == (None, 1)
    twins = pl.concat([seeds.head(1), seeds.head(1)])
    assert pool(twins, ["task"]).select("value", "mixed").row(0) == (None, True)


def test_hole_is_said_and_never_drawn_over(book: ReportData) -> None:
    """Where a checkpoint was not tuned, the tables say "not run" and the line has a gap."""
    table = overview(book, "world")
    assert table is not None
    squares = dict(table.rows)["world paraphrase, test set · tuned"]
    assert squares[3] == NOT_RUN
    assert NOT_RUN not in squares[:3]
    matrix = next(t for t in forgetting_tables(book, "world") if t.caption == "after 1.0M tokens")
    assert set(dict(matrix.rows)["world paraphrase"]) == {NOT_RUN}
    drawing = str(draw(task_chart(book, "world", "world_paraphrase", "test")))
    assert drawing.count('class="stroke tuned"') == 2
    assert "tuned, 1.0M tokens, step 1,000: not run" in drawing


def test_reference_lines_stand_in_every_score_figure(book: ReportData) -> None:
    """Chance, majority and baselines without weights are drawn and named with their values."""
    drawing = str(draw(task_chart(book, "world", "world_inference", "test")))
    for words in ("chance 0.33", "majority 0.40", "bag of words 0.41", "hypothesis only 0.35"):
        assert words in drawing
    assert 'class="reference chance"' in drawing


def test_forgetting_matrix_subtracts_base_from_tuned(book: ReportData) -> None:
    """The square says tuned minus base as recomputed from the scores, and frames the task itself."""
    rows = book.scores.filter(pl.col("step") == 3000, pl.col("format") == "default", pl.col("split") == "test")
    rows = rows.filter(pl.col("task") == "world_facts")
    base = rows.filter(pl.col("tuned_on") == "none")["value"].mean()
    tuned = rows.filter(pl.col("tuned_on") == "world_reading")["value"].mean()
    table = forgetting_tables(book, "world")[0]
    column = table.head.index("world facts, test set")
    square = dict(table.rows)["world reading"][column]
    assert square.text == f"{tuned - base:+.2f}".replace("-", "−")
    assert "down" in square.css
    own = dict(table.rows)["world reading"][table.head.index("world reading, test set")]
    assert "own" in own.css.split()


def test_examples_are_few_paired_and_of_every_kind(book: ReportData) -> None:
    """At most so many examples a task are kept, each with what base and tuned said, changes of both directions."""
    asked: list[str] = []

    def prompt(found: str) -> str:
        asked.append(found)
        return prompt_of(found)

    few = choose_examples(pairs(book.items, {"world_inference": "accuracy"}), prompt, per_task=5)
    assert few.select("split", "example_id").n_unique() == 5
    assert len(asked) == len(set(asked)) == 5 * 3  # formats
    transitions = set(few.select(pl.col("value_base") > 0.5, pl.col("value_tuned") > 0.5).iter_rows())
    assert {(True, False), (False, True)} <= transitions
    one = few.row(0, named=True)
    where = {name: one[name] for name in ("checkpoint", "task", "split", "example_id", "format")}
    item = book.items.filter(pl.col("tuned_on") == "none", *(pl.col(k) == v for k, v in where.items()))
    assert item["predicted"].to_list() == [one["predicted_base"]]


def test_changes_are_counted_over_every_prediction(book: ReportData) -> None:
    """Each tuned answer with a base answer to the same prompt is counted once; a loss has no right and wrong."""
    assert pairs(book.items, {"world_corpus": "bits_per_byte"}).height == 0
    numbers = book.changes.select("lost", "won", "kept", "missed").sum_horizontal().sum()
    assert numbers == book.items.filter(pl.col("tuned_on") != "none").height


def test_examples_are_the_same_however_texts_are_kept(book: ReportData) -> None:
    """Predictions with categorical texts, as scores give them, count and choose as plain texts do."""
    texts = pl.col(pl.String).exclude("predicted_histogram").cast(pl.Categorical)
    found = pairs(book.items.with_columns(texts), {task: book.metric(task) for task in set(book.items["task"])})
    assert count_changes(found).equals(book.changes)
    assert choose_examples(found, prompt_of).equals(book.examples)


def test_change_in_one_format_only_is_marked(book: ReportData) -> None:
    """Of three formats, a change that shows in one is marked there; a change in two, or of one format, is not."""
    keys = ["checkpoint", "tuned_on", "tune_seed", "split", "example_id", "format"]
    keep = (pl.col("step") == 3000) & (pl.col("task") == "world_inference") & (pl.col("split") == "test")
    names = [f"world_inference-test-{k:03d}" for k in range(3)]
    rows = book.items.filter(
        keep, pl.col("example_id").is_in(names), pl.col("tuned_on").is_in(["none", "world_inference"])
    )
    rows = rows.filter((pl.col("tuned_on") == "none") | (pl.col("tune_seed") == 0)).unique(keys).sort(keys)
    won = {(names[0], "instruct"), (names[1], "instruct"), (names[1], "default")}
    values = [float(row["tuned_on"] != "none" and (row["example_id"], row["format"]) in won) for row in rows.to_dicts()]
    found = pairs(rows.with_columns(value=pl.Series(values)), {"world_inference": "accuracy"})
    assert found.filter("only").select("example_id", "format", "kind").rows() == [(names[0], "instruct", "won")]
    alone = pairs(rows.filter(pl.col("format") == "instruct"), {"world_inference": "accuracy"})
    assert not alone["only"].any()


def test_long_prompts_leave_room_on_the_page(book: ReportData) -> None:
    """Of long prompts fewer examples are carried, and of every task some; the counts stay those of everything."""
    long = replace(book, examples=book.examples.with_columns(prompt=pl.lit("word " * 700)))
    names = names_of(long)
    cards = pack(long, names)
    assert len(cards) < len(pack(book, names)) == 160
    assert min(Counter(card["task"] for card in cards).values()) >= 6
    assert sum(len(asked["prompt"]) for card in cards for asked in card["asked"]) < 400_000


def test_checkpoints_of_another_series_are_no_holes(book: ReportData) -> None:
    """A line has holes where its own series was not measured; checkpoints are named with their series."""
    other = {**book.series[1], "series": "annealed", "checkpoint": "annealed@77", "tokens": 77_000, "step": 77}
    both = replace(book, series=[*book.series, other])
    assert draw(task_chart(both, "world", "world_inference", "test")) == draw(
        task_chart(book, "world", "world_inference", "test")
    )
    assert checkpoint_names(both)["annealed@77"] == "annealed · 77k tokens"
    assert checkpoint_names(book)["world-5e1f00@3000"] == "3.1M tokens"


def test_lines_differ_in_shape_as_well_as_colour() -> None:
    """No two colours share a mark, so that lines are told apart in grey."""
    drawn = [str(mark(css, 0, 0, 4)).replace(css, "") for css in ("base", "tuned", *COLOURS)]
    assert len(set(drawn)) == len(drawn) == 7


def test_numbers_of_a_figure_say_once_what_is_constant(book: ReportData) -> None:
    """What is the same for every point stands in the small print, and a long table ends with a word about the rest."""
    points = tuple(
        {"line": "a", "tokens": k, "value": k / 100, "low": 0.0, "high": 1.0, "chance": 0.5} for k in range(70)
    )
    table = points_table(replace(book.findings[0], points=points))
    assert table is not None
    assert table.head == ("tokens", "value")
    assert table.caption == "chance 0.500 · 10 more points in findings.json"
    assert table.rows[1][1][1].small == "[0.00, 1.00]"


def test_audits_of_the_series_are_told(book: ReportData, tmp_path: Path) -> None:
    """What a stored audit found, and what it could not look at, stands in the record of the study."""
    fault = {"name": "equal weights", "level": "refused", "checkpoint": "world@400", "detail": "as at step 200"}
    audit = {"series": "world", "inspected": 6, "faults": [fault], "unchecked": ["norms of 2 checkpoints"]}
    words = Page(write_report(replace(book, audits=[audit]), tmp_path).read_text(encoding="utf-8")).text
    assert "6 checkpoints inspected; 1 found." in words
    assert "refused: equal weights · world@400 : as at step 200 not looked at: norms of 2 checkpoints" in words


def test_cells_that_have_not_run_are_counted_at_the_finding(book: ReportData, html: str) -> None:
    """A finding that stands on a hole says so in its own line, with the address of the hole first in its list."""
    undone = set(book.planned.filter(~pl.col("done"))["cell"])
    (finding,) = [f for f in book.findings if undone & set(f.cells)]
    words = Page(html).text
    assert f"1 of {len(finding.cells)} cells not run" in words
    assert f"not run: {(undone & set(finding.cells)).pop()}" in words


def test_chart_without_a_value_draws_nothing() -> None:
    """A chart of holes alone is left out instead of showing empty axes."""
    assert draw(Chart("a", "a", (Line("a", "base", (Point(1.0, None),)),))) == ""
    assert draw(None) == ""


def test_points_over_a_number_are_named_beside_their_dots(book: ReportData) -> None:
    """Single points over a number become a scatter: a dot, an interval and a name for each, and no line."""
    finding = next(f for f in book.findings if f.analysis == "learned_gains_less")
    drawing = str(draw(finding_chart(book, finding, "a")))
    assert drawing.count('class="whisker other-1"') == 3
    assert "world paraphrase" in drawing
    assert 'class="stroke' not in drawing


def test_many_lines_keep_apart(book: ReportData) -> None:
    """Lines named in two parts share a colour by the first and differ in stroke by the second; legends wrap."""
    assert line_looks(["base", "tuned on a"]) == [("base", False), ("tuned", False)]
    looks = line_looks(["default, base", "instruct, base", "default, tuned on a", "instruct, tuned on a"])
    assert looks == [("other-1", True), ("other-2", True), ("other-1", False), ("other-2", False)]
    assert short_names(["default, base", "default, tuned on a"]) == ["default, base", "default, tuned"]
    assert short_names(["tuned on a", "tuned on b"]) == ["tuned on a", "tuned on b"]
    finding = next(f for f in book.findings if f.analysis == "trained_format")
    tree = ElementTree.fromstring(str(draw(finding_chart(book, finding, "a"))))
    names = [node for node in tree.iter("text") if "name" in node.get("class", "")]
    assert 1 < len({node.get("y") for node in names}) < len(names) == 6
    shown = {node: (node[-1].tail if len(node) else node.text) or "" for node in names}
    assert max(float(node.get("x", 0)) + 7 * len(words) for node, words in shown.items()) <= 420


def test_statements_are_put_in_words() -> None:
    """Code names become words, negative numbers get a true minus, and everything else stays as it is."""
    told = "takes rouge_l on my_task/test_ood from 0.5 to -0.1, well-known, not my_tasks; it stopped"
    assert sentence(told, ["my_task", "my"]) == (
        "takes ROUGE-L on my task (out-of-domain test set) from 0.5 to −0.1, well-known, not my_tasks; it stopped"
    )


def test_flags_say_in_words_where(book: ReportData) -> None:
    """The address of a cell is told as model and question; other places stand as they were given."""
    cell = book.scores.filter(pl.col("tuned_on") == "world_reading", pl.col("step") == 400)["cell"][0]
    flags = [{"name": "a", "where": cell, "detail": "d"}, {"name": "a", "where": "elsewhere", "detail": ""}]
    ((name, _, places),) = flags_by_name(replace(book, flags=flags))
    assert name == "a"
    assert places[0][0].startswith("410k tokens, tuned on world reading (seed 0), asked world inference")
    assert places[1] == ("elsewhere", "")


def test_references_that_coincide_are_named_together() -> None:
    """Two lines at one height get one label with both names."""
    both = [Reference("chance", 0.5), Reference("majority", 0.5), Reference("bag of words", 0.7)]
    assert merge_references(both, near=0.01) == [("chance, majority 0.50", 0.5), ("bag of words 0.70", 0.7)]


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=20))
def test_any_text_makes_sound_svg(words: str) -> None:
    """Whatever a name holds, its drawing parses as XML and says the same but for control characters."""
    node = ElementTree.fromstring(text(words, 0, 0, words, hint=words))
    assert len(node[0].text or "") == len(re.sub(r"[\t\n\r]+", " ", words))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7))
def test_labels_are_moved_apart_in_order(places: list[float]) -> None:
    """Labels keep their order, lie a gap apart, and stay within bounds that have room for them."""
    moved = spread(places, 10, 0, 100)
    order = sorted(range(len(places)), key=lambda k: places[k])
    heights = [moved[k] for k in order]
    assert all(later - earlier >= 10 - 1e-9 for earlier, later in itertools.pairwise(heights))
    assert min(heights) >= -1e-9
    assert max(heights) <= 100 + 1e-9


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_ticks_cover_what_they_mark(low: float, span: float) -> None:
    """Ticks rise evenly, cover the whole range, and are neither one nor many."""
    ticks = nice_ticks(low, low + span)
    steps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
    assert 2 <= len(ticks) <= 8
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    assert ticks[0] <= low + 1e-6 * span
    assert ticks[-1] >= low + span - 1e-6 * span


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=9, unique=True))
def test_log_axis_keeps_order_and_zero_has_a_place(tokens: list[int]) -> None:
    """More tokens stand further right, within the axis, also where the first checkpoint has read nothing."""
    places = log_places(tokens, 10, 200)
    heights = [places[t] for t in sorted(tokens)]
    assert all(earlier <= later for earlier, later in itertools.pairwise(heights))
    assert min(heights) >= 10
    assert max(heights) <= 200 + 1e-9
