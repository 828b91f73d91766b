"""Reports in a browser: no network, tables that sort, anchors, phones, themes, print, accessibility."""

import io
import itertools
import re

import numpy as np
import pytest
from helpers.browser import axe_source, launched, nothing_serious, watched
from helpers.figures import rates
from PIL import Image

import metaan
from metaan.plot import forest
from metaan.reports.drawings import figure, pieces


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@pytest.fixture
def show(chromium):
    """Show a file; anything asked of a network or written to the console fails."""
    said, pages = [], []

    def shown(file, **options):
        page = watched(chromium.new_page(**({"viewport": {"width": 1280, "height": 900}} | options)), said)
        pages.append(page)
        page.goto(file.as_uri())
        return page

    yield shown
    for page in pages:
        page.close()
    assert said == []


def column(page, table, place):
    return page.locator(f"#{table} tbody tr > :nth-child({place + 1})").all_inner_texts()


def test_tables_sort_by_number_and_by_name(show, lesion_file):
    page = show(lesion_file)
    heading = page.locator("#table-studies thead th").nth(2)
    for wanted, up in (("ascending", 1), ("descending", -1)):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == wanted
        events = [up * int(text.replace(",", "")) for text in column(page, "table-studies", 2)]
        assert events == sorted(events)
        assert page.locator("#status").inner_text().endswith(f"Sorted by Events, {wanted}.")
    page.locator("#table-studies").get_by_role("button", name="Study").click()
    assert column(page, "table-studies", 0) == sorted(column(page, "table-studies", 0))
    assert page.locator("#table-studies [aria-sort]").count() == 1
    assert page.locator("#table-without [aria-sort]").count() == 0


def test_tables_sort_by_keyboard(show, lesion_file):
    page = show(lesion_file)
    page.locator("#table-without").get_by_role("button").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Rate"
    page.keyboard.press("Enter")
    rates = [float(text.removesuffix("%")) for text in column(page, "table-without", 1)]
    assert rates == sorted(rates)
    page.keyboard.press("Space")
    assert page.locator("#table-without [aria-sort=descending]").count() == 1


def test_every_anchor_leads_to_what_can_be_seen(show, lesion_file):
    page = show(lesion_file)
    anchors = page.eval_on_selector_all("a[href^='#']", "all => [...new Set(all.map(one => one.getAttribute('href')))]")
    assert len(anchors) > 30
    for anchor in anchors:
        box = page.locator(f"[id='{anchor[1:]}']").bounding_box()
        assert box is not None, anchor
    page.locator("#table-studies a").first.click()
    assert page.evaluate("document.querySelector(':target').textContent").startswith("Belehradek 1993")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_the_window(show, lesion_file, hostile_file, width):
    for file in (lesion_file, hostile_file):
        page = show(file, viewport={"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = page.eval_on_selector_all(
            "p:not(.away), li, td, th", "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert min(sizes) >= 12
        drawn = page.locator("#figure-forest svg")
        shrunk = drawn.bounding_box()["width"] / float(drawn.get_attribute("width").removesuffix("pt"))
        assert 8 * shrunk >= 8.9  # text of 8 points, in pixels


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("width", [390, 688, 1280])
def test_names_of_rows_are_not_broken_within_short_words(show, lesion_file, width, media):
    page = show(lesion_file, viewport={"width": width, "height": 900})
    page.emulate_media(media=media)
    broken = page.evaluate(
        """() => [...document.querySelectorAll("tbody th")].filter(one => {
            const lines = (() => {
              const range = document.createRange(); range.selectNodeContents(one);
              return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size })();
            return one.textContent.split(/[\\s-]+/).length < lines }).map(one => one.textContent)"""
    )
    assert broken == []


def test_print_shows_everything_on_white(show, lesion_file):
    page = show(lesion_file, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(21, 24, 28)"
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 less its margins
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.outerHTML.slice(0, 200))"
    assert page.eval_on_selector_all(".window", wide) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_a_page_without_scripts_shows_all_and_has_no_dead_buttons(show, lesion_file):
    page = show(lesion_file, java_script_enabled=False)
    assert page.locator("#table-studies tbody tr:visible").count() == 16
    assert page.locator("button").count() == 0


def test_axe_finds_nothing_serious(show, lesion_file, hostile_file):
    axe = axe_source()
    phone = {"viewport": {"width": 390, "height": 844}}
    for file, options in ((lesion_file, {}), (lesion_file, {"color_scheme": "dark"}), (hostile_file, phone)):
        page = show(file, **options)
        nothing_serious(page, axe)


def test_hostile_names_run_nothing(show, hostile_file):
    page = show(hostile_file)
    page.locator("#table-studies").get_by_role("button").first.click()
    assert page.locator("script").count() == 1
    assert page.locator("b, i, img").count() == 0
    assert metaan.__version__ in page.locator("header").inner_text()


def edges(window, at):
    """How dark the left and right edges of a scrolling box are beside its ground, scrolled to a place."""
    window.evaluate("(one, at) => { one.scrollLeft = at }", at)
    pixels = np.asarray(Image.open(io.BytesIO(window.screenshot())).convert("L"), dtype=float)
    ground = np.median(pixels)
    return [abs(np.median(pixels[:, x]) - ground) for x in (1, -2)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["#figure-forest .window", ".window:has(#table-choices)"])
def test_a_shade_shows_which_side_scrolls(show, lesion_file, name, scheme):
    window = show(lesion_file, viewport={"width": 390, "height": 844}, color_scheme=scheme).locator(name)
    left, right = edges(window, 0)
    assert left < 3 < 40 < right
    left, right = edges(window, 9999)
    assert right < 3 < 40 < left


def test_a_box_that_hides_nothing_has_no_shade(show, lesion_file):
    page = show(lesion_file)
    for name in ("#figure-forest .window", ".window:has(#table-choices)"):
        assert max(edges(page.locator(name), 0)) < 3


def test_sentences_in_a_table_have_room_on_a_phone(show, lesion_file):
    page = show(lesion_file, viewport={"width": 390, "height": 844})
    for name in ("choices", "tests"):
        cells = page.eval_on_selector_all(
            f"#table-{name} td:last-child", "all => all.map(one => [one.textContent.length, one.clientWidth])"
        )
        assert max(length for length, _ in cells) > 60
        assert min(width for _, width in cells) > 180
    page.emulate_media(media="print")
    assert page.locator("#table-choices thead th").last.evaluate("one => getComputedStyle(one).minWidth") == "0px"


@pytest.fixture(scope="module")
def tall_file(folder):
    eff = rates(60)
    res = metaan.glmm("PLO", events=eff.events, total=eff.total, study=eff.study)
    return metaan.report(res, folder / "tall.html", multiverse=False)


def test_a_drawing_taller_than_a_page_is_printed_in_pieces_of_readable_size(show, tall_file):
    page = show(tall_file)
    assert page.locator("table.pieces:visible").count() == 0
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 less its margins
    page.emulate_media(media="print")
    assert page.locator("table.pieces:visible").count() == 2  # all studies, and without each
    heights = page.eval_on_selector_all(
        "#figure-forest tbody svg", "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert max(heights) < 300
    assert 900 < sum(heights) < 1300
    (width,) = page.eval_on_selector_all("#figure-forest table", "all => all.map(one => one.clientWidth)")
    drawing = page.locator("#figure-forest .drawing")
    assert drawing.evaluate("one => [one.clientWidth, one.clientHeight]") == [0, 0]
    natural = float(drawing.locator("svg").get_attribute("width").removesuffix("pt"))
    assert 8 * width / natural * 72 / 96 > 6.8  # points, of text of 8
    heading = page.locator("#figure-forest thead span")
    assert heading.all_inner_texts() == ["Study", "Events", "Total", "Rate, % (95% CI)", "Weight, %"]
    for said, text in zip(heading.all(), ("Study", "Events", "Total", "Rate, %", "Weight, %"), strict=True):
        where = said.bounding_box()
        assert 0 <= where["x"] < where["x"] + where["width"] <= 688, text


def test_paragraphs_and_items_stay_in_one_piece_in_print(show, lesion_file):
    page = show(lesion_file)
    page.emulate_media(media="print")
    kept = page.eval_on_selector_all("p:not(.away), li", "all => all.map(one => getComputedStyle(one).breakInside)")
    assert set(kept) == {"avoid"}


def test_pieces_of_a_drawing_hold_all_of_it_and_cut_no_text():
    drawn = figure(forest(metaan.pool(rates(60))), "forest", "Forest plot.")
    found = pieces(drawn)
    views = [tuple(map(float, view.split())) for view in found.views]
    _, _, width, height = map(float, re.search(r'viewBox="([^"]+)"', drawn.svg)[1].split())
    assert all(x == 0 and wide == pytest.approx(width, abs=0.01) for x, _, wide, _ in views)
    for (_, start, _, high), (_, following, _, _) in itertools.pairwise(views):
        assert start + high == pytest.approx(following, abs=0.02)
    assert views[-1][1] + views[-1][3] == pytest.approx(height, abs=0.02)
    baselines = [float(y) for y in re.findall(r'<text [^>]* y="([\d.]+)"', drawn.svg)]
    cuts = [start for _, start, _, _ in views]
    assert len(cuts) > 8
    assert not [(cut, y) for cut in cuts for y in baselines if y - 7 < cut < y + 2]
    assert sum(y < cuts[0] for y in baselines) == found.heading.count("<span") == 5


@pytest.mark.parametrize("k", [12, 40])
def test_a_drawing_that_a_page_holds_is_not_cut(k):
    assert pieces(figure(forest(metaan.pool(rates(k))), "forest", "Forest plot.")) is None


def test_a_figure_without_rows_is_never_cut():
    drawn = figure(metaan.plot.baujat(metaan.pool(rates(12))), "baujat", "Baujat plot.")
    assert "data-cuts" not in drawn.svg
    assert pieces(drawn) is None
