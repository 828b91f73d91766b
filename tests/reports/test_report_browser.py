"""Reports in a browser: no network, tables that sort, anchors, phones, themes, print, accessibility."""

import pytest
from helpers.browser import axe_source, launched, nothing_serious, watched

import metaan


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
