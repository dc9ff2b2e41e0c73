"""Exports: what each kind writes, that hostile names stay text in every one, and that bytes repeat."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixture import make_book
from test_report import HOSTILE, poisoned

from amuro.cli.check import check_plugin
from amuro.core import registry
from amuro.core.errors import StoreError, StudyError
from amuro.report.exporters import _latex, _markdown, _write, latex, load_exporter
from amuro.report.exporters._charts import charts
from amuro.report.exporters._lm_eval_samples import safe
from amuro.report.exporters.base import Exporter, Source
from amuro.report.exporters.csv import points
from amuro.report.exporters.lm_eval import files as lm_eval_files
from amuro.report.exporters.markdown import in_turn, summary
from amuro.report.html.csp import without_formulas
from amuro.report.model import ReportData
from amuro.report.write import write_report

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(HOSTILE)


@pytest.fixture(scope="module")
def book() -> ReportData:
    return make_book()


def written(name: str, book: ReportData) -> dict[str, str | bytes]:
    return dict(load_exporter(name).files(Source(book)))


@pytest.mark.parametrize("name", registry.names("exporters"))
def test_every_exporter_keeps_the_contract_of_its_kind(name: str) -> None:
    """Proves that each exporter is whole on nothing and on strange names, names inert files and repeats its bytes."""
    assert len(list(check_plugin(name))) == 2


@pytest.mark.parametrize("name", sorted(set(registry.names("exporters")) - {"figures"}))
def test_hostile_names_reach_no_file_name(name: str, book: ReportData, tmp_path: Path) -> None:
    """Proves that a study whose every name is hostile is written into the folder, by names of safe letters."""
    paths = _write.write(Source(poisoned(book)), [load_exporter(name)], tmp_path / "out")
    assert paths
    for path in paths:
        assert path.resolve().is_relative_to(tmp_path / "out")
        assert re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", str(path.relative_to(tmp_path / "out")), re.ASCII)


def test_default_kinds_leave_out_what_is_large() -> None:
    """Proves that an export without `--to` writes all kinds but those that make a file a model and set."""
    assert {each.name for each in _write.kinds([])} == set(registry.names("exporters")) - {"lm_eval"}
    assert [each.name for each in _write.kinds(["lm_eval", "csv", "csv"])] == ["lm_eval", "csv"]
    with pytest.raises(StudyError, match="unknown name 'latx' among exporters; did you mean 'latex'"):
        _write.kinds(["latx"])


def test_a_file_outside_of_the_folder_is_refused(book: ReportData, tmp_path: Path) -> None:
    """Proves that an exporter cannot write where it was not told to, whatever it calls its files."""
    for name in ("../x", "/etc/x", "a/../../x", "", "a//b", ".hidden"):
        rash = Exporter("rash", "d", "s", lambda _, name=name: iter([(name, "x")]))
        with pytest.raises(StudyError, match="exporter rash names a file"):
            _write.write(Source(book), [rash], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(book: ReportData, tmp_path: Path) -> None:
    """Proves that the message of a failed export names folder and cure."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written to .*taken.*; choose another folder with --out"):
        _write.write(Source(book), [load_exporter("findings")], tmp_path / "taken")


@given(TEXTS)
def test_csv_holds_no_formula(text: str) -> None:
    """Proves that no text begins with what a spreadsheet would run, and that reading gives back what was written."""
    frame = without_formulas(pl.DataFrame({"name": [text]}))
    back = pl.read_csv(BytesIO(frame.write_csv(quote_style="always").encode()), infer_schema=False)["name"][0] or ""
    assert not back.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert back.removeprefix("'") == text.removeprefix("'") or "\r" in text


def test_csv_and_parquet_hold_every_score_and_finding(book: ReportData) -> None:
    """Proves that tables of both kinds have a row for each score, finding and point."""
    csv, parquet = written("csv", book), written("parquet", book)
    assert pl.read_csv(BytesIO(str(csv["scores.csv"]).encode())).height == book.scores.height
    assert points(book.findings).height == sum(len(f.points) for f in book.findings)
    read = {name: pl.read_parquet(BytesIO(content)) for name, content in parquet.items() if isinstance(content, bytes)}
    assert read["scores.parquet"].equals(book.scores)
    assert read["items.parquet"].height == book.items.height
    assert read["findings.parquet"]["id"].to_list() == [f.id for f in book.findings]


# --- LaTeX -----------------------------------------------------------------------------------------------------------

TOKEN = re.compile(r"\\[A-Za-z]+|\\[^A-Za-z]|[^\\]", re.DOTALL)
KNOWN = {
    r"\textbackslash", r"\textasciicircum", r"\textasciitilde", r"\textless", r"\textgreater", r"\textbar", r"\symbol",
    r"\textendash", r"\textemdash", r"\times", r"\pm", r"\leq", r"\geq", r"\rightarrow", r"\delta", r"\Delta",
    r"\sigma", r"\dots", r"\cdot", r"\dagger", r"\surd",
}  # fmt: skip


def inert(tex: str) -> bool:
    """No command but known ones, braces and dollars in pairs, no active character left bare."""
    depth, dollars = 0, 0
    for token in TOKEN.findall(tex):
        if token.startswith("\\"):
            if token not in KNOWN and token[1:] not in "{}$&#%_":
                return False
        elif token in "&#%_^":
            return False
        depth += (token == "{") - (token == "}")
        dollars += token == "$"
        if depth < 0:
            return False
    return depth == 0 and dollars % 2 == 0


@given(TEXTS)
def test_text_in_latex_is_inert(text: str) -> None:
    """Proves that any text becomes known commands and plain letters: nothing is run, opened or commented out."""
    tex = _latex.escape(text)
    assert inert(tex)
    assert "\n" not in tex
    assert all(c.isascii() or "À" <= c <= "ÿ" for c in tex)


def test_latex_writes_words_as_a_typesetter_would() -> None:
    """Proves that names, signs and ligatures come out as they were meant."""
    assert _latex.escape("world_facts, 50 % of −0.31–0.35 & #1") == (
        r"world\_facts, 50 \% of $-$0.31\textendash{}0.35 \& \#1"
    )
    assert _latex.escape("out-of-domain --flag ''x'' é 中") == r"out-of-domain -{}-flag '{}'x'{}' é [U+4E2D]"
    assert _latex.row(["[x]", "*", "y"]) == r"{}[x] & {}* & y \\"


def rows_of(tex: str) -> list[str]:
    return [line for line in tex.splitlines() if line.endswith(r"\\") and re.search(r"(?<!\\)&", line)]


@pytest.mark.parametrize("hostile", [False, True])
def test_every_row_of_a_latex_table_has_all_columns(hostile: bool, book: ReportData) -> None:
    """Proves that environments and braces close and each row has as many columns as its head, whatever the names."""
    found = written("latex", poisoned(book) if hostile else book)
    assert {"findings.tex", "tables.tex", "scores-world.tex"} == set(found)
    for name, tex in found.items():
        text = str(tex)
        begun = re.findall(r"\\begin\{(\w+)\}", text)
        assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", text))
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
        widths = {len(re.findall(r"(?<!\\)&", row)) for row in rows_of(text)}
        assert name == "tables.tex" or len(widths) == 1


def test_latex_scores_stand_as_on_the_page(book: ReportData) -> None:
    """Proves that base and tuned scores of a task stand in two rows over the checkpoints, holes as holes."""
    tex = str(written("latex", book)["scores-world.tex"])
    assert r"& 0 tokens & 205k tokens & 410k tokens & 1.0M tokens & 1.4M tokens & 3.1M tokens \\" in tex
    base, tuned = (line for line in tex.splitlines() if line.startswith("world paraphrase, test set"))
    assert r"base & 0.56" in base
    assert r"tuned & 0.50" in tuned
    assert r"\textit{n.r.}" in tuned
    assert r"\toprule" in tex
    assert r"\bottomrule" in tex


def test_all_findings_stand_in_the_latex_table(book: ReportData) -> None:
    """Proves that each finding has a row with its sentence, verdict and evidence."""
    tex = str(written("latex", book)["findings.tex"])
    for finding in book.findings:
        assert _latex.escape(finding.statement) in tex
    assert "& open (insufficient) & \\textendash{} & 3 data sets" in tex
    assert latex.DOCUMENT.count("booktabs") == 1


# --- Markdown --------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Names of the elements that a text holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)


@given(TEXTS)
def test_text_in_markdown_is_inert(text: str) -> None:
    """Proves that any text stays on one line without HTML, markup, mention, issue number or address."""
    line = _markdown.escape(text)
    assert not Tags(line).found
    plain = re.sub(r"\\[\\`*_\[\]$~]|&(amp|lt|gt|#124);|<!---->", "", line)
    assert not re.search(r"[\\`*_\[\]$~<>|]", plain)
    assert "\n" not in line
    assert not re.search(r"@\S|#\S|://|www\.", re.sub(r"[@#:]<!---->|www<!---->|&#124;", " ", line), re.IGNORECASE)


def test_a_summary_fits_one_screen_and_a_comment(book: ReportData) -> None:
    """Proves that a summary is short for a plain study, and below a comment's limit for one of endless names."""
    assert len(summary(book).splitlines()) < 40
    huge = replace(poisoned(book), findings=[replace(f, statement="x_" * 9_000) for f in book.findings * 40],
                   study={"name": "<b>" * 9_000, "question": "@you " * 9_000},
                   environment={"&" * 9_000: "*" * 9_000})  # fmt: skip
    assert len(summary(huge)) < 65_000
    assert Tags(summary(huge)).found <= {"sub"}


def test_a_summary_tells_supported_before_refuted_and_counts_the_open(book: ReportData) -> None:
    """Proves that verdicts stand in the order in which a reviewer asks, and that holes and versions are named."""
    text = summary(book)
    order = ["### amuro: demo", "supported · ✕", "**Supported**", "**Open**", "**Holes:**", "<sub>python 3.11.2"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    open_ones = [f for f in book.findings if f.verdict == "open"]
    assert sum(map(int, re.findall(r"(\d+)", text[text.index("**Open**") :].splitlines()[0]))) == len(open_ones)


def test_no_analysis_fills_the_summary(book: ReportData) -> None:
    """Proves that the first findings told come from different analyses, the clearest of each first."""
    first = in_turn(book.findings)[: len({f.analysis for f in book.findings})]
    assert len({f.analysis for f in first}) == len(first)


# --- Figures ---------------------------------------------------------------------------------------------------------


def test_figures_repeat_their_bytes_and_keep_letters(book: ReportData) -> None:
    """Proves that a PDF holds its letters as letters, names no date, and comes out the same each time."""
    few = replace(book, findings=book.findings[-1:], scores=book.scores.filter(pl.col("task") == "world_inference"))
    once, again = written("figures", few), written("figures", few)
    assert once == again
    assert {Path(name).suffix for name in once} == {".pdf", ".svg"}
    for name, content in once.items():
        assert isinstance(content, bytes)
        if name.endswith(".pdf"):
            assert b"/CIDFontType2" in content or b"/TrueType" in content
            assert b"CreationDate" not in content
        else:
            assert b"<dc:date>" not in content
            ElementTree.fromstring(content)


def test_figures_of_hostile_names_are_plain_pictures(book: ReportData) -> None:
    """Proves that formulas, markup and control characters in names leave well-formed pictures without scripts."""
    bad = replace(poisoned(book), findings=poisoned(book).findings[9:12], scores=book.scores.head(0))
    for name, content in written("figures", bad).items():
        if name.endswith(".svg"):
            tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(content).iter()}
            assert not tags & {"script", "foreignObject", "a", "image"}


def test_every_figure_of_the_report_is_exported(book: ReportData, tmp_path: Path) -> None:
    """Proves that the names of the charts are those of the pictures beside the report, and none is missing."""
    write_report(book, tmp_path)
    beside = {path.stem for path in (tmp_path / "figures").iterdir() if not path.stem.startswith("study-")}
    assert set(charts(book)) == beside


def test_a_report_imports_no_plotting_library() -> None:
    """Proves that listing and checking out exporters does not import matplotlib before a figure is drawn."""
    code = (
        "import sys; from amuro.report.exporters import _write; _write.kinds([]); import amuro.report.write; "
        "print([m for m in ('matplotlib', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- lm-eval ---------------------------------------------------------------------------------------------------------


def kept(cell: str) -> pl.DataFrame:
    """Predictions of a cell as the store has them: two rows, whatever was asked."""
    return pl.DataFrame(
        {
            "example_id": ["e0", "e1"], "cluster": ["a", "b"], "gold": ["same", "different"], "gold_index": [0, 1],
            "options": [["same", "different"]] * 2, "log_probabilities": [[-1.0, -2.0], [-3.0, -0.5]],
            "output": ["same", "x"], "log_probability": [-9.0, -8.0], "prompt_hash": ["00ff", "11ff"],
        }
    )  # fmt: skip


def test_lm_eval_results_have_its_names(book: ReportData) -> None:
    """Proves that each model has a folder with results and samples under lm-eval's keys, base and tuned alike."""
    one = replace(book, scores=book.scores.filter((pl.col("step") == 400) & (pl.col("tune_seed") < 1)))
    found = dict(lm_eval_files(Source(one, kept)))
    folders = {name.split("/")[1] for name in found}
    assert folders == {"world-5e1f00_400", *(f"world-5e1f00_400+{t}-1f3a9c_seed0" for t in
                       ("world_inference", "world_paraphrase", "world_reading"))}  # fmt: skip
    results = json.loads(found["lm_eval/world-5e1f00_400/results_amuro.json"])
    scores = results["results"]["world_inference_test_default_0shot"]
    assert {"alias", "acc,none", "acc_stderr,none"} == set(scores)
    assert results["n-shot"]["world_inference_test_default_0shot"] == 0
    assert results["higher_is_better"]["world_corpus_test_default_0shot"] == {"bits_per_byte": False}
    assert results["configs"]["world_reading_test_default_0shot"]["output_type"] == "generate_until"
    lines = str(found["lm_eval/world-5e1f00_400/samples_world_inference_test_default_0shot_amuro.jsonl"]).splitlines()
    sample = json.loads(lines[0])
    assert {"doc_id", "target", "resps", "filtered_resps", "doc_hash", "prompt_hash", "target_hash"} <= set(sample)
    assert sample["resps"] == [[[-1.0, None]], [[-2.0, None]]]
    assert sample["filtered_resps"] == [[-1.0, None], [-2.0, None]]


@given(st.lists(TEXTS, min_size=2, max_size=2, unique=True))
def test_names_that_differ_stay_apart_as_files(names: list[str]) -> None:
    """Proves that two names never share a file, and that none leaves its folder."""
    one, other = map(safe, names)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", one)
    assert one != other or {c for pair in zip(*names, strict=False) if pair[0] != pair[1] for c in pair} <= set("@/_")
