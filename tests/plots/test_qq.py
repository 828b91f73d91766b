"""The normal quantile plot shows the table of metaan.qq_data and names what lies outside its envelope."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, rates

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, qq, qq_table


@pytest.fixture(scope="module")
def apart():
    rng = np.random.default_rng(3)
    y = rng.normal(0, 0.3, 25)
    y[4] = 4.0
    return metaan.pool(metaan.effects(y, rng.uniform(0.01, 0.1, 25), study=[f"T{i}" for i in range(25)]))


def points(ax):
    found = [line.get_xydata() for label in ("_points", "_marked") for line in drawn(ax, label)]
    return np.sort(np.concatenate(found), axis=0)


def test_points_and_envelope_stand_where_the_table_says(apart):
    ax, table = qq(apart), metaan.qq_data(apart)
    np.testing.assert_array_equal(points(ax), table[["theoretical", "sample"]].to_numpy())
    (band,) = drawn(ax, "_envelope")[0].get_paths()
    x, y = band.vertices.T
    for row in table.itertuples():
        at = y[x == row.theoretical]
        assert {row.low, row.high} <= set(at)
    line = drawn(ax, "_line")[0].get_xydata()
    np.testing.assert_array_equal(line[:, 0], line[:, 1])


def test_outliers_are_named_and_marked(apart):
    ax, table = qq(apart, label=1), qq_table(apart)
    out = table.loc[table["outside"], "study"]
    assert "T4" in set(out)
    assert [text.get_text() for text in ax.texts] == ["T4"]
    marked = drawn(ax, "_marked")[0]
    assert len(marked.get_xydata()) == len(out)
    assert marked.get_marker() != drawn(ax, "_points")[0].get_marker()
    assert f"{len(out)} studies lie outside the envelope" in alt_text(ax)


def test_options_reach_the_analysis(apart):
    ax = qq(apart, kind="standardised", envelope="analytic")
    table = metaan.qq_data(apart, kind="standardised", envelope="analytic")
    np.testing.assert_array_equal(points(ax)[:, 1], table["sample"])
    assert ax.get_ylabel() == "Standardised residual"
    assert "95% envelope, order statistics" in [text.get_text() for text in ax.get_legend().get_texts()]
    bare = qq(apart, envelope="none")
    assert not drawn(bare, "_envelope")
    assert not bare.texts


def test_infinite_residuals_stand_at_the_edge():
    res = metaan.glmm("PLO", events=[0, 0, 3, 0, 0], total=[10, 12, 20, 9, 8])
    table = qq_table(res)
    assert table["sample"].iloc[-1] == np.inf
    ax = qq(res)
    top = points(ax)[:, 1].max()
    assert table["sample"].iloc[:-1].max() < top < ax.get_ylim()[1]
    assert [text.get_text() for text in ax.texts] == ["3"]


@pytest.mark.parametrize("k", [2, 3, 12, 60, 150])
def test_it_can_be_read_at_every_size(k):
    ax = qq(metaan.pool(rates(k)), style="print" if k == 60 else None, draws=200)
    assert_legible(ax)
    assert alt_text(ax).startswith(f"Normal quantile plot of {k} studies.")


def test_long_names_are_legible():
    res = metaan.pool(rates(40, tau=3.0, study=[f"{LONG} $x_{i}$" for i in range(40)]), method="CE")
    ax = qq(res)
    assert ax.texts
    assert_legible(ax)


def test_a_table_gives_the_same_figure(apart):
    one, two = qq(apart), qq(qq_table(apart))
    np.testing.assert_array_equal(points(one), points(two))
    assert [text.get_text() for text in one.texts] == [text.get_text() for text in two.texts]
    assert alt_text(one) == alt_text(two)


def test_axes_and_themes(apart):
    figure, (left, right) = plt.subplots(1, 2)
    before = dict(mpl.rcParams)
    assert qq(apart, ax=left) is left
    assert figure.axes == [left, right]
    assert dict(mpl.rcParams) == before
    with mpl.rc_context(), plt.style.context("dark_background"):
        assert qq(apart).xaxis.label.get_color() == "white"
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(qq(apart))


def test_what_cannot_be_drawn_is_refused(apart):
    with pytest.raises(OptionError, match="envelope"):
        qq(apart, envelope="wide")
    with pytest.raises(OptionError, match="label"):
        qq(apart, label=2.5)
    with pytest.raises(OptionError, match=r"pass them to metaan\.plot\.qq_table"):
        qq(qq_table(apart), seed=3)
    with pytest.raises(InputError, match="No study has a residual"):
        qq(metaan.pool(metaan.effects([0.2] * 4, [0.1] * 4)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"theoretical": np.nan}, "theoretical must be a finite number"),
        ({"low": "a"}, "not a number"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = qq_table(metaan.pool(rates(6)))
    with pytest.raises(InputError, match=said):
        qq(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused():
    table = qq_table(metaan.pool(rates(6))).copy()
    table.attrs = table.attrs | {"level": "95%"}
    with pytest.raises(InputError, match="level"):
        qq(table)
