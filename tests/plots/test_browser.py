"""Pages in a browser: Debian's chromium through playwright; nothing is downloaded."""

import numpy as np
import pandas as pd
import pytest
from helpers.browser import axe_source, launched, nothing_serious, watched
from helpers.figures import LONG, rates

import metaan
from metaan.plot import forest_table, funnel, funnel_table, to_html

DARK = {"color_scheme": "dark"}


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def tab(chromium):
    """A page of usual size, with what it asked of others and what it complained of."""
    said = []
    return watched(chromium.new_page(viewport={"width": 1100, "height": 800}), said), said


@pytest.fixture
def show(chromium, tab, tmp_path):
    """Show a page from a file; anything asked of a network or written to the console fails."""
    usual, said = tab
    said.clear()
    own = []

    def shown(html, **options):
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")
        if options:
            own.append(watched(chromium.new_page(**options), said))
        page = own[-1] if options else usual
        page.mouse.move(0, 0)
        page.goto(file.as_uri())
        return page

    yield shown
    for page in own:
        page.close()
    assert said == []


@pytest.fixture(scope="module")
def table():
    """Twelve studies in two groups, one of them with a source."""
    table = forest_table(metaan.subgroups(rates(12), by=["Topical", "Systemic", "Systemic"] * 4), blup=True)
    table["source"], table["doi"] = "Table 2", ""
    table.loc[table.index[table["row"] == "study"][0], "doi"] = "10.1000/182"
    return table


@pytest.fixture(scope="module")
def html(table):
    return str(to_html(table, title="Twelve studies"))


def column(page, name, group=None):
    """Texts of a column of the studies that are shown, from top to bottom."""
    names = [text.split(" ")[0] for text in page.locator("thead th").all_inner_texts()]
    body = "tbody" if group is None else f'tbody[data-group="{group}"]'
    cells = page.locator(f"{body} tr.study:visible > :nth-child({names.index(name) + 1})")
    return [text.split("\n")[0].split(" (")[0] for text in cells.all_inner_texts()]


def others(page):
    """Place and text of every row that is no study."""
    rows = page.locator("table.forest tr").evaluate_all("rows => rows.map(row => [row.className, row.innerText])")
    return [(i, *row) for i, row in enumerate(rows) if row[0] not in ("study", "study open", "")]


def test_numbers_sort_within_groups_and_the_pooled_rows_stay(show, html):
    page = show(html)
    before, order = others(page), column(page, "Study")
    button = page.get_by_role("button", name="Events")
    for wanted, up in (("ascending", 1), ("descending", -1), ("ascending", 1)):
        button.click()
        assert page.get_by_role("columnheader", name="Events").get_attribute("aria-sort") == wanted
        for group in (0, 1):
            events = [up * int(text) for text in column(page, "Events", group)]
            assert events == sorted(events)
        assert others(page) == before
    assert page.locator("[aria-sort]").count() == 1
    assert page.get_by_role("status").inner_text() == "12 of 12 studies shown. Sorted by Events, ascending."
    page.get_by_role("button", name="Reset").click()
    assert page.locator("[aria-sort]").count() == 0
    assert column(page, "Study") == order


def test_text_sorts_by_the_alphabet_of_the_language(show):
    names = ["Zorn", "Ärmel", "ärgern", "Study 10", "Study 9", "Čapek"]
    page = show(to_html(metaan.pool(rates(6, study=names)), lang="de"))
    page.get_by_role("button", name="Study ", exact=False).first.click()
    assert column(page, "Study") == ["ärgern", "Ärmel", "Čapek", "Study 9", "Study 10", "Zorn"]


def test_missing_values_stand_last_in_either_order(show):
    table = forest_table(metaan.pool(rates(5)), left={"Dose": [-3, np.nan, 20, -10, np.nan]})
    page = show(to_html(table))
    for wanted in (["−10", "−3", "20", "", ""], ["20", "−3", "−10", "", ""]):
        page.get_by_role("button", name="Dose").click()
        assert column(page, "Dose") == wanted


def test_the_search_box_and_the_choice_of_a_group_hide_studies(show, html):
    page = show(html)
    pooled = page.locator("tr.pooled").last.inner_text()
    page.get_by_label("Study", exact=True).fill("MULLER")
    assert {text.split()[0] for text in column(page, "Study")} == {"Müller"}
    shown = len(column(page, "Study"))
    assert page.get_by_role("status").inner_text() == f"{shown} of 12 studies shown."
    page.get_by_label("Study", exact=True).fill("")
    page.get_by_label("Group").select_option("Systemic")
    assert page.get_by_role("status").inner_text() == "8 of 12 studies shown."
    assert page.locator("tr.group:visible").count() == 1
    assert page.locator("tr.group:visible").all_inner_texts()[0].split() == ["Systemic"]
    assert page.locator("tr.pooled").last.inner_text() == pooled
    assert page.get_by_text("The pooled effect is of all studies.").is_visible()
    page.get_by_role("button", name="Reset").click()
    assert page.get_by_role("status").inner_text() == "12 of 12 studies shown."
    assert page.get_by_label("Group").input_value() == ""


def test_everything_can_be_done_by_keyboard(show, html):
    page = show(html)
    focused = "document.activeElement.textContent"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Reset"
    page.keyboard.press("Tab")  # the table, which scrolls by the arrow keys
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("[aria-sort=ascending]").inner_text().startswith("Study")
    page.get_by_role("button", name="Reset").focus()
    page.keyboard.press("Enter")
    first = page.locator("tr.study").first
    while page.evaluate(focused) != "Müller 1990":
        page.keyboard.press("Tab")
    details = first.locator(".details")
    assert details.is_visible()
    assert first.get_by_role("button").get_attribute("aria-expanded") == "true"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.href") == "https://doi.org/10.1000/182"
    assert details.is_visible()
    page.keyboard.press("Escape")
    assert not details.is_visible()
    assert page.evaluate(focused) == "Müller 1990"
    page.keyboard.press("ArrowDown")
    assert not details.is_visible()
    assert page.locator(".details:visible").count() == 1
    page.keyboard.press("Enter")
    assert page.locator(".details:visible").count() == 0


def test_details_follow_the_pointer_stay_in_sight_and_can_be_kept(show, html):
    page = show(html)
    for i in (0, 11):
        page.locator("tr.study").nth(i).hover()
        box = page.locator(".details:visible").bounding_box()
        assert min(box["x"], box["y"]) >= 0
        assert box["x"] + box["width"] <= 1100
        assert box["y"] + box["height"] <= 800
    page.locator("tr.study").first.get_by_role("button").click()
    page.locator("tr.study").nth(3).hover()
    assert "10.1000/182" in page.locator(".details:visible").inner_text()
    page.locator("h1").click()
    assert page.locator(".details:visible").count() == 0


def test_shaded_and_plain_rows_show_that_the_pointer_is_on_them(show):
    page = show(to_html(metaan.pool(rates(2)), style="jama"), viewport={"width": 400, "height": 700})
    grounds = "row => [...row.cells].map(cell => getComputedStyle(cell).backgroundColor)"
    plain, shaded = page.locator("tr.study").all()
    before = [row.evaluate(grounds) for row in (plain, shaded)]
    assert len(set(before[1])) == 1
    assert not set(before[0]) & set(before[1])
    after = set()
    for row in (plain, shaded):
        row.hover()
        after.update(row.evaluate(grounds))
        page.mouse.move(0, 0)  # the details stand over the next row
    assert len(after) == 1
    assert not after & {*before[0], *before[1]}


def test_marks_stand_over_the_axis_and_their_lines_go_on_from_row_to_row(show, html):
    page = show(html)

    def boxes(selector):
        of = "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right, box.top, box.bottom])"
        return np.array(page.locator(selector).evaluate_all(of)).T

    left, right, *_ = boxes(".marks, .ticks")
    assert max(np.ptp(left), np.ptp(right)) < 0.5
    _, _, top, bottom = boxes(".marks")
    np.testing.assert_allclose(top[1:], bottom[:-1], atol=0.6)
    np.testing.assert_allclose([top, bottom], boxes("tbody tr")[2:], atol=0.6)


@pytest.mark.parametrize("width", [400, 1100])
def test_no_page_is_wider_than_the_window(show, width):
    eff = rates(24, study=[f"{LONG} {i}" for i in range(24)])
    page = show(
        to_html(metaan.subgroups(eff, by=[f"Group {i % 12}" for i in range(24)])),
        viewport={"width": width, "height": 700},
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("tr.study").first.get_by_role("button").click()
    box = page.locator(".details:visible").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert page.evaluate(  # nothing stands over the details
        "([x, y]) => document.elementFromPoint(x, y).closest('.details') !== null", [box["x"] + 20, box["y"] + 20]
    )


def test_themes_motion_and_print(show, html):
    page = show(html, **DARK, reduced_motion="reduce")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(21, 24, 28)"
    page.locator("tr.study").first.hover()
    assert page.locator(".details:visible").evaluate("one => getComputedStyle(one).transitionDuration") == "0s"
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert not page.get_by_role("button", name="Reset").is_visible()
    assert page.locator(".details:visible").count() == 0


def test_a_page_without_scripts_shows_all_and_its_details(show, html):
    page = show(html, java_script_enabled=False)
    assert page.locator("tr.study:visible").count() == 12
    assert not page.get_by_label("Study", exact=True).is_visible()
    page.locator("tr.study").first.hover()
    assert page.locator(".details:visible").count() == 1


def test_the_policy_stops_what_asks_for_a_network(show, tab, html):
    page = show(html)
    blocked = page.evaluate(
        """async () => {
          const seen = [];
          document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
          const image = document.createElement("img");
          image.onload = () => seen.push("loaded");
          image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=";
          await new Promise((resolve) => setTimeout(resolve, 50));
          return seen; }"""
    )
    assert blocked == ["img-src"]
    assert "Content Security Policy" in tab[1].pop()


def test_a_frame_of_a_notebook_sorts(show, table):
    page = show(f"<!DOCTYPE html><title>Notebook</title>{to_html(table)._repr_html_()}")
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="Events").click()
    assert frame.locator("[aria-sort=ascending]").count() == 1


def test_axe_finds_nothing_serious(show):
    axe = axe_source()
    eff = rates(12)
    rob = pd.DataFrame({"study": eff.study, "D1": ["low", "high", "some concerns", "no information"] * 3})
    res = metaan.subgroups(eff, by=["A", "B", "B"] * 4)
    drawing = to_html(funnel(res.overall), table=funnel_table(res.overall))
    for html, options in ((to_html(res, rob=rob, style="jama"), {}), (drawing, {}), (to_html(res, style="bmj"), DARK)):
        page = show(html, **options)
        page.locator("tr.study button, summary").first.click()
        nothing_serious(page, axe)
