"""Several studies: what of two is laid side by side, what is named instead, and the pages that show it."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from report_fixture import make_book
from test_report import HOSTILE, Page, poisoned

from amuro.core.errors import DataError, StoreError, StudyError
from amuro.core.types import Finding
from amuro.report.compare import command
from amuro.report.compare import match_findings as by_id
from amuro.report.compare import match_scores as by_place
from amuro.report.compare.index import found_in, write_index
from amuro.report.compare.page import write_beside
from amuro.report.compare.saved_report import Kept, load
from amuro.report.compare.settings_diff import asked, stated
from amuro.report.html.csp import source_hash
from amuro.report.study_json import kept
from amuro.report.write import write_report

COMMITTED = Path(__file__).parents[1] / "results"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip


def finding(**changes: Any) -> Finding:
    base = Finding("gain.a", "gain", "Tuning helps.", "supported", "measured", 0.3, 0.2, 0.4, 60, "clusters", 0.05,
                   "gain", 0.01, "world", ())  # fmt: skip
    return replace(base, **changes)


@pytest.fixture(scope="module")
def left() -> Kept:
    return kept(make_book(7))


@pytest.fixture(scope="module")
def right() -> Kept:
    other = kept(make_book(8))
    changed = [replace(f, verdict="open") if k % 4 == 0 else f for k, f in enumerate(other.findings[1:])]
    return replace(other, name="other", findings=(*changed, finding(id="gain.new")))


@pytest.fixture(scope="module")
def pages(left: Kept, right: Kept, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with compare.html, index.html and two reports."""
    out = tmp_path_factory.mktemp("several")
    write_report(make_book(7), out / "demo")
    write_report(make_book(8), out / "later")
    write_beside(left, right, out)
    write_index(found_in(out)[0], out, ["a folder that could not be read"])
    return out


# --- findings --------------------------------------------------------------------------------------------------------


def test_symmetric_intervals_give_the_two_sample_z_interval() -> None:
    """Proves that the difference of two symmetric intervals is the z interval of independent estimates."""
    gap = by_id.difference(finding(effect=0.3, low=0.2, high=0.4), finding(effect=0.5, low=0.3, high=0.7))
    assert gap is not None
    assert gap.value == pytest.approx(0.2)
    assert gap.high - gap.value == pytest.approx(math.hypot(0.1, 0.2))
    assert gap.value - gap.low == pytest.approx(math.hypot(0.1, 0.2))
    assert not gap.clear


numbers = st.floats(-5, 5)


@given(numbers, numbers, numbers, numbers, numbers, numbers)
def test_a_difference_turns_its_sign_with_the_studies(
    a: float, b: float, c: float, d: float, e: float, f: float
) -> None:
    """Proves that the interval holds its value and that exchanging the studies mirrors it."""
    (low, effect, high), (low2, effect2, high2) = sorted((a, b, c)), sorted((d, e, f))
    one, other = finding(effect=effect, low=low, high=high), finding(effect=effect2, low=low2, high=high2)
    there, back = by_id.difference(one, other), by_id.difference(other, one)
    assert there is not None
    assert back is not None
    assert there.low <= there.value <= there.high
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


@pytest.mark.parametrize("changes", [{"low": None}, {"effect": None}, {"high": None}, {"effect": 0.9}])
def test_no_interval_gives_no_difference(changes: dict[str, Any]) -> None:
    """Proves that a missing or broken interval on either side leaves the difference open instead of guessing."""
    assert by_id.difference(finding(), finding(**changes)) is None
    assert by_id.difference(finding(**changes), finding()) is None


def test_findings_meet_by_id_and_differing_verdicts_come_first() -> None:
    """Proves that pairs are of one id, that differing verdicts lead, and that lone findings are kept apart."""
    mine = [finding(id="a"), finding(id="b"), finding(id="only")]
    others = [finding(id="b", verdict="open"), finding(id="new"), finding(id="a")]
    found = by_id.match(mine, others)
    assert [pair.left.id for pair in found.pairs] == ["b", "a"]
    assert [f.id for f in found.only_left] == ["only"]
    assert [f.id for f in found.only_right] == ["new"]


def test_a_study_of_one_series_meets_one_of_several() -> None:
    """Proves that the series at the end of an id does not part findings of the same series, and never joins others."""
    several_series = [finding(id="gain.a.world"), finding(id="gain.a.late", series="late")]
    found = by_id.match([finding()], several_series)
    assert [(p.left.id, p.right.id) for p in found.pairs] == [("gain.a", "gain.a.world")]
    assert [f.id for f in found.only_right] == ["gain.a.late"]
    assert not by_id.match([finding(series="other")], several_series).pairs


def test_different_scales_are_named_and_not_subtracted() -> None:
    """Proves that effects with different smallest effects of interest stand beside each other without a difference."""
    pair = by_id.match([finding()], [finding(delta=0.1, unit="checkpoints", evidence="mixed", verdict="open")]).pairs[0]
    assert pair.difference is None
    assert pair.remarks == (
        "smallest effect of interest: 0.05 and 0.1",
        "unit of evidence: clusters and checkpoints",
        "evidence: measured and mixed",
    )


# --- scores ----------------------------------------------------------------------------------------------------------


def test_equal_scores_meet_and_their_difference_is_the_second_less_the_first(left: Kept, right: Kept) -> None:
    """Proves that every score of two like studies meets its fellow, with the interval of independent samples."""
    found = by_place.match(left.scores, right.scores)
    assert found.rows.height == left.scores.height
    assert found.unmatched == (0, 0)
    row = found.rows.filter(pl.col("se").is_not_null()).row(0, named=True)
    assert row["difference"] == pytest.approx(row["value_right"] - row["value"])
    half = 1.959964 * math.hypot(row["se"], row["se_right"])
    assert row["high"] - row["difference"] == pytest.approx(half)


@pytest.mark.parametrize(
    ("coordinate", "value"),
    [
        ("precision", "float32"),
        ("protocol", "paper"),
        ("format", "quiz"),
        ("task", "another"),
        ("limit", 7),
        ("shots", 4),
    ],
)
def test_what_keeps_scores_apart_is_named(left: Kept, right: Kept, coordinate: str, value: Any) -> None:
    """Proves that scores that differ in one coordinate never meet, and that this coordinate is given as the reason."""
    other = right.scores.with_columns(pl.lit(value, right.scores.schema[coordinate]).alias(coordinate))
    one_way = by_place.match(
        left.scores, other.unique([k for k in by_place.KEYS if k != "place"] + ["step"], keep="none")
    )
    assert not one_way.rows.height
    assert one_way.unmatched[0] == left.scores.height
    if one_way.unmatched[1]:
        assert one_way.reasons[0].coordinate == coordinate
        assert one_way.reasons[0].right == (str(value),)


def test_ambiguous_scores_are_left_out_and_counted(left: Kept, right: Kept) -> None:
    """Proves that a key that stands for two rows of a study is averaged nowhere."""
    twice = pl.concat([right.scores, right.scores.head(3)])
    found = by_place.match(left.scores, twice)
    assert found.ambiguous == 3
    assert found.rows.height == left.scores.height - 3


def test_another_learning_rate_is_counted(left: Kept, right: Kept) -> None:
    """Proves that scores whose learning rates differ meet, and that their number is told."""
    faster = right.scores.with_columns(learning_rate=pl.col("learning_rate") * 2)
    found = by_place.match(left.scores, faster)
    assert found.rates_differ == left.scores.filter(pl.col("learning_rate").is_not_null()).height


def test_settings_that_differ_come_first(left: Kept, right: Kept) -> None:
    """Proves that environment, statements and asked coordinates are laid side by side, differing ones in front."""
    other = replace(right, environment={**right.environment, "torch": "2.14"}, study={**right.study, "engine": "torch"},
                    scores=right.scores.filter(pl.col("format") == "default"))  # fmt: skip
    rows = stated(left, other)
    assert {row.name for row in rows if not row.same} == {"torch", "engine"}
    assert not rows[0].same
    first = asked(left.scores, other.scores)[0]
    assert (first.coordinate, first.only_left, first.only_right) == ("format", ("input_output", "instruct"), ())


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_report_is_read_back_as_it_was_written(left: Kept, pages: Path) -> None:
    """Proves that findings, scores and facts survive the way through a folder."""
    back = load(pages / "demo")
    assert [asdict(f) | {"points": None} for f in back.findings] == [
        asdict(f) | {"points": None} for f in left.findings
    ]
    assert back.study == json.loads(json.dumps(left.study))
    assert back.page == pages / "demo" / "report.html"
    keys = ["cell", "metric", "value"]
    assert back.scores.select(keys).equals(left.scores.select(keys))


@pytest.mark.parametrize("name", ["demo_full", "english_small", "real_first_experiment"])
def test_committed_results_are_read(name: str) -> None:
    """Proves that reports of earlier days, without study.json, are still understood."""
    found = load(COMMITTED / name)
    assert found.name == name
    assert found.findings
    assert found.scores.height


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no findings.json; name the folder of a report"),
        ("{", "cannot be read"),
        ("[]", "is not of schema 1"),
        ('{"schema": 2, "study": "x", "findings": []}', "is not of schema 1"),
        ('{"schema": 1, "study": "x", "findings": [{"id": 3}]}', "finding 1: id is '3'"),
        ('{"schema": 1, "study": "x", "findings": [{"id": "a"}]}', "finding 1 lacks fields"),
        ('{"schema": 1, "study": "x", "findings": ["a"]}', "finding 1 lacks fields"),
    ],
)
def test_a_folder_that_is_no_report_is_refused_by_name(text: str | None, message: str, tmp_path: Path) -> None:
    """Proves that each kind of broken folder ends in one sentence with the file, the fault and the cure."""
    if text is not None:
        (tmp_path / "findings.json").write_text(text)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.cure


@given(st.sampled_from(["effect", "n", "verdict", "cells", "points", "delta", "note"]), st.sampled_from(
    [True, "x" * 99, [1], {"a": 1}, 1e400, None, "<b>"]))  # fmt: skip
def test_a_field_of_a_wrong_kind_is_refused(name: str, value: Any) -> None:
    """Proves that findings of others are taken only with fields of the right kinds, whatever JSON they hold."""
    record = json.loads(json.dumps(asdict(finding()))) | {name: value}
    fits = {"effect": value is None, "note": isinstance(value, str)}
    assume(not fits.get(name, False))
    assume(not (name == "n" and value is True))  # a bool is an int to Python, and harmless
    with pytest.raises(DataError, match=f"finding 1: {name} is"):
        _load_text(json.dumps({"schema": 1, "study": "x", "findings": [record]}))


def _load_text(text: str) -> Kept:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        (Path(folder) / "findings.json").write_text(text)
        return load(Path(folder))


def test_one_id_twice_is_refused() -> None:
    """Proves that a file whose ids are not unique is named, since nothing could be matched with it."""
    record = json.loads(json.dumps(asdict(finding())))
    with pytest.raises(DataError, match=r"has the id gain\.a twice"):
        _load_text(json.dumps({"schema": 1, "study": "x", "findings": [record, record]}))


def test_foreign_scores_are_refused_by_name(pages: Path, tmp_path: Path) -> None:
    """Proves that a scores.parquet without a coordinate, or that is none at all, names file and column."""
    shutil.copytree(pages / "demo", tmp_path / "demo")
    path = tmp_path / "demo" / "scores.parquet"
    pl.read_parquet(path).drop("protocol").write_parquet(path)
    with pytest.raises(DataError, match=r"scores\.parquet has no column protocol"):
        load(tmp_path / "demo")
    path.write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"scores\.parquet cannot be read as scores"):
        load(tmp_path / "demo")


# --- the verb --------------------------------------------------------------------------------------------------------


def test_two_folders_are_compared_and_three_indexed(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves what `amuro report` makes of two, of three and of a folder of reports, and where it puts it."""
    monkeypatch.chdir(tmp_path)
    demo, later = pages / "demo", pages / "later"
    none: Any = None
    assert command.told([demo, later], None, None, none).endswith("amuro-results/demo-and-demo/compare.html")
    assert command.told([demo, later, demo], None, None, none) == "Index: amuro-results/index.html"
    assert command.told([], pages, tmp_path / "x", none) == f"Index: {tmp_path}/x/index.html"
    assert command.told([Path("a.toml"), demo], None, Path("y"), lambda _: load(later)).startswith("Comparison: y/")


def test_nothing_to_compare_is_said(pages: Path, tmp_path: Path) -> None:
    """Proves that one report alone, none, or an empty folder ends in one sentence with the cure."""
    none: Any = None
    for paths, message in (([], "no study is named"), ([pages / "demo"], "is one report; name a second one")):
        with pytest.raises(StudyError, match=message):
            command.told(paths, None, None, none)
    with pytest.raises(DataError, match="holds a report; make one"):
        command.told([], tmp_path, None, none)


def test_what_cannot_be_read_or_written_is_named(pages: Path, left: Kept, tmp_path: Path) -> None:
    """Proves that an index lists broken folders instead of hiding them, and that a bad place to write is named."""
    shutil.copytree(pages / "demo", tmp_path / "demo")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "findings.json").write_text("{")
    found, unread = found_in(tmp_path)
    assert [study.name for study in found] == ["demo"]
    assert "torn/findings.json cannot be read" in unread[0]
    (tmp_path / "taken").write_text("")
    for write in (lambda out: write_index(found, out), lambda out: write_beside(left, left, out)):
        with pytest.raises(StoreError, match="choose another folder with --out"):
            write(tmp_path / "taken")


# --- the pages -------------------------------------------------------------------------------------------------------


def test_both_effects_and_verdicts_stand_on_the_page(pages: Path, left: Kept, right: Kept) -> None:
    """Proves that each matched finding shows both sentences, verdicts and intervals, and lone ones are listed."""
    html = (pages / "compare.html").read_text(encoding="utf-8")
    text = Page(html).text
    found = by_id.match(left.findings, right.findings)
    for pair in found.pairs:
        assert pair.left.id in text
        assert pair.left.statement in text
    for lone in (*found.only_left, *found.only_right):
        assert lone.statement in text
    assert "treats the studies as independent" in text
    assert html.index('class="card pair"') < html.index("with the same verdict in both")
    assert text.count("B − A:") == sum(pair.difference is not None for pair in found.pairs)


def test_an_index_leads_to_the_reports_and_counts_verdicts(pages: Path) -> None:
    """Proves that links are relative and lead to pages that are there, with question, numbers and tally beside them."""
    page = Page((pages / "index.html").read_text(encoding="utf-8"))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["./demo/report.html", "./later/report.html"]
    assert all((pages / str(link)).is_file() for link in links)
    study = load(pages / "demo")
    assert str(study.study["question"]) in page.text
    supported = sum(f.verdict == "supported" for f in study.findings)
    assert page.text.count(f"{supported} supported") == 2
    assert "a folder that could not be read" in page.text


@pytest.mark.parametrize("name", ["compare.html", "index.html"])
def test_pages_load_nothing_and_run_nothing(name: str, pages: Path) -> None:
    """Proves that the policy allows the one style alone, and that the page has no script, source or inline style."""
    page = Page((pages / name).read_text(encoding="utf-8"))
    content = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    style = "".join(page.inside["style"])
    assert content == (
        f"default-src 'none'; style-src {source_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    attributes = {name for _, found in page.tags for name in found}
    assert not attributes & {"src", "srcset", "action", "style"}
    assert not [name for name in attributes if name.startswith("on")]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def hostile_pair() -> tuple[Kept, Kept]:
    bad = kept(poisoned(make_book(7)))
    return bad, replace(bad, name=bad.name + "'", findings=bad.findings[2:], environment={"<b>": HOSTILE[0]})


def test_hostile_names_add_no_element(pages: Path, tmp_path: Path) -> None:
    """Proves that hostile names leave comparison and index with the elements and attributes that they always have."""
    one, other = hostile_pair()
    write_beside(one, other, tmp_path)
    write_index([one, other], tmp_path, list(HOSTILE))
    for name in ("compare.html", "index.html"):
        clean = Page((pages / name).read_text(encoding="utf-8"))
        dirty = Page((tmp_path / name).read_text(encoding="utf-8"))
        extra = {"sup", "details", "summary", "small", "i"}
        assert {tag for tag, _ in dirty.tags} <= {tag for tag, _ in clean.tags} | extra
        assert {a for _, found in dirty.tags for a in found} <= {a for _, found in clean.tags for a in found} | {"open"}


def test_hostile_names_run_no_formula(tmp_path: Path) -> None:
    """Proves that no cell of the tables beside a comparison begins as a formula."""
    one, other = hostile_pair()
    evil = replace(one, findings=tuple(replace(f, statement="=1+1", id="@" + f.id) for f in one.findings))
    write_beside(evil, replace(other, findings=evil.findings), tmp_path)
    frame = pl.read_csv(tmp_path / "compare_findings.csv", infer_schema=False)
    assert not [v for name in ("id", "statement_a", "statement_b") for v in frame[name] if v and v[0] in "=+-@"]


def test_a_link_to_a_strange_folder_stays_below_it(left: Kept, tmp_path: Path) -> None:
    """Proves that a folder's name cannot make a link of another scheme or break out of its attribute."""
    for name in ("javascript:alert(1)", 'a"onclick="x', "ä b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "report.html").write_text("")
        write_index([replace(left, page=folder / "report.html")], tmp_path)
        page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
        (href,) = [str(attributes["href"]) for tag, attributes in page.tags if tag == "a"]
        assert href.startswith("./")
        assert href.endswith("/report.html")
        assert not [a for _, found in page.tags for a in found if a.startswith("on")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("chromium missing: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.mark.parametrize("hostile", [False, True])
@pytest.mark.parametrize("name", ["compare.html", "index.html"])
def test_pages_open_in_a_browser_without_complaint(
    name: str, hostile: bool, pages: Path, tmp_path: Path, browser: Any
) -> None:
    """Proves in a real browser, on a phone's width, that nothing is complained of, asked for, run, or wider than it."""
    folder = pages
    if hostile:
        write_beside(*hostile_pair(), tmp_path)
        write_index(hostile_pair(), tmp_path, list(HOSTILE))
        folder = tmp_path
    page = browser.new_page(viewport={"width": 390, "height": 800})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not request.url.endswith(name) else None)
    page.goto((folder / name).as_uri())
    assert page.evaluate("document.body.id") == ""
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("h1").count() == 1
    page.close()
    assert said == []


def test_weights_are_the_same_by_digest_alone(left: Kept, tmp_path: Path) -> None:
    """Two studies with equal addresses of checkpoints share weights only where the digests of their tensors agree."""
    weights = {"toy@1": "a" * 64, "toy@2": "b" * 64}
    same = replace(left, study={**left.study, "weights": weights})
    apart = replace(left, study={**left.study, "weights": dict.fromkeys(weights, "c" * 64)})
    assert "of the same weights" not in write_beside(same, apart, tmp_path / "a").read_text(encoding="utf-8")
    assert "2 checkpoints of the same weights" in write_beside(same, same, tmp_path / "b").read_text(encoding="utf-8")
