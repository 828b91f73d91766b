"""No name of a study can become markup, in HTML, in SVG or in Markdown; no other file is touched."""

import re

import pytest
from helpers.pages import tree

import metaan

from .conftest import HOSTILE, rows_of

TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "p", "nav", "h2", "ol", "li", "span", "main",
    "section", "div", "table", "thead", "tbody", "tr", "th", "td", "ul", "strong", "figure", "figcaption", "pre",
    "code",    "script", "svg", "g", "path", "defs", "use", "text", "tspan", "clippath", "rect", "desc",
}  # fmt: skip


@pytest.fixture(scope="module")
def page(hostile_file):
    return tree(hostile_file.read_text(encoding="utf-8"))


def flat(text):
    return " ".join(text.split())


def test_names_are_text_in_every_table(page):
    for name in ("studies", "without", "influence-table"):
        assert [row[0][0] for row in rows_of(page, name)] == [flat(name) for name in HOSTILE]


def test_the_page_has_no_element_and_no_attribute_that_names_brought(page):
    tags = {node.tag for node in page.walk()} - {"root"}
    assert tags <= TAGS
    assert len(page.all("script")) == 1
    assert not [name for node in page.walk() for name in node.attrs if name.startswith("on")]
    links = {node.attrs["href"] for node in page.all("a")}
    assert all(link.startswith(("#", "https://")) for link in links)
    assert page.one("h1").text == "Title </title><script>alert(3)</script>"
    assert "<i>Why?</i>" in page.one("section", id="question").text


def test_drawings_name_the_studies_as_text(page):
    drawing = page.one("figure", id="figure-forest").one("svg")
    said = [node.text for node in drawing.all("text")]
    for name in HOSTILE:
        assert any(flat(name)[:12] in text for text in said), name


def test_nothing_asks_for_a_network(hostile_file):
    text = hostile_file.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"<(?:link|img|iframe|object|embed|image)\b|@import|url\((?!#)", text)
    assert not re.search(r'\bsrc="', text)


def test_markdown_says_names_and_no_markup(folder, hostile_result):
    markdown = pytest.importorskip("markdown_it")
    names = ["question", "data", "sensitivity", "code"]
    options = {"title": "a | <b>`c`</b>", "question": "# no\n\n- x", "sections": names}
    file = metaan.report(hostile_result, folder / "hostile.md", **options)
    text = file.read_text(encoding="utf-8")
    made = markdown.MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).render(text)
    shown = tree(made)
    assert shown.one("h1").text == "a | <b>`c`</b>"
    assert {node.tag for node in shown.walk()} - {"root"} <= {
        "h1", "h2", "p", "ol", "ul", "li", "a", "strong", "table", "thead", "tbody", "tr", "th", "td", "pre", "code",
    }  # fmt: skip
    studies = shown.all("table")[0]
    body = [[cell.text for cell in row.all("td")] for row in studies.one("tbody").all("tr")]
    assert [row[0] for row in body] == [flat(name) for name in HOSTILE]
    assert {len(row) for row in body} == {len(studies.all("th"))}
    assert all(link.attrs["href"].startswith(("#", "https://")) for link in shown.all("a"))
    (code,) = shown.all("pre")
    space = {}
    exec("".join(code.one("code").texts), space)
    assert space["res"].effects.study == tuple(HOSTILE)


def test_html_in_markdown_is_only_anchors(folder, hostile_result):
    file = metaan.report(hostile_result, folder / "anchors.md", sections=["data", "sensitivity", "limitations"])
    outside = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.sub(r'<a id="[\w-]+"></a>', "", outside).count("<") == 0


def test_a_name_with_an_address_is_no_link_unless_it_is_one_of_the_web(folder, trials):
    rows = trials.copy()
    rows["url"] = ["javascript:alert(1)", 'https://example.org/a b"><script>', "data:text/html,x", *rows["url"][3:]]
    file = metaan.report(rows, folder / "addresses.html", sections=["data"])
    shown = tree(file.read_text(encoding="utf-8"))
    assert all(link.attrs["href"].startswith(("#", "https://", "http://")) for link in shown.all("a"))
    assert len(shown.all("script")) == 1
