"""What may be asked of a report, what it writes, and what it says of results of every kind."""

import os
import re

import numpy as np
import pandas as pd
import pytest
from helpers.pages import tree

import metaan
from metaan.errors import InputError, OptionError
from metaan.reports.build import SECTION
from metaan.reports.references import REFERENCES

from .conftest import COUNTS, HOSTILE

QUICK = ["question", "forest", "limitations"]


@pytest.fixture(scope="module")
def res(trials):
    return metaan.glmm("PLO", trials, **COUNTS)


def text_of(file):
    return file.read_text(encoding="utf-8")


def headings(file):
    return re.findall(r"^## (.+)$", text_of(file), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sections": "methds"}, "Did you mean 'methods'"),
        ({"sections": ["data", "data"]}, "names 'data' twice"),
        ({"sections": []}, "is empty"),
        ({"sections": 3}, "sections=3 is not known"),
        ({"level": 0.9}, "a result has the level that it was fitted at"),
        ({"title": 3}, "title=3 must be a text"),
        ({"question": b"x"}, "must be a text"),
        ({"multiverse": "yes"}, "multiverse='yes' must be True, False or what"),
        ({"figures": "all"}, "figures='all' must be True or False"),
    ],
)
def test_options_that_do_not_exist(res, tmp_path, options, message):
    with pytest.raises(OptionError, match=re.escape(message)):
        metaan.report(res, tmp_path / "x.html", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("x.pdf", "must end in .html"), ("x", "must end in"), ("no/x.html", "is no folder"), ("d.md", "is a folder")],
)
def test_paths_that_cannot_be_written(res, tmp_path, name, message):
    (tmp_path / "d.md").mkdir()
    with pytest.raises(OptionError, match=message):
        metaan.report(res, tmp_path / name)
    with pytest.raises(OptionError, match="is no path"):
        metaan.report(res, 3)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (lambda res: 3, InputError, "not int"),
        (lambda res: {}, OptionError, "is an empty dict"),
        (lambda res: pd.DataFrame({"a": [1]}), InputError, "The table has columns a"),
        (lambda res: metaan.leave_one_out(res), OptionError, "made from a result"),
        (lambda res: metaan.plot.forest_table(res), OptionError, "made from a result"),
        (lambda res: metaan.regress(res.effects, "~ year"), OptionError, "no single pooled effect"),
        (lambda res: {"a": res, "b": metaan.glmm("PLO", events=[1], total=[9])}, OptionError, "of the same studies"),
    ],
)
def test_what_is_no_result(res, tmp_path, given, error, message):
    with pytest.raises(error, match=message):
        metaan.report(given(res), tmp_path / "x.html", sections=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_sections_come_in_the_order_that_was_asked_for(res, tmp_path):
    file = metaan.report(res, tmp_path / "x.md", sections=["limitations", "question"])
    assert headings(file) == ["Limitations", "Question and answer"]
    file = metaan.report(res, tmp_path / "x.md", sections="versions")
    assert headings(file) == ["Software"]
    file = metaan.report(res, tmp_path / "x.md", multiverse=False)
    assert len(headings(file)) == len(SECTION.choices) + 1
    assert "Not made for this report." in text_of(file)


def test_title_and_question(res, tmp_path):
    file = metaan.report(res, tmp_path / "x.md", sections=QUICK)
    assert text_of(file).startswith("# Complete response per patient: electrochemotherapy\n")
    asked = "How frequent is complete response (no tumour left) per patient after electrochemotherapy"
    assert f"{asked} of skin metastases?" in text_of(file)
    file = metaan.report(res, tmp_path / "x.md", sections=QUICK, title=" Two\nlines ", question="Does it work?")
    assert text_of(file).startswith("# Two lines\n")
    assert "\nDoes it work?\n" in text_of(file)


def test_the_same_result_gives_the_same_file_and_no_other(res, tmp_path):
    given = tmp_path / "x.html"
    assert metaan.report(res, os.fspath(given), sections=QUICK) == given
    first = given.read_bytes()
    metaan.report(res, given, sections=QUICK)
    assert given.read_bytes() == first
    metaan.report(res, tmp_path / "y.md", sections=QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.html", "y.md"]


def test_drawings_of_markdown_stand_beside_it_under_its_name(res, tmp_path):
    file = metaan.report(res, tmp_path / "my report.md", sections=["forest", "small_study"], figures=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "my report-forest.svg", "my report-funnel.svg", "my report.md",
    ]  # fmt: skip
    assert "](my%20report-forest.svg)" in text_of(file)
    drawing = (tmp_path / "my report-forest.svg").read_text(encoding="utf-8")
    assert drawing.startswith("<?xml")
    assert "Forest plot of 6 studies" in drawing
    plain = metaan.report(res, tmp_path / "plain.html", sections=["forest"], figures=False)
    assert "<svg" not in text_of(plain)


def test_trials_are_fitted_as_the_readme_does(trials, res, tmp_path):
    mine = metaan.report(trials, tmp_path / "a.html", sections=QUICK)
    other = metaan.report(res.back(), tmp_path / "b.html", sections=QUICK)
    assert text_of(mine) == text_of(other)
    narrow = metaan.report(trials, tmp_path / "c.md", sections=QUICK, level=0.8)
    shown = metaan.glmm("PLO", trials, **COUNTS, level=0.8).back()
    assert f"(80% CI {100 * shown.ci_low:.1f}% to {100 * shown.ci_high:.1f}%)" in text_of(narrow)
    with pytest.raises(OptionError, match=r"Did you mean level=0\.95"):
        metaan.report(trials, tmp_path / "c.md", level=95)


def test_two_arms_are_fitted_as_odds_ratios(tmp_path):
    arms = {"events_t": [4, 6, 9], "total_t": [20, 30, 25], "events_c": [8, 9, 14], "total_c": [20, 31, 26]}
    file = metaan.report(pd.DataFrame(arms), tmp_path / "x.md", sections=["question", "methods"])
    shown = metaan.glmm("OR", **arms).back()
    assert f"**{shown.estimate:.3f}**" in text_of(file)
    assert "conditional on the events of both arms together, by the exact likelihood" in text_of(file)


def test_own_tables_lead_to_their_sources_too(tmp_path):
    mine = pd.DataFrame({"events": [1, 4], "total": [9, 8], "study": HOSTILE[:2], "doi": ["10.1000/182", ""]})
    page = tree(text_of(metaan.report(mine, tmp_path / "x.html", sections=["data", "conflicts"])))
    (cell, *_) = page.one("table", id="table-studies").all("td")
    assert cell.one("a").attrs["href"] == "#source-1"
    assert page.one("li", id="source-1").one("a").attrs["href"] == "https://doi.org/10.1000/182"
    assert "do not come from metaan.load" in page.one("section", id="conflicts").text
    assert len(page.one("table", id="table-studies").all("a")) == 2  # nothing is known of the second


METHODS = {
    "REML": (
        lambda eff: metaan.pool(eff),
        ["estimated by REML", "Hartung and Knapp", "Q-profile"], ["binomial, and"],
    ),
    "DL": (
        lambda eff: metaan.pool(eff, method="DL", test="z"),
        ["DerSimonian & Laird 1986", "normal distribution"], ["Hartung"],
    ),
    "CE": (lambda eff: metaan.pool(eff, method="CE", test="z"), ["one common effect"], ["random effects;"]),
    "beta": (
        lambda eff: metaan.beta_binomial(eff.data, **COUNTS),
        ["beta distributed", "fitted beta"], ["Hartung", "inverse"],
    ),
    "glmm": (
        lambda eff: metaan.glmm("PLO", eff.data, **COUNTS, ci="profile"),
        ["are by profile likelihood", "generalised linear mixed model"], ["inverse"],
    ),
    "nodes": (lambda eff: metaan.glmm("PLO", eff.data, **COUNTS, nodes=7), ["with 7 nodes"], ["as many as it takes"]),
    "bayes": (
        lambda eff: metaan.bayes(eff),
        ["prior of τ was half-normal(1)", "credible intervals have equal tails"], ["confidence intervals"],
    ),
    "robust": (
        lambda eff: metaan.robust(metaan.pool(eff), "study_id"),
        ["robust against dependence within study_id"], ["Each study was left out"],
    ),
    "sub": (
        lambda eff: metaan.subgroups(eff, by=list("ababab")),
        ["each with a τ² of its own"], ["binomial, and"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_say_what_was_done_and_nothing_else(trials, tmp_path, name):
    make, said, not_said = METHODS[name]
    res = make(metaan.effect_size("PLO", trials, **COUNTS))
    names = ["methods", "heterogeneity", "sensitivity"]
    page = tree(text_of(metaan.report(res, tmp_path / "x.html", sections=names, figures=False)))
    text = " ".join(p.text for p in page.one("section", id="methods").all("p"))
    for words in said:
        assert words in text
    for words in not_said:
        assert words not in text
    assert "multiverse" not in text
    cited = {link.attrs["href"] for link in page.one("section", id="methods").all("a")}
    assert cited == {f"#{entry.attrs['id']}" for entry in page.one("section", id="references").all("li")}


def test_the_options_table_tells_defaults_from_choices(trials, tmp_path):
    res = metaan.pool(metaan.effect_size("PLO", trials, **COUNTS), method="PM")
    page = tree(text_of(metaan.report(res, tmp_path / "x.html", sections=["methods"])))
    rows = {row.all("td")[0].text: [cell.text for cell in row.all("td")[1:3]] for row in page.one("tbody").all("tr")}
    assert rows["method"] == ["PM", "REML"]
    assert rows["test"] == ["hk", "hk"]


def test_references_are_complete():
    for text, doi in REFERENCES.values():
        assert re.search(r"\(\d{4}\)\. ", text)
        assert doi == "" or re.fullmatch(r"10\.\d{4,}/\S+", doi)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_few_studies_are_told_what_does_not_apply(tmp_path, k):
    res = metaan.pool(metaan.effects(np.linspace(0.1, 0.5, k), [0.02, 0.03, 0.05][:k]))
    page = tree(text_of(metaan.report(res, tmp_path / "x.html", multiverse=False, figures=False)))
    absent = {p.parent.attrs["id"] for p in page.all("p", class_="absent")}
    wanted = {1: {"heterogeneity", "sensitivity", "small_study"}, 2: {"small_study"}, 3: set()}[k]
    assert absent == wanted | {"multiverse", "conflicts"}
    marked = [item for item in page.one("nav").all("li") if "does not apply" in item.text]
    assert len(marked) == len(absent)


def test_the_checklist_leads_to_what_is_there(lesion_page):
    rows = lesion_page.one("table", id="table-prisma").one("tbody").all("tr")
    assert len(rows) == 42
    covered = [row for row in rows if row.all("a")]
    assert f"{len(covered)} of 42" in lesion_page.one("section", id="checklist").text
    assert all("not here" in row.text for row in rows if not row.all("a"))
    assert all(row.all("td")[-1].text for row in rows)


def test_versions_are_those_that_run(lesion_page):
    lines = lesion_page.one("table", id="table-software").one("tbody").all("tr")
    rows = {row.one("th").text: row.one("td").text for row in lines}

    assert rows["metaan"] == metaan.__version__
    assert rows["numpy"] == np.__version__
    assert f"metaan {metaan.__version__}" in lesion_page.one("header").text


def test_files_that_were_read_say_what_was_decided(tmp_path):
    (tmp_path / "mine.csv").write_text(
        "Author;Responders;Patients\nAdams;3;44\nBaker;9;30\nTotal;12;74\n", encoding="utf-8"
    )
    rows = metaan.read(tmp_path / "mine.csv")
    page = tree(text_of(metaan.report(rows, tmp_path / "x.html", sections=["question", "data"])))
    items = [item.text for item in page.one("section", id="data").all("li")]
    assert items == [str(note) for note in rows.attrs["notes"]]
    assert any("left out as totals" in item for item in items)


def test_sums_of_counts_are_told_from_pooled_rates_where_studies_differ(tmp_path):
    alike = metaan.glmm("PLO", events=[4, 5, 4], total=[20, 25, 20])
    assert "added up" not in text_of(metaan.report(alike, tmp_path / "x.md", sections=["question"]))
    apart = metaan.glmm("PLO", events=[1, 15, 18], total=[20, 25, 20])
    assert f"added up would give {3400 / 65:.1f}%" in text_of(
        metaan.report(apart, tmp_path / "x.md", sections="question")
    )
