"""The page of a forest plot says what the table says; no text can become markup; nothing asks for a network."""

import base64
import hashlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers.figures import effects, rates
from helpers.pages import tree

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, forest, forest_table, funnel, funnel_table, to_html
from metaan.plot.axis import make_axis
from metaan.plot.html_colours import contrast, properties
from metaan.plot.style import STYLE, current_style


@pytest.fixture(scope="module")
def grouped():
    eff = rates(12)
    return metaan.subgroups(eff, by=["A", "B", "B"] * 4)


def share(value):
    return float(value.removesuffix("%")) / 100


def test_rows_and_their_order_are_those_of_the_table(grouped):
    table = forest_table(grouped)
    page = tree(to_html(table))
    rows = page.one("table", class_="forest").all("tr")
    shown = [row for row in rows if row.attrs.get("class")]
    body = table[~table["row"].isin(["statistics", "note"])]
    assert [row.attrs["class"].split()[0] for row in shown] == body["row"].tolist()
    labels = [(row.all(class_="label")[0].all("button") or row.all(class_="label"))[0].text for row in shown]
    assert labels == body["study"].tolist()
    under = page.one(class_="statistics").all("p") + page.one(class_="notes").all("p")
    assert [line.text for line in under] == table.loc[table["row"].isin(["statistics", "note"]), "study"].tolist()
    assert page.one("caption").text == table.attrs["alt"]
    assert [body.attrs.get("data-group") for body in page.all("tbody")] == ["0", "1", None]


def test_numbers_are_those_of_the_table(grouped):
    table = forest_table(grouped)
    studies = table[table["row"] == "study"].reset_index(drop=True)
    rows = tree(to_html(table)).all("tr", class_="study")
    for row, (_, line) in zip(rows, studies.iterrows(), strict=True):
        cells = row.all("td")
        keys = [float(cell.attrs["data-key"]) for cell in cells if "data-key" in cell.attrs]
        assert keys == [line["events"], line["total"], line["estimate"], line["weight"]]
        assert cells[0].text == f"{line['events']:.0f}"
        rate, low, high = (100 * line[name] for name in ("estimate", "low", "high"))
        assert cells[3].text == f"{rate:.1f} ({low:.1f}–{high:.1f})"
        details = row.one(class_="details").text
        assert f"Counts {line['events']:.0f} of {line['total']:.0f}" in details
        assert f"Rate {rate:.1f}% (95% CI {low:.1f}–{high:.1f}%)" in details
        assert f"Weight {line['weight']:.1f}%" in details


@pytest.mark.parametrize("scale", ["rate", "ratio", "logit"])
def test_marks_stand_where_the_table_says(scale):
    eff = effects(12) if scale == "ratio" else rates(12)
    table = forest_table(metaan.pool(eff))
    if scale == "ratio":
        table["scale"] = "ratio"
        table[["estimate", "low", "high"]] = np.exp(table[["estimate", "low", "high"]])
    xscale = "logit" if scale == "logit" else "auto"
    axis = make_axis(table, xscale=xscale)
    page = tree(to_html(table, xscale=xscale))
    studies = table[table["row"] == "study"]
    largest = studies["weight"].max()
    for row, (_, line) in zip(page.all("tr", class_="study"), studies.iterrows(), strict=True):
        ends = [share(row.one("line", class_="interval").attrs[name]) for name in ("x1", "x2")]
        wanted = [axis.share(min(max(line[name], axis.low), axis.high)) for name in ("low", "high")]
        np.testing.assert_allclose(ends, wanted, atol=1e-4)
        for square in row.all("rect", class_="square"):
            at = share(square.parent.attrs["x"])
            assert at == pytest.approx(axis.share(line["estimate"]), abs=1e-4)
            side = float(square.attrs["width"])
            assert (side / (0.68 * 27)) ** 2 == pytest.approx(line["weight"] / largest, abs=2e-3)
    diamond = page.one("path", class_="diamond").attrs["d"]
    x = [float(pair.split()[0]) for pair in re.findall(r"[\d.]+ -?[\d.]+", diamond)]
    pooled = table[table["row"] == "pooled"].iloc[0]
    np.testing.assert_allclose(
        x[:3], [100 * axis.share(pooled[name]) for name in ("low", "estimate", "high")], rtol=1e-4
    )
    ticks = [share(text.attrs["x"]) for text in page.all("text", class_="tick")]
    np.testing.assert_allclose(ticks, [axis.share(tick) for tick in axis.ticks], atol=1e-4)
    assert [text.text for text in page.all("text", class_="tick")] == axis.tick_texts()


def test_cut_intervals_carry_arrows():
    table = forest_table(metaan.pool(rates(12)))
    rows = tree(to_html(table, xlim=(0.3, 0.6))).all("tr")
    body = table[table["row"].isin(["study", "pooled", "prediction"])]
    marked = [row for row in rows if row.attrs.get("class")]
    for row, (_, line) in zip(marked, body.iterrows(), strict=True):
        cut = {path.attrs["data-cut"] for path in row.all("path", class_="cut")}
        wanted = {"low": line["low"] < 0.3, "high": line["high"] > 0.6}
        assert cut == {side for side, is_cut in wanted.items() if is_cut}
    assert len(tree(to_html(table)).all("path", class_="cut")) == 0


def test_lines_run_through_the_rows_to_the_pooled_estimate():
    table = forest_table(metaan.pool(effects(5)), reference=0.1, bands=[(0.0, 0.2, "small")])
    axis = make_axis(table)
    rows = [row for row in tree(to_html(table)).all("tr") if row.attrs.get("class")]
    pooled = table["row"].tolist().index("pooled")
    for i, row in enumerate(rows):
        assert share(row.one("line", class_="null").attrs["x1"]) == pytest.approx(axis.share(0.1), abs=1e-4)
        assert share(row.one("rect", class_="band").attrs["width"]) == pytest.approx(
            axis.share(0.2) - axis.share(0), abs=2e-4
        )
        assert len(row.all("line", class_="reference")) == (i <= pooled)
    assert "Shaded: small." in to_html(table)


def test_shrunken_estimates_are_told_always_and_drawn_when_asked():
    res = metaan.pool(rates(6))
    told = forest_table(res, blup=True)
    for page, drawn in ((to_html(res), 0), (to_html(res, blup=True), 6)):
        rows = tree(page).all("tr", class_="study")
        assert sum(len(row.all("path", class_="blup")) for row in rows) == drawn
        for row, value in zip(rows, told["blup"], strict=False):
            assert f"Shrunken estimate {100 * value:.1f}% (95% CI" in row.one(class_="details").text


@pytest.mark.parametrize("several", [False, True])
def test_sources_follow_their_studies_whatever_the_order(several):
    trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
    eff = metaan.effect_size("PLO", trials, events="events", total="total", study=["twice"] * len(trials))
    res = metaan.pool(eff)
    page = tree(to_html({"REML": res, "DL": metaan.pool(eff, method="DL")} if several else res, sort="estimate"))
    order = np.argsort(trials["events"].to_numpy(float) / trials["total"].to_numpy(float), kind="stable")
    for row, (_, line) in zip(page.all("tr", class_="study"), trials.iloc[order].iterrows(), strict=True):
        details = row.one(class_="details")
        said = {part.one("dt").text: part.one("dd") for part in details.one("dl").children}
        assert said["Source"].text == line["source"]
        assert said["Source"].one("a").attrs["href"] == line["url"]
        item = metaan.cite([line["study_id"]], style="csl")[0]
        assert said["Citation"].text.startswith(metaan.cite([line["study_id"]]).split(". ")[0])
        if "DOI" in item:
            assert said["DOI"].one("a").attrs["href"] == f"https://doi.org/{item['DOI']}"
            assert item["DOI"] not in said["Citation"].text
        else:
            assert "DOI" not in said


EVIL = [
    "<script>alert()</script>", "\"onfocus='x()' x=\"", "</style></title><b>", "javascript:alert(1)", "$light ${x}",
]  # fmt: skip


def test_no_text_becomes_markup():
    table = forest_table(metaan.pool(rates(5, study=EVIL)), left={"<i>": EVIL}, favours=(EVIL[0], EVIL[1]))
    table["group"] = EVIL[2]
    table["url"] = ["javascript:alert(1)", 'https://a.org/"onclick="x', *[""] * (len(table) - 2)]
    table["doi"] = '10.1000/"><script>'
    table["source"], table["citation"] = EVIL[0], EVIL[2]
    table["rob: <u>"] = "<b>bad"
    table.loc[~table["row"].isin(["study"]), "study"] = EVIL[0]
    table.attrs |= {"xlabel": EVIL[0], "alt": EVIL[2], "spans": {EVIL[2]: ["rob: <u>"]}}
    plain = tree(to_html(forest_table(metaan.pool(rates(5)))))
    page = tree(to_html(table, title=EVIL[2]))
    new = {"select", "option", "a", "circle"}
    assert {node.tag for node in page.walk()} <= {node.tag for node in plain.walk()} | new
    assert len(page.all("script")) == 1
    assert not [name for node in page.walk() for name in node.attrs if name.startswith("on") or name == "style"]
    assert {link.attrs["href"] for link in page.all("a")} == {
        "https://doi.org/10.1000/%22%3E%3Cscript%3E",
        'https://a.org/"onclick="x',
    }
    assert page.one("head").one("title").text == page.one("h1").text == EVIL[2]
    assert [row.one(class_="label").one("button").text for row in page.all("tr", class_="study")] == EVIL


def test_the_policy_allows_the_style_and_the_script_of_the_page_alone(grouped):
    text = str(to_html(grouped))
    page = tree(text)
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attrs["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        inner = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'"
    assert not [node for node in page.walk() if {"src", "srcset", "data"} & node.attrs.keys() or node.tag == "link"]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|eval\(", text)


def test_headings_and_cells_fit_together():
    k = 6
    rng = np.random.default_rng(3)
    data = pd.DataFrame({name: rng.integers(2, 9, k) for name in ("events_t", "events_c")})
    data = data.assign(total_t=20, total_c=21)
    counts = {name: name for name in data}
    rob = pd.DataFrame({"study": list("123456"), "D1": ["low", "high", "some concerns"] * 2})
    page = tree(to_html(metaan.mantel_haenszel("OR", data, **counts), rob=rob))
    upper, lower = page.one("thead").all("tr")
    width = sum(int(cell.attrs.get("colspan", 1)) for cell in upper.children)
    assert {cell.text for cell in upper.all("th", scope="colgroup")} == {"Treatment", "Control", "Risk of bias"}
    assert len(lower.children) == 5
    events = [int(button.attrs["data-place"]) for button in lower.all("button") if button.text == "Events"]
    for row, (_, counts) in zip(page.all("tr", class_="study"), data.iterrows(), strict=True):
        assert [int(row.children[place].text) for place in events] == [counts["events_t"], counts["events_c"]]
    (weight,) = (int(button.attrs["data-place"]) for button in upper.all("button") if button.text == "Weight, %")
    assert page.one("tr", class_="pooled").children[weight].text == "100.0"
    for row in page.one("table").all("tr"):
        if row not in (upper, lower):
            assert sum(int(cell.attrs.get("colspan", 1)) for cell in row.children) == width
    assert all(
        cell.attrs["scope"] == "col" for cell in page.one("thead").all("th") if "span" not in cell.attrs["class"]
    )
    lights = [row.one("td", class_="light") for row in page.all("tr", class_="study")]
    assert [cell.one("span", class_="away").text for cell in lights] == ["low", "high", "some concerns"] * 2
    assert [cell.one("text").text for cell in lights] == ["+", "×", "−"] * 2
    keys = [float(cell.attrs["data-key"]) for cell in lights]
    assert keys[0] < keys[2] < keys[1]


@pytest.mark.parametrize("style", STYLE.choices)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_can_be_read(style, theme):
    for rc in ({}, {"text.color": "white"}):
        with plt.rc_context(rc):
            said = dict(
                part.removeprefix("--").split(":")
                for part in properties(current_style(style=style), theme)[:-1].split(";")
            )
        for ground in ("ground", "zebra", "header", "hover", "panel"):
            for text in ("ink", "muted", "link"):
                assert contrast(said[text], said[ground]) >= 4.5
            for mark in ("square", "pooled", "prediction"):
                assert contrast(said[mark], said[ground]) >= 3


@pytest.mark.parametrize("k", [1, 2, 150])
def test_pages_of_any_number_of_studies(k):
    page = tree(to_html(metaan.pool(rates(k)), style="lancet"))
    assert len(page.all("tr", class_="study")) == k
    assert page.one(id="status").text == f"{k} of {k} {'study' if k == 1 else 'studies'} shown."


def test_the_page_is_a_string_and_a_frame_and_a_file(tmp_path):
    res = metaan.pool(rates(3))
    page = to_html(res, tmp_path / "ä.html", title="Ä & B", lang="pt-BR")
    assert (tmp_path / "ä.html").read_text(encoding="utf-8") == page
    assert isinstance(page, str)
    assert page.startswith("<!DOCTYPE html>")
    frame = tree(page._repr_html_()).one("iframe")
    assert frame.attrs["srcdoc"] == page
    assert tree(page).one("html").attrs["lang"] == "pt-BR"


def test_a_drawing_says_what_it_shows_and_carries_its_data():
    res = metaan.pool(rates(12))
    ax, table = funnel(res), funnel_table(res)
    table.loc[0, "study"] = EVIL[0]
    page = tree(to_html(ax, table=table))
    drawing = page.one("figure").one("svg", role="img")
    assert drawing.all("desc")[0].text == alt_text(ax)
    assert page.one("h1").text == page.one("head").one("title").text == "Funnel plot of 12 studies"
    rows = page.one("details").one("tbody").all("tr")
    assert len(rows) == len(table)
    assert rows[0].all("td")[list(table).index("study")].text == EVIL[0]
    assert not page.all("script")
    assert "metadata" not in {node.tag for node in page.walk()}


def test_any_axes_will_do():
    _, axes = plt.subplots(1, 2)
    axes[0].plot([1, 2], [3, 4])
    page = tree(to_html(axes, title="Two <b>"))
    assert page.one("figure").one("svg", role="img").all("title")[0].text == "Two <b>"
    other = plt.figure().add_subplot()
    with pytest.raises(OptionError, match="several figures"):
        to_html([axes[0], other])


def test_what_does_not_fit_is_refused(tmp_path):
    res = metaan.pool(rates(3))
    with pytest.raises(OptionError, match="pass them to forest_table"):
        to_html(forest_table(res), sort="label")
    with pytest.raises(OptionError, match="as it was drawn"):
        to_html(forest(res), sort="label")
    with pytest.raises(OptionError, match="as it was drawn"):
        to_html(forest(res), xlim=(0, 1))
    with pytest.raises(OptionError, match="table= goes with an Axes"):
        to_html(res, table=forest_table(res))
    with pytest.raises(InputError, match="table is a list"):
        to_html(forest(res), table=[1])
    with pytest.raises(OptionError, match="language tag"):
        to_html(res, lang='en"><script>')
    with pytest.raises(OptionError, match="no folder"):
        to_html(res, tmp_path / "none" / "page.html")
    with pytest.raises(OptionError, match="res is a int"):
        to_html(3)
