"""Every result shows itself in a notebook and turns into JSON, whatever studies are called."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from helpers.results import HOSTILE, results

import metaan
from metaan.records import Shown, number, plain_value

TAGS = {
    "div", "style", "p", "strong", "pre", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "ul", "li",
    "br",
}  # fmt: skip
ATTRIBUTES = {"class", "scope", "border"}


class Nested(HTMLParser):
    """Tags in the order of their opening; complains about one that is closed too soon or never."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.names, self.text = [], set(), set(), []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def made():
    return results()


def test_every_public_result_has_an_example(made):
    public = {member for name in metaan.__all__ if isinstance(member := getattr(metaan, name), type)}
    assert {one.__name__ for one in public - {type(one) for one in made} if not is_input(one)} == set()


def is_input(cls):
    """Priors are given to a function and not returned by one."""
    return cls.__module__ == "metaan.models.priors"


def test_every_result_has_both_views(made):
    for one in made:
        assert isinstance(one, Shown), type(one)
        assert type(one)._repr_html_ is Shown._repr_html_ or isinstance(one, metaan.GradeTable), type(one)


def test_html_is_well_formed_and_nothing_in_it_is_a_tag_of_the_data(made):
    for one in made:
        page = Nested(one._repr_html_())
        assert page.tags <= TAGS, (type(one), page.tags - TAGS)
        assert page.names <= ATTRIBUTES, (type(one), page.names - ATTRIBUTES)


def test_html_says_what_the_text_says(made):
    """All words of str(), in their order, but for the dashes of notes; a table of its own has a headline instead."""
    for one in made:
        if one._headline() is None and not isinstance(one, metaan.GradeTable):
            words = [line.removeprefix("- ").strip() for line in str(one).splitlines() if line.strip() != "Notes"]
            text = "\n".join(Nested(one._repr_html_()).text)
            assert all(word in text for word in words), type(one)


def test_hostile_names_arrive_as_text(made):
    showing = [one for one in made if HOSTILE[:20] in "".join(Nested(one._repr_html_()).text)]
    assert len(showing) > 8


def test_dictionaries_are_fit_for_json(made):
    for one in made:
        assert json.loads(json.dumps(one.to_dict(), allow_nan=False)) == one.to_dict(), type(one)


def test_long_tables_say_what_they_leave_out():
    frame = pd.DataFrame({"events": np.arange(30.0), "share": np.arange(30) / 30})
    eff = metaan.effect_size("PLO", events=frame["events"] + 1, total=[40] * 30)
    page = eff._repr_html_()
    assert "... and 10 more rows: to_frame()" in page
    assert page.count("<tr>") == 21
    assert ">40<" in page, "counts are whole numbers"
    assert len(re.findall("<style>", page)) == 1


def test_a_table_without_rows_has_its_headings():
    page = Nested(metaan.counts_from_percentage("33.3", max_total=2)._repr_html_())
    assert "no count prints so" in "".join(page.text)
    assert {"thead", "th"} <= page.tags
    assert "td" not in page.tags


def test_a_row_on_its_side_has_headings_from_the_vocabulary():
    res = metaan.pool(metaan.effects([0.1, 0.4, 0.3], [0.01, 0.02, 0.03]))
    page = res._repr_html_()
    assert '<th scope="row">τ²</th>' in page
    assert page.count("<tr>") == len(res.to_frame().columns)


@dataclasses.dataclass(frozen=True)
class Made(Shown):
    value: object


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), None),
        (np.inf, None),
        (pd.NA, None),
        (pd.NaT, None),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([1.0, np.nan]), [1.0, None]),
        ((1, np.int64(2)), [1, 2]),
        ({1: pd.DataFrame({"a": [1, None]})}, {"1": [{"a": 1.0}, {"a": None}]}),
        (metaan.errors.Note("code", "What was done."), "What was done."),
        (pd.Timestamp("2020-02-01"), "2020-02-01 00:00:00"),
        (Made(Made(1)), {"value": {"value": 1}}),
    ],
)
def test_plain_values(value, told):
    assert plain_value(value) == told
    json.dumps(plain_value(value), allow_nan=False)


def test_numbers_for_reading():
    assert [number(x) for x in (0.0, -0.0, 0.5, 1234.56, 1e-7, 1e9, float("nan"))] == [
        "0.0000", "0.0000", "0.5000", "1235", "1.000e-07", "1.000e+09", "none",
    ]  # fmt: skip
