"""The Doi plot shows its table and says what its index is not."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, rates

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS
from metaan.plot import alt_text, doi, doi_table

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")
Y, V = [0.1, 0.4, 0.2, 0.9, 0.3], [0.01, 0.04, 0.02, 0.2, 0.05]


@pytest.fixture(scope="module")
def res():
    return metaan.pool(metaan.effects(Y, V, study=list("abcde"), measure="OR"))


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def test_studies_and_limbs_stand_where_the_table_says(res):
    table, ax, index = doi_table(res), doi(res), metaan.lfk_index(res)
    np.testing.assert_allclose(only(ax, "_points").get_offsets(), table[["x", "y"]], rtol=1e-14)
    np.testing.assert_array_equal(only(ax, "_limbs").get_xdata(), np.sort(Y))
    np.testing.assert_allclose(only(ax, "_limbs").get_ydata(), np.abs(np.sort(index.z)), rtol=1e-14)
    assert set(only(ax, "_tip").get_xdata()) == {index.tip}
    bottom, top = ax.get_ylim()
    assert bottom > table["y"].max()
    assert top == 0
    assert set(table.columns) <= set(COLUMNS)
    json.dumps(table.attrs, allow_nan=False)


def test_the_index_and_its_caveat_are_written(res):
    ax, index = doi(res), metaan.lfk_index(res)
    assert ax.get_title(loc="left") == f"LFK index {index.index:.2f}: {index.says}"
    said = " ".join(text.get_text() for text in ax.get_legend().get_texts()).replace("\n", " ")
    assert "An index, no test" in said
    assert "no test" in alt_text(ax)
    assert alt_text(ax).startswith("Doi plot of 5 studies. Odds ratio from 1.11 to 2.46")


def test_the_table_gives_the_figure_of_the_result(res):
    one, two = doi(res), doi(doi_table(res))
    for label in ("_limbs", "_tip"):
        np.testing.assert_array_equal(only(one, label).get_xydata(), only(two, label).get_xydata())
    assert alt_text(one) == alt_text(two)
    bare = doi_table(res)
    bare.attrs = {}
    assert doi(bare).get_title(loc="left") == ""


@pytest.mark.parametrize("k", [3, 12, 60, 150])
def test_it_can_be_read_whatever_the_number_of_studies(k):
    ax = doi(metaan.pool(rates(k)), label=True)
    assert_legible(ax)
    assert ax.get_legend().get_window_extent().y0 >= 0


def test_styles_themes_and_axes_of_the_caller(res):
    assert_legible(doi(res, style="print"))
    assert_legible(doi(metaan.pool(metaan.effects(Y, V, study=[LONG, "A_b$5", "$x$", "中文", "é"])), label=True))
    with plt.style.context("dark_background"):
        assert_legible(doi(res))
    sns.set_theme("talk", "darkgrid")
    try:
        assert_legible(doi(res))
    finally:
        sns.reset_orig()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    assert doi(res, ax=left) is left
    assert figure.get_figheight() == 4
    assert not right.lines


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(DataError, match="all effects are equal"):
        doi(metaan.pool(metaan.effects([0.2] * 4, [0.1] * 4)))
    with pytest.raises(InputError, match="not int"):
        doi(3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": np.inf}, "x must be a finite number"),
        ({"y": "a"}, "not a number"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = doi_table(metaan.pool(rates(6)))
    with pytest.raises(InputError, match=said):
        doi(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused():
    table = doi_table(metaan.pool(rates(6))).copy()
    table.attrs = table.attrs | {"tip": None}
    with pytest.raises(InputError, match="tip"):
        doi(table)


@pytest.mark.parametrize("option", [{"label": 3}, {"label": np.arange(3)}])
def test_options_of_a_wrong_type_are_refused(option):
    with pytest.raises(OptionError):
        doi(metaan.pool(rates(6)), **option)
