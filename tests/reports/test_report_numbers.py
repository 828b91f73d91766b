"""The numbers of a report are those of the API, in full; its counts lead to their sources."""

import math
import re

import pytest

import metaan
from metaan.evidence.citations import cite

from .conftest import COUNTS, SMALL, rows_of, trials_of


@pytest.fixture(scope="module")
def res():
    return metaan.glmm("PLO", trials_of("lesion"), **COUNTS)


def keys(page, name, *columns):
    return [[row[i][1] for i in columns] for row in rows_of(page, name)]


def test_pooled_numbers(lesion_page, res):
    shown, mean = res.back(), res.mean_rate
    assert keys(lesion_page, "pooled", 1, 2, 3) == [
        [shown.estimate, shown.ci_low, shown.ci_high],
        [mean.estimate, mean.ci_low, mean.ci_high],
        [None, shown.pi_low, shown.pi_high],
    ]
    (lead,) = lesion_page.all("p", class_="lead")
    rounded = [f"{100 * value:.1f}%" for value in (shown.estimate, shown.ci_low, shown.ci_high)]
    assert lead.text.startswith(f"{rounded[0]} (95% CI {rounded[1]} to {rounded[2]})")
    assert "1,056 of 1,897 lesions" in lead.text


def test_studies_and_their_sources(lesion_page, res):
    table, rows = res.studies(), trials_of("lesion")
    found = rows_of(lesion_page, "studies")
    assert [row[0][0] for row in found] == table["study"].tolist()
    exact = [[row[i][1] for i in (1, 2, 3, 4, 5, 6)] for row in found]
    names = ["events", "total", "rate", "rate_low", "weight"]
    wanted = zip(rows["year"], table[names].to_numpy(), strict=True)
    assert exact == [[float(year), *map(float, row)] for year, row in wanted]
    (body,) = lesion_page.all("table", id="table-studies")
    items = cite(rows, style="csl")
    dois = {item["id"]: item.get("DOI", "") for item in items}
    for row, (_, line) in zip(body.one("tbody").all("tr"), rows.iterrows(), strict=True):
        anchors = {link.attrs["href"] for link in row.all("a")}
        assert len(row.all("a")) == 2
        (anchor,) = anchors
        entry = lesion_page.one("li", id=anchor.removeprefix("#"))
        assert entry.text.startswith(line["study"])
        addresses = [link.attrs["href"] for link in entry.all("a")]
        assert line["url"].replace('"', "%22").split("#")[0] in addresses[-1]
        assert (f"https://doi.org/{dois[line['study_id']]}" in addresses) == bool(dois[line["study_id"]])


def test_heterogeneity(lesion_page, res):
    wanted = metaan.heterogeneity_interval(res)
    found = keys(lesion_page, "heterogeneity", 1, 2, 3)
    assert found == [list(map(float, row)) for row in wanted.to_numpy()]
    assert found[0][0] == res.tau2
    said = lesion_page.one("section", id="heterogeneity").text
    assert f"Wald Q = {res.Q:.2f}, df = {res.Q_df}, p < 0.001" in said


def test_sensitivity(lesion_page, res):
    refits, pulls = metaan.leave_one_out(res.back()), metaan.influence(res)
    columns = ["estimate", "ci_low", "tau2", "I2"]
    assert keys(lesion_page, "without", 1, 2, 3, 4) == refits[columns].to_numpy().tolist()
    columns = ["rstudent", "dffits", "cooks_d", "cov_ratio", "dfbetas"]
    assert keys(lesion_page, "influence-table", 1, 2, 3, 4, 5) == pulls[columns].to_numpy().tolist()
    varied = metaan.icc_sensitivity(trials_of("lesion"), cluster_size="median")
    columns = ["icc", "total", "estimate", "ci_low", "tau2"]
    assert keys(lesion_page, "icc", 0, 1, 2, 3, 4) == varied[columns].to_numpy().tolist()


def test_small_study_effects(lesion_page, res):
    found = metaan.small_study_effects(res)
    shown = rows_of(lesion_page, "tests")
    assert [[row[i][1] for i in (1, 2, 3)] for row in shown[: len(found.tests)]] == [
        [one.statistic, one.df, one.pvalue] for one in found.tests
    ]
    assert [row[1][0] for row in shown[len(found.tests) :]] == ["not run"] * len(found.excluded)


def test_multiverse(lesion_page):
    every = metaan.multiverse(trials_of("lesion"), **SMALL, progress=False)
    told = every.summary().iloc[0]
    columns = ["analyses", "lowest", "q25", "median", "q75", "highest"]
    assert keys(lesion_page, "analyses", 1, 2, 3, 4, 5, 6) == [[float(told[name]) for name in columns]]
    shares = [row[2] for row in keys(lesion_page, "importance", 0, 2, 3)]
    assert shares == every.importance()["share_estimate"].tolist()


def test_selection_conflicts_and_overlaps(lesion_page):
    rows = trials_of("lesion")
    story = metaan.explain(rows)
    counts = [(row[0][0], row[1][1]) for row in rows_of(lesion_page, "left-out")]
    assert counts == list(zip(story.counts["reason"], map(float, story.counts["rows"]), strict=True))
    out = story.rows[story.rows["reason"] == "overlaps"]
    assert [row[0][0] for row in rows_of(lesion_page, "shared")] == out["study"].tolist()
    found = metaan.conflicts("electrochemotherapy")
    mine = found[found["study_id"].isin(rows["study_id"]) & (found["outcome"] == "complete_response")]
    assert [row[2][1] for row in rows_of(lesion_page, "contradictions")] == mine["events"].tolist()


def test_the_page_says_what_the_result_must_not_be_read_without(lesion_page, res):
    limits = lesion_page.one("section", id="limitations").text
    for note in res.back().notes:
        assert str(note).replace("tau2", "τ²") in limits
    answer = lesion_page.one("section", id="question").text
    assert "Lesions are counted" in answer
    crude = res.effects.events.sum() / res.effects.total.sum()
    assert f"{100 * crude:.1f}%" in answer


def test_every_anchor_leads_somewhere_and_no_id_occurs_twice(lesion_page):
    ids = [node.attrs["id"] for node in lesion_page.walk() if "id" in node.attrs]
    assert len(ids) == len(set(ids))
    anchors = {node.attrs["href"] for node in lesion_page.walk() if node.attrs.get("href", "").startswith("#")}
    anchors |= {node.attrs["xlink:href"] for node in lesion_page.walk() if "xlink:href" in node.attrs}
    assert anchors
    assert {anchor.removeprefix("#") for anchor in anchors} <= set(ids)
    used = re.findall(r"url\(#([^)]+)\)", " ".join(str(node.attrs) for node in lesion_page.walk()))
    assert set(used) <= set(ids)
    drawings = lesion_page.all("svg")
    assert len(drawings) == 5
    for drawing in drawings:
        for name in drawing.attrs["aria-labelledby"].split():
            assert drawing.one(id=name).text


def test_subgroups_and_several_models(folder, trials):
    from helpers.pages import tree

    eff = metaan.effect_size("PLO", trials, **COUNTS)
    names = ["question", "data", "forest", "methods", "limitations"]
    sub = metaan.subgroups(eff, by=["a", "b"] * 3, method="DL", test="z")
    page = tree(metaan.report(sub, folder / "sub.html", sections=names, figures=False).read_text(encoding="utf-8"))
    back = sub.back()
    found = {row[0][0]: row[1][1] for row in rows_of(page, "pooled")}
    for name, group in [*back.groups.items(), ("All studies", back.overall)]:
        assert found[f"{name}: pooled rate (median study)"] == group.estimate
    assert f"df = {sub.Q_df}" in page.one("section", id="forest").text
    assert not math.isnan(sub.Q_between)
    models = {"GLMM": metaan.glmm("PLO", trials, **COUNTS), "Beta": metaan.beta_binomial(trials, **COUNTS)}
    page = tree(metaan.report(models, folder / "two.html", sections=names, figures=False).read_text(encoding="utf-8"))
    found = {row[0][0]: row[1][1] for row in rows_of(page, "pooled")}
    assert found["GLMM: pooled rate (median study)"] == models["GLMM"].back().estimate
    assert found["Beta: pooled rate"] == models["Beta"].back().estimate
    methods = page.one("section", id="methods").text
    assert "Beta, for comparison." in methods
    assert "the true rates as beta distributed" in methods
    assert "Of the model 'GLMM', the first of 2." in page.one("section", id="question").text
