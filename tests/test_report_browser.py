"""The report in a real browser: what a reader can do with it, and that nothing in it acts by itself."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from report_fixture import HOSTILE, make_book, poisoned

from amuro.paper.page import write_released
from amuro.paper.study import judged, load
from amuro.report.model import ReportData
from amuro.report.write import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright missing: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND"]  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium missing: apt-get install chromium")


class Opened:
    """A page, with everything that it asked for, complained of or tried to say."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(5_000)
        self.heard: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.heard.append(message.text))
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.heard.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def show(self, path: Path, view: str = "") -> Any:
        """The page at `path`, loaded anew, with what its address chooses."""
        self.page.goto("about:blank")
        self.asked.clear()
        self.page.goto(path.as_uri() + view)
        return self.page


@pytest.fixture(scope="module")
def book() -> ReportData:
    return make_book()


@pytest.fixture(scope="module")
def report(book: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(book, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def hostile(book: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(poisoned(book), tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def desk(browser: Any) -> Opened:
    return Opened(browser, viewport={"width": 1200, "height": 900}, reduced_motion="reduce")


def shown(page: Any, selector: str) -> list[Any]:
    """The elements that a reader can see."""
    return [found for found in page.locator(selector).all() if found.is_visible()]


def pick(page: Any, bar: str, by: str, words: str) -> None:
    """Chooses an option by its words."""
    page.locator(f"#{bar} select[data-by={by}]").select_option(label=words)


def kinds_by_place(book: ReportData) -> dict[tuple[str, ...], dict[str, str]]:
    """(task, split, example, checkpoint, tuned on) → format → kind of change, reckoned anew from the answers."""
    names = {(True, False): "lost", (False, True): "won", (True, True): "kept", (False, False): "missed"}
    found: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for row in book.examples.iter_rows(named=True):
        place = tuple(row[name] for name in ("task", "split", "example_id", "checkpoint", "tuned_on"))
        found[place][row["format"]] = names[row["value_base"] >= 0.5, row["value_tuned"] >= 0.5]
    return found


def test_page_loads_in_silence_and_asks_for_nothing(desk: Opened, report: Path) -> None:
    """The page runs under its policy without a word on the console, and the only request is the page itself."""
    page = desk.show(report)
    page.wait_for_selector("#item-filters")
    assert desk.heard == []
    assert desk.asked == [report.as_uri()]


def test_findings_are_filtered_and_the_view_is_in_the_address(desk: Opened, report: Path, book: ReportData) -> None:
    """Verdict and task leave exactly the findings that have both; the address brings the same view back."""
    page = desk.show(report)
    page.get_by_role("button", name="supported", exact=True).click()
    pick(page, "finding-filters", "task", "world inference")
    wanted = [f for f in book.findings if f.verdict == "supported" and f.task == "world_inference"]
    assert 0 < len(shown(page, "details.finding")) == len(wanted) < len(book.findings)
    assert page.locator("#finding-count").inner_text() == f"{len(wanted)} of {len(book.findings)} findings"
    again = desk.show(report, page.evaluate("location.hash"))
    assert len(shown(again, "details.finding")) == len(wanted)
    assert again.locator("#finding-filters button[aria-pressed=true]").inner_text() == "supported"


def test_findings_are_filtered_by_the_format_and_checkpoint_of_their_cells(
    desk: Opened, report: Path, book: ReportData
) -> None:
    """Only findings stay that stand on a cell asked in that format, and of that checkpoint."""
    page = desk.show(report)
    pick(page, "finding-filters", "formats", "default")
    pick(page, "finding-filters", "checkpoints", "0 tokens")
    first = book.scores.filter(pl.col("format") == "default", pl.col("step") == 0)["cell"]
    wanted = sum(bool(set(first) & set(f.cells)) for f in book.findings)
    assert 0 < len(shown(page, "details.finding")) == wanted < len(book.findings)


def test_link_to_a_finding_that_is_filtered_out_shows_it(desk: Opened, report: Path) -> None:
    """A link in the map of verdicts leads to its finding, unfolded, whatever the filters have hidden."""
    page = desk.show(report)
    page.get_by_role("button", name="refuted", exact=True).click()
    page.locator(".map a.badge.supported").first.click()
    target = page.locator(page.locator(".map a.badge.supported").first.get_attribute("href"))
    assert target.is_visible()


def test_scores_are_filtered_by_task_format_and_checkpoint(desk: Opened, report: Path) -> None:
    """One sheet, the rows of one format and the column of one checkpoint are left, and come back."""
    page = desk.show(report)
    whole = page.locator("#scores th:visible").count()
    pick(page, "score-filters", "task", "world inference")
    assert [sheet.get_attribute("data-task") for sheet in shown(page, "#scores details.sheet")] == ["world inference"]
    assert {row.get_attribute("data-task") for row in shown(page, "#scores tr[data-task]")} == {"world inference"}
    pick(page, "score-filters", "format", "instruct")
    assert {row.get_attribute("data-format") for row in shown(page, "#scores tr[data-format]")} == {"instruct", ""}
    pick(page, "score-filters", "checkpoint", "3.1M tokens")
    heads = {head.inner_text() for head in shown(page, "#scores thead th:not(:first-child)")}
    assert heads == {"3.1M tokens"}
    for by, words in (("task", "any task"), ("format", "any format"), ("checkpoint", "any checkpoint")):
        pick(page, "score-filters", by, words)
    page.locator("#scores details.sheet").evaluate_all("sheets => sheets.forEach(sheet => { sheet.open = false })")
    assert page.locator("#scores th:visible").count() == whole


def test_tokens_can_be_linear(desk: Opened, report: Path, book: ReportData) -> None:
    """On the linear axis dots stand in proportion to tokens and lines follow; the log axis comes back unchanged."""
    page = desk.show(report)
    before = page.locator("svg[data-values]").evaluate_all("charts => charts.map(chart => chart.outerHTML)")
    page.get_by_role("button", name="Scale: log").click()
    chart = page.locator("#findings .grid svg[data-values]").first
    tokens = sorted(row["tokens"] for row in book.series)
    dots = chart.locator("circle.dot.base").evaluate_all("dots => dots.map(dot => Number(dot.getAttribute('cx')))")
    places = dots[: len(tokens)]
    shares = [(place - places[0]) / (places[-1] - places[0]) for place in places]
    assert shares == pytest.approx([value / tokens[-1] for value in tokens], abs=0.002)
    stroke = chart.locator("path.stroke.base").first.get_attribute("d")
    assert [float(pair.split(",")[0]) for pair in stroke[1:].split("L")] == pytest.approx(places)
    assert chart.locator("text.scale").inner_html() == "pre-training tokens (linear scale)"
    assert page.evaluate("location.hash") == "#?scale=linear"
    page.get_by_role("button", name="Scale: linear").click()
    after = page.locator("svg[data-values]").evaluate_all("charts => charts.map(chart => chart.outerHTML)")
    assert after == before


def test_point_says_what_it_is_to_keyboard_mouse_and_finger(desk: Opened, browser: Any, report: Path) -> None:
    """Line, tokens, step, value and interval appear on focus and arrow keys, on hover and on a tap, and go away."""
    page = desk.show(report)
    tip, chart = page.locator("#tip"), page.locator("#findings .grid svg").first
    page.locator("#findings .grid svg").first.scroll_into_view_if_needed()
    page.keyboard.press("Tab")
    chart.focus()
    assert tip.is_visible()
    first = tip.inner_text()
    assert first.startswith("base, 0 tokens, step 0\n0.")
    page.keyboard.press("ArrowRight")
    assert tip.inner_text().startswith("base, 205k tokens, step 200\n")
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.keyboard.press("Tab")
    chart.locator(".dot.tuned").first.hover(force=True)
    assert tip.inner_text().startswith("tuned, ")
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    phone = Opened(browser, viewport={"width": 390, "height": 844}, has_touch=True, reduced_motion="reduce")
    small = phone.show(report)
    small.locator("#findings .grid svg").first.scroll_into_view_if_needed()
    small.locator("#findings .grid svg .dot.tuned").nth(2).tap(force=True)
    assert small.locator("#tip").inner_text().startswith("tuned, ")
    box = small.locator("#tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    small.close()


def test_kinds_of_change_are_counted_over_all_predictions(desk: Opened, report: Path, book: ReportData) -> None:
    """The counts beside the examples are those of every prediction, for any choice, and so is the table below."""
    page = desk.show(report)
    pick(page, "item-filters", "checkpoint", "any checkpoint")
    pick(page, "item-filters", "tuned", "world inference")
    pick(page, "item-filters", "format", "default")
    keys = ["checkpoint", "task", "split", "example_id"]
    rows = book.items.filter(pl.col("format") == "default")
    base = rows.filter(pl.col("tuned_on") == "none").select(*keys, "value")
    both = rows.filter(pl.col("tuned_on") == "world_inference").join(base, on=keys)
    truth = Counter(both.select(pl.col("value_right") > 0.5, pl.col("value") > 0.5).iter_rows())
    column = [page.locator("#item-totals tbody tr").nth(k).locator("td").first.inner_text() for k in range(4)]
    order = [(True, False), (False, True), (True, True), (False, False)]
    assert column == [f"{truth[kind]:,}" for kind in order]
    assert sum(truth.values()) == both.height > 1_000


def test_examples_are_filtered_by_kind_of_change(desk: Opened, report: Path, book: ReportData) -> None:
    """Every card left has a pair of that kind at that place, none is missing, and the page draws a few at a time."""
    page = desk.show(report)
    pick(page, "item-filters", "task", "world reading")
    pick(page, "item-filters", "split", "test set")
    pick(page, "item-filters", "kind", "right → wrong")
    wanted = {
        place[2]
        for place, kinds in kinds_by_place(book).items()
        if place[:2] == ("world_reading", "test") and place[3].endswith("@3000") and "lost" in kinds.values()
    }
    assert page.locator("#example-list article").count() == min(5, len(wanted))
    while page.locator("#example-more").is_visible():
        page.locator("#example-more").click()
    cards = page.locator("#example-list article p:first-child code:first-child").all_inner_texts()
    assert set(cards) == wanted
    assert set(page.locator("#example-list article > .scroll td.flow").all_inner_texts()) <= {
        "right → wrong", "right → wrong\nin this format only"
    }  # fmt: skip


def test_change_in_one_format_only(desk: Opened, report: Path, book: ReportData) -> None:
    """Cards left are those whose change happens in this format and in no other that was asked."""
    page = desk.show(report)
    pick(page, "item-filters", "only", "instruct")
    wanted = {
        place[2]
        for place, kinds in kinds_by_place(book).items()
        if place[3].endswith("@3000") and len(kinds) > 1
        and (mine := kinds.get("instruct")) in ("lost", "won") and list(kinds.values()).count(mine) == 1
    }  # fmt: skip
    assert wanted
    while page.locator("#example-more").is_visible():
        page.locator("#example-more").click()
    cards = page.locator("#example-list article p:first-child code:first-child").all_inner_texts()
    assert set(cards) == wanted
    told = page.locator("#example-list article > .scroll tbody tr").all_inner_texts()
    assert all("asked as instruct" in words and "in this format only" in words for words in told)


def test_examples_are_found_by_their_words(desk: Opened, report: Path) -> None:
    """Text search looks into prompts, answers and names, whatever their case, and says when nothing is left."""
    page = desk.show(report)
    page.locator("#item-search").fill("WORLD_FACTS-test-")
    texts = page.locator("#example-list article").all_inner_texts()
    assert texts
    assert all("world_facts-test-" in words for words in texts)
    page.locator("#item-search").fill("no such words")
    assert page.locator("#example-list article").count() == 0
    assert page.locator("#example-count").inner_text() == "No example on this page fits this choice."


def test_hostile_text_stays_text(desk: Opened, hostile: Path, tmp_path: Path) -> None:
    """Names, prompts, answers and statements full of markup run nothing and add nothing, whatever a reader opens."""
    careless = tmp_path / "careless.html"
    careless.write_text(f"<!doctype html><body><p>{' '.join(HOSTILE)}</p></body>", encoding="utf-8")
    assert desk.show(careless).evaluate("document.body.id") == "fired"
    desk.heard.clear()
    page = desk.show(hostile)
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    for select in page.locator("select").all():
        for place in range(min(3, select.locator("option").count())):
            select.select_option(index=place)
    page.locator("#item-search").fill("<script>")
    page.locator("#scale").click()
    page.locator("#findings .grid svg").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.body.id") == ""
    assert page.locator("script").count() == 2
    assert page.locator("img, iframe, object, embed, [onload], [onerror]").count() == 0
    hrefs = page.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert all(link.startswith("#") for link in hrefs)
    assert desk.heard == []
    assert desk.asked == [hostile.as_uri()]


def test_phone_needs_no_sideways_scrolling(browser: Any, report: Path, hostile: Path) -> None:
    """At 390 pixels, with everything unfolded, no page is wider than its frame; tables scroll within themselves."""
    phone = Opened(browser, viewport={"width": 390, "height": 844}, has_touch=True)
    for path in (report, hostile):
        page = phone.show(path)
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    phone.page.close()


def test_without_script_everything_is_readable(browser: Any, report: Path, book: ReportData) -> None:
    """With JavaScript off, findings, log charts, scores and first examples stand there, and no dead control does."""
    page = Opened(browser, java_script_enabled=False).show(report)
    assert shown(page, ".filters, #scale, #theme, #example-more, #item-live") == []
    text = page.locator("main").inner_text()
    assert all(finding.statement in text for finding in book.findings)
    assert "pre-training tokens (log scale)" in page.locator("#findings .grid svg").first.inner_html()
    assert len(shown(page, "#example-list article")) == 8
    assert "Right answer:" in text


def test_paper_has_every_finding_unfolded_and_no_control(desk: Opened, report: Path) -> None:
    """Printing unfolds all findings and hides what can only be clicked; afterwards the page is as it was."""
    page = desk.show(report)
    page.locator("details.finding").first.evaluate("finding => { finding.open = false }")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details.finding:not([open])").count() == 0
    assert shown(page, "nav, .filters, button, select, input") == []
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.finding:not([open])").count() == 1


def test_page_of_released_scores_works_alike(desk: Opened, tmp_path: Path) -> None:
    """The paper's page runs in silence; its findings are filtered, and its charts over tokens can be linear."""
    page = desk.show(write_released(judged(load([])), tmp_path))
    page.get_by_role("button", name="refuted", exact=True).click()
    verdicts = {card.get_attribute("data-verdict") for card in shown(page, "details.finding")}
    assert verdicts <= {"refuted"}
    page.get_by_role("button", name="Scale: log").click()
    assert page.locator("svg[data-values] text.scale").first.inner_html() == "pre-training tokens (linear scale)"
    assert desk.heard == []


def test_controls_have_names(desk: Opened, report: Path) -> None:
    """Every control, chart and scrolling region tells a screen reader what it is."""
    page = desk.show(report)
    page.locator("#findings .grid svg").first.hover()
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    nameless = """nodes => nodes.filter(node => !(node.ariaLabel || node.labels?.length ||
        (node.matches("button") && node.textContent) ||
        document.getElementById(node.getAttribute("aria-labelledby"))?.textContent)).map(node => node.outerHTML)"""
    for kind in ("combobox", "searchbox", "button", "application", "region"):
        found = page.get_by_role(kind)
        assert found.count(), kind
        assert found.evaluate_all(nameless) == []
    assert page.get_by_role("region", name="table", exact=True).count() == 0
