"""What the site makes of pages and docstrings: links of names and DOIs, the index of names, the gallery's frames."""

import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import metaan

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sphinx = pytest.importorskip("sphinx")
pytest.importorskip("sphinx_gallery")
pytest.importorskip("numpydoc")
nodes = pytest.importorskip("docutils.nodes")


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))


def page_with(*children):
    from docutils.utils import new_document

    document = new_document("page")
    document += children
    return document


APP = SimpleNamespace(env=SimpleNamespace(docname="start"))


def test_a_name_becomes_a_link():
    import site_names

    assert site_names.name_in("metaan.glmm") == "metaan.glmm"
    assert site_names.name_in('metaan.glmm("PLO", ...)') == "metaan.glmm"
    assert site_names.name_in("metaan.plot.forest") == "metaan.plot.forest"
    for other in ("metaan", "metaan pool", "metaan.glmm and", "res.back()", "metaan.hazard_ratio_from_..."):
        assert site_names.name_in(other) is None
    page = page_with(nodes.paragraph("", "", nodes.literal("", "metaan.pool"), nodes.literal("", "res.back()")))
    site_names.link_names(APP, page)
    (link,) = page.findall(sphinx.addnodes.pending_xref)
    assert link["reftarget"] == "metaan.pool"
    assert link.astext() == "metaan.pool"
    assert not link["refwarn"]


def test_a_short_name_is_linked_beside_a_long_one_in_a_table():
    import site_names

    def cell(*codes):
        return nodes.entry("", nodes.paragraph("", "", *(nodes.literal("", code) for code in codes)))

    page = page_with(
        cell("metaan.small_study_effects", "egger", "yi"), cell("egger"), *cell("metaan.pool", "begg").children
    )
    site_names.link_names(APP, page)
    linked = [link["reftarget"] for link in page.findall(sphinx.addnodes.pending_xref)]
    assert linked == ["metaan.small_study_effects", "metaan.egger", "metaan.pool"]


def test_links_and_titles_are_left_alone():
    import site_names

    title = nodes.title("", "", nodes.literal("", "metaan.pool"))
    link = nodes.paragraph("", "", nodes.reference("", "", nodes.literal("", "metaan.pool"), refuri="x"))
    page = page_with(nodes.section("", title, link))
    site_names.link_names(APP, page)
    assert not list(page.findall(sphinx.addnodes.pending_xref))


PAGES = [page for page in DOCS.rglob("*.md") if not {"_build", "generated", "examples"} & set(page.parts)]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_on_a_page_exists(page):
    import site_names

    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`([^`\n]+)`", text):
        found = metaan
        for part in (site_names.name_in(code) or "metaan").split(".")[1:]:
            found = getattr(found, part)


def test_the_index_shows_every_name():
    import site_names

    source = [(DOCS / "api/index.md").read_text(encoding="utf-8")]
    site_names.every_name(SimpleNamespace(), "api/index", source)
    shown = set(re.findall(r"^   ([\w.]+)$", source[0], re.MULTILINE))
    assert set(metaan.__all__) - {"errors", "plot", "recipes"} <= shown
    assert {f"plot.{name}" for name in metaan.plot.__all__} <= shown
    assert "## [Pooling by inverse variance](pool.md)" in source[0]
    assert site_names.HERE not in source[0]
    site_names.every_name(SimpleNamespace(), "start", other := [site_names.HERE])
    assert other == [site_names.HERE]


def test_references_become_a_list_with_links():
    import site_docstrings

    lines = [
        "Text.",
        "",
        "References",
        "----------",
        "A B (2001). Long title, that goes",
        "on. J 1:2. doi:10.1000/x.",
        "",
    ]
    lines += ["C D (2002). K 3:4.", "", "Examples", "--------", ">>> 1"]
    assert site_docstrings.references_as_list(lines) == [
        "Text.",
        "",
        "References",
        "----------",
        "- A B (2001). Long title, that goes",
        "  on. J 1:2. `doi:10.1000/x <https://doi.org/10.1000/x>`__.",
        "",
        "- C D (2002). K 3:4.",
        "",
        "Examples",
        "--------",
        ">>> 1",
    ]
    assert site_docstrings.with_links("See doi:10.1136/bmj.322.7300.1479.") == (
        "See `doi:10.1136/bmj.322.7300.1479 <https://doi.org/10.1136/bmj.322.7300.1479>`__."
    )
    angled = site_docstrings.with_links("doi:10.1002/(SICI)1097:8<857::A>3.0.CO;2-E")
    assert (
        angled
        == r"`doi:10.1002/(SICI)1097:8\<857::A>3.0.CO;2-E <https://doi.org/10.1002/%28SICI%291097%3A8%3C857%3A%3AA%3E3.0.CO%3B2-E>`__"
    )


def test_recipes_are_listed_with_their_settings():
    import site_docstrings

    text = "\n".join(site_docstrings.recipes_as_list(metaan.recipes.RECIPES))
    for name, recipe in metaan.recipes.RECIPES.items():
        assert f'``"{name}"``: {recipe.program}' in text
        for option, value in recipe.pool.items():
            assert f'``{option}="{value}"``' in text
    assert "{" not in text


def test_a_frame_has_the_title_of_its_page_and_grows():
    import gallery_hooks

    shown = gallery_hooks.frame("<title>A &amp; B</title>\n<p>", "page.html")
    assert '<iframe title="A &amp; B"' in shown
    assert "&lt;title&gt;A &amp;amp; B&lt;/title&gt;&#10;&lt;p&gt;" in shown
    assert "scrollHeight" in shown
    assert 'title="page.html"' in gallery_hooks.frame("<p>", "page.html")


def test_sentences_wrap_and_rows_do_not():
    import gallery_hooks

    assert gallery_hooks.are_sentences("word " * 60)
    assert gallery_hooks.are_sentences("a  b\nc  d")
    assert not gallery_hooks.are_sentences("cell   cell   " * 20)
    blocks = [nodes.literal_block("", "word " * 60) for _ in range(2)]
    blocks[0]["classes"].append("sphx-glr-script-out")
    gallery_hooks.wrap_sentences(APP, page_with(*blocks))
    assert [block["classes"] for block in blocks] == [["sphx-glr-script-out", "wraps"], []]


def test_thumbnails_say_what_they_show():
    import gallery_hooks

    title = '<div class="sphx-glr-thumbnail-title">L&#39;Abbé plot</div>'
    image = nodes.image(uri="/examples/images/thumb/x_thumb.png")
    gallery_hooks.say_thumbnails(APP, page_with(image, nodes.paragraph("", "x"), nodes.raw("", title, format="html")))
    assert image["alt"] == "Thumbnail: L'Abbé plot"


def test_prompts_are_not_copied(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("MPLBACKEND", "Agg")  # which conf.py takes away
    conf = runpy.run_path(str(DOCS / "conf.py"))
    assert conf["copybutton_prompt_is_regexp"]
    assert re.match(conf["copybutton_prompt_text"], "$ metaan pool")
    assert re.match(conf["copybutton_prompt_text"], ">>> 1")
    assert not re.match(conf["copybutton_prompt_text"], "metaan pool")
    assert conf["smartquotes"] is False


def test_pages_of_the_gallery_are_named_apart():
    titles = [
        re.findall(r"^# (.*)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)[0]
        for page in ("figures.md", "api/plot.md")
    ]
    titles.append((ROOT / "examples/gallery/GALLERY_HEADER.rst").read_text(encoding="utf-8").splitlines()[0])
    assert len(set(titles)) == 3
    scripts = sorted((ROOT / "examples/gallery").glob("*.py"))
    named = [script.read_text(encoding="utf-8").splitlines()[1] for script in scripts]
    assert any(title.startswith("Funnel plot:") for title in named)
    assert [title for title in named if ":" not in title] == []
