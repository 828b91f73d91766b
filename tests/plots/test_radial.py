"""The radial plot shows its table; lines through the studies meet the arc at their effects."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, rates

import metaan
from metaan.errors import InputError, OptionError
from metaan.names import COLUMNS
from metaan.plot import alt_text, radial, radial_table

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")


def ratios(k, study=None):
    rng = np.random.default_rng(3)
    v = rng.uniform(0.01, 0.8, k)
    names = study or [f"Trial {i}" for i in range(k)]
    return metaan.pool(metaan.effects(rng.normal(0.4, np.sqrt(v + 0.2)), v, study=names, measure="OR"))


@pytest.fixture(scope="module")
def res():
    return ratios(15)


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def test_the_table_is_that_of_radial_data(res):
    table, data = radial_table(res), metaan.radial_data(res)
    np.testing.assert_array_equal(table[["x", "z"]], data[["x", "z"]])
    assert [table.attrs[n] for n in ("slope", "slope_low", "slope_high", "band")] == [
        data.attrs[n] for n in ("slope", "slope_low", "slope_high", "band")
    ]
    far = np.abs(res.effects.yi - res.estimate) / np.sqrt(res.effects.vi + res.tau2)
    np.testing.assert_array_equal(table["outside"], far > data.attrs["band"])
    assert set(table.columns) <= set(COLUMNS)
    json.dumps(table.attrs, allow_nan=False)


def test_studies_line_and_band_stand_where_the_table_says(res):
    table, ax = radial_table(res), radial(res)
    np.testing.assert_allclose(only(ax, "_points").get_offsets(), table[["x", "z"]], rtol=1e-14)
    x, z = only(ax, "_pooled").get_data()
    np.testing.assert_allclose(z, res.estimate * np.asarray(x), rtol=1e-14)
    corners = only(ax, "_band").get_paths()[0].vertices
    off = corners[:, 1] - res.estimate * corners[:, 0]
    np.testing.assert_allclose(np.abs(off), table.attrs["band"], rtol=1e-12)


@pytest.mark.parametrize("center", [False, True])
def test_the_arc_is_read_in_ratios_and_the_interval_is_that_of_the_result(res, center):
    ax = radial(res, center=center)
    middle = res.estimate if center else 0.0
    numbers = {text.get_text(): text.get_position() for text in ax.texts if text.get_text() != "Odds ratio"}
    for text, (x, z) in numbers.items():
        assert np.exp(z / x + middle) == pytest.approx(float(text), rel=1e-10)
    assert len(numbers) >= 3
    x, z = only(ax, "_interval").get_data()
    np.testing.assert_allclose(z[[0, -1]] / x[[0, -1]] + middle, [res.ci_low, res.ci_high], rtol=1e-12)
    assert len(drawn(ax, "_null")) == (not center)


def test_the_arc_lies_beyond_every_study(res):
    for made in (res, ratios(3), metaan.pool(rates(60)), metaan.pool(rates(12, rate=0.05), method="CE", test="z")):
        ax = radial(made)
        arc, points = only(ax, "_arc").get_xydata(), np.asarray(only(ax, "_points").get_offsets())
        angle = np.arctan2(arc[:, 1], arc[:, 0])
        radius = np.hypot(*arc.T)
        own = np.interp(np.arctan2(points[:, 1], points[:, 0]), angle, radius)
        assert (np.hypot(*points.T) < own).all()


def test_rates_are_centred_because_they_have_no_null():
    fit = metaan.pool(rates(12))
    table = radial_table(fit)
    np.testing.assert_allclose(table["z"], (fit.effects.yi - fit.estimate) * table["x"], atol=1e-12)
    assert radial(fit).get_ylabel() == "(effect − pooled)/√(variance + τ²)"
    assert radial_table(fit, center=False).attrs["center"] == 0


def test_the_table_gives_the_figure_of_the_result(res):
    one, two = radial(res), radial(radial_table(res))
    for label in ("_pooled", "_arc", "_interval"):
        np.testing.assert_array_equal(only(one, label).get_xydata(), only(two, label).get_xydata())
    assert alt_text(one) == alt_text(two)
    bare = radial_table(res)
    bare.attrs = {}
    assert not drawn(radial(bare), "_pooled")
    with pytest.raises(OptionError, match="center choose what a table holds"):
        radial(bare, center=True)


@pytest.mark.parametrize("k", [3, 12, 60, 150])
@pytest.mark.parametrize("kind", [rates, ratios])
def test_it_can_be_read_whatever_the_number_of_studies(k, kind):
    fit = kind(k)
    ax = radial(fit if kind is ratios else metaan.pool(fit), label="outside")
    assert_legible(ax)
    assert alt_text(ax).startswith(f"Radial plot of {k} studies.")
    assert ax.get_legend().get_window_extent().y0 >= 0


def test_styles_themes_and_axes_of_the_caller(res):
    assert_legible(radial(res, style="print"))
    assert_legible(radial(ratios(4, study=[LONG, "A_b$5", "$x$", "Müller"]), label="all"))
    with plt.style.context("dark_background"):
        assert_legible(radial(res))
    sns.set_theme("talk", "darkgrid")
    try:
        assert_legible(radial(res))
    finally:
        sns.reset_orig()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    assert radial(res, ax=left) is left
    assert figure.get_figheight() == 4
    assert not right.lines


@pytest.mark.parametrize("y", [[0.3], [0.0] * 4, [0.3] * 4])
def test_one_study_and_equal_ones_are_drawn(y):
    assert_legible(radial(metaan.pool(metaan.effects(y, [0.1] * len(y), measure="SMD"))))


def test_what_cannot_be_drawn_is_refused(res):
    with pytest.raises(OptionError, match="exact likelihood"):
        radial(metaan.glmm("PLO", events=[1, 2, 3], total=[9, 9, 9]))
    with pytest.raises(InputError):
        radial(3)
    with pytest.raises(OptionError, match="must be True or False"):
        radial(res, center=0)
    with pytest.raises(OptionError, match="label='some' is not known"):
        radial(res, label="some")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": 0.0}, "x must be a finite number above 0"),
        ({"z": np.nan}, "z must be a finite number"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = radial_table(metaan.pool(rates(6)))
    with pytest.raises(InputError, match=said):
        radial(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused():
    table = radial_table(metaan.pool(rates(6))).copy()
    table.attrs = table.attrs | {"slope_low": "low"}
    with pytest.raises(InputError, match="slope_low"):
        radial(table)


def test_the_arc_says_where_no_effect_lies():
    """All effects on one side of it, and far from it."""
    ax = radial(metaan.pool(metaan.effects([1.0, 1.2, 1.1], [0.04, 0.05, 0.02], measure="OR")))
    end = only(ax, "_null").get_xydata()[-1]
    (number,) = [text for text in ax.texts if text.get_text() == "1"]
    assert number.get_position()[0] > end[0]
    assert number.get_position()[1] == pytest.approx(end[1], abs=1e-9)
    assert len(ax.get_xticks()) >= 3
