"""Pages of tables that were made or changed by hand, and where pages are written."""

import numpy as np
import pandas as pd
import pytest
from helpers.figures import rates
from helpers.pages import tree

import metaan
from metaan.errors import DataError, OptionError
from metaan.plot import forest_table, funnel, to_html


@pytest.fixture(scope="module")
def table():
    return forest_table(metaan.pool(rates(4)))


def test_studies_stay_under_their_heading_without_a_column_of_groups():
    whole = forest_table(metaan.subgroups(rates(6), by=["A", "B", "B"] * 2))
    bodies = tree(to_html(whole.drop(columns="group"))).all("tbody")
    assert [[row.attrs["class"].split()[0] for row in body.all("tr")].count("group") for body in bodies] == [1, 1]
    shown = [[row.one("th").attrs["data-key"] for row in body.all("tr", class_="study")] for body in bodies]
    studies = whole[whole["row"] == "study"]
    assert shown == [studies.loc[studies["group"] == name, "study"].tolist() for name in ("A", "B")]


@pytest.mark.parametrize(
    "absent",
    [None, np.nan, pd.NA, pd.NaT, pd.array([pd.NA] * 4, dtype="string")],
    ids=["None", "nan", "NA", "NaT", "string"],
)
@pytest.mark.parametrize("name", ["source", "citation", "doi", "url"])
def test_what_is_not_known_of_a_study_is_not_told(table, name, absent):
    known = table.assign(**{name: ""}).astype({name: object})
    known.loc[known["row"] == "study", name] = absent
    assert to_html(known) == to_html(table)


def test_shrunken_estimates_of_a_table_are_numbers_or_blank(table):
    one = table.assign(blup=pd.array([0.4, *[pd.NA] * (len(table) - 1)], dtype="Float64"))
    first, *others = tree(to_html(one)).all("tr", class_="study")
    assert "Shrunken estimate 40.0%" in first.text
    assert not any("Shrunken" in row.text for row in others)
    with pytest.raises(DataError, match="blup holds 'x'"):
        to_html(table.assign(blup="x"))


def test_data_of_a_drawing_may_have_gaps_of_every_kind():
    gaps = pd.DataFrame(
        {
            "whole": pd.array([7, pd.NA], dtype="Int64"), "text": pd.array(["a", pd.NA], dtype="string"),
            "date": [pd.Timestamp("2020-01-02"), pd.NaT], "number": [-1 / 3, np.nan], "truth": [True, None],
        }
    )  # fmt: skip
    page = tree(to_html(funnel(metaan.pool(rates(4))), table=gaps))
    cells = [[cell.text for cell in row.all("td")] for row in page.one("details").one("tbody").all("tr")]
    assert cells == [["7", "a", "2020-01-02 00:00:00", "−0.333333", "yes"], [""] * 5]


@pytest.mark.parametrize("path", ["", "page", "page.png", "page.html.svg"])
def test_a_page_goes_into_a_file_of_html(table, tmp_path, path):
    with pytest.raises(OptionError, match=r"must end in \.html"):
        to_html(table, tmp_path / path if path else "")
    assert not list(tmp_path.iterdir())


def test_a_title_is_text_and_blank_ones_are_as_none(table):
    with pytest.raises(OptionError, match="title=3"):
        to_html(table, title=3)
    assert to_html(table, title=" ") == to_html(table)
