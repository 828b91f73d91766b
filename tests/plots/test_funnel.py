"""The funnel plot shows its table: studies, middle, regions and contours."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, rates
from scipy import stats

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS
from metaan.plot import alt_text, funnel, funnel_table

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")
Z = stats.norm.ppf(0.975)
SKEWED = [0.10, 0.12, 0.18, 0.30, 0.45, 0.60, 0.85], [0.01, 0.01, 0.02, 0.04, 0.08, 0.10, 0.15]


def ratios(k, *, seed=3, study=None):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.8, k)
    names = study or [f"Trial {i}" for i in range(k)]
    return metaan.pool(metaan.effects(rng.normal(0.4, np.sqrt(v + 0.05)), v, study=names, measure="OR"))


@pytest.fixture(scope="module")
def res():
    return ratios(20)


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def test_studies_stand_at_their_effect_and_standard_error(res):
    table, ax = funnel_table(res), funnel(res)
    np.testing.assert_array_equal(table["x"], res.effects.yi)
    np.testing.assert_allclose(table["y"], np.sqrt(res.effects.vi), rtol=1e-14)
    np.testing.assert_allclose(only(ax, "_points").get_offsets(), table[["x", "y"]], rtol=1e-14)
    bottom, top = ax.get_ylim()
    assert bottom > table["y"].max() > top == 0
    assert set(only(ax, "_estimate").get_xdata()) == {res.estimate}
    assert only(ax, "_null").get_xdata()[0] == pytest.approx(0, abs=1e-12)
    assert set(table.columns) <= set(COLUMNS)
    json.dumps(table.attrs, allow_nan=False)


def test_the_regions_are_those_of_the_variance_with_and_without_tau2(res):
    ax = funnel(res, region="both")
    for name, tau2 in (("_confidence", 0.0), ("_prediction", res.tau2)):
        for sign, line in zip((-1, 1), drawn(ax, name), strict=True):
            se = line.get_ydata()
            np.testing.assert_allclose(line.get_xdata(), res.estimate + sign * Z * np.sqrt(se**2 + tau2), atol=1e-12)
    out = np.abs(res.effects.yi - res.estimate) > Z * np.sqrt(res.effects.vi)
    np.testing.assert_array_equal(funnel_table(res)["outside"], out)
    assert not drawn(funnel(res, region="none"), "_confidence")


@pytest.mark.parametrize(("yaxis", "height"), [
    ("sei", lambda v, n: np.sqrt(v)), ("vi", lambda v, n: v), ("seinv", lambda v, n: 1 / np.sqrt(v)),
    ("ni", lambda v, n: n), ("sqrtni", lambda v, n: np.sqrt(n)), ("sqrtninv", lambda v, n: 1 / np.sqrt(n)),
])  # fmt: skip
def test_every_axis_has_its_height_and_the_large_studies_at_the_top(yaxis, height):
    eff = rates(12)
    ax = funnel(metaan.pool(eff), yaxis=yaxis, region="both")
    y = only(ax, "_points").get_offsets()[:, 1]
    np.testing.assert_allclose(y, height(eff.vi, eff.total), rtol=1e-14)
    bottom, top = ax.get_ylim()
    assert (bottom > top) == (yaxis in ("sei", "vi", "sqrtninv"))
    for line in drawn(ax, "_confidence"):
        assert np.isfinite(line.get_xdata()).all()
    assert_legible(ax)


@pytest.mark.parametrize(("measure", "unit"), [
    ("PLO", lambda p: 1 / (p * (1 - p))), ("PAS", lambda p: 0.25), ("PR", lambda p: p * (1 - p)),
    ("PLN", lambda p: (1 - p) / p),
])  # fmt: skip
def test_rates_stand_against_their_size_with_the_variance_of_the_pooled_rate(measure, unit):
    eff = rates(15, rate=0.4, measure=measure)
    res = metaan.pool(eff)
    table = funnel_table(res)
    np.testing.assert_allclose(table["y"], 1 / np.sqrt(eff.total))
    curve, p = table.attrs["regions"][0], res.back().estimate
    half = Z * np.sqrt(unit(p)) * np.array(curve["y"])
    np.testing.assert_allclose(curve["high"], res.estimate + half, rtol=1e-6)


def test_other_sizes_take_the_usual_variance_of_a_unit(res):
    n = np.arange(20, 40)
    table = funnel_table(res, ni=n)
    assert table.attrs["yaxis"] == "sqrtninv"
    curve = table.attrs["regions"][0]
    half = Z * np.sqrt(np.median(n * res.effects.vi)) * np.array(curve["y"])
    np.testing.assert_allclose(curve["low"], res.estimate - half, rtol=1e-12)


def test_contours_are_where_studies_have_their_p_value(res):
    ax = funnel(res, levels=(0.05, 0.2))
    table = funnel_table(res, levels=(0.05, 0.2))
    for curve, p in zip(table.attrs["contours"], (0.2, 0.05), strict=True):
        se = np.array(curve["y"])[:-1]
        np.testing.assert_allclose(2 * stats.norm.sf(np.array(curve["high"])[:-1] / se), p, rtol=1e-10)
        np.testing.assert_allclose(curve["low"], -np.array(curve["high"]), atol=1e-12)
        assert len(drawn(ax, f"_contour {p:g}")) == 2
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown[-3:] == ["p ≥ 0.2", "0.05 ≤ p < 0.2", "p < 0.05"]
    assert not funnel_table(res, contours=False).attrs["contours"]


def test_a_null_is_given_on_the_scale_that_is_shown():
    table = funnel_table(metaan.pool(rates(12)), null=0.2)
    assert table.attrs["null"] == pytest.approx(np.log(0.25), rel=1e-12)
    middle, n = table.attrs["null"], np.array(table.attrs["contours"][0]["y"]) ** 2
    half = stats.norm.ppf(0.95) * np.sqrt(n / 0.16)
    np.testing.assert_allclose(table.attrs["contours"][0]["high"], middle + half, rtol=1e-6)


def test_ticks_are_rates_in_per_cent_and_ratios(res):
    for fit, back in ((metaan.pool(rates(12)), lambda y: 100 / (1 + np.exp(-y))), (res, np.exp)):
        ax = funnel(fit)
        texts = [float(text.get_text()) for text in ax.get_xticklabels()]
        np.testing.assert_allclose(back(ax.get_xticks()), texts, rtol=1e-10)
        assert len(texts) >= 3


def test_filled_studies_are_hollow_and_both_estimates_are_drawn():
    made = metaan.trim_and_fill(metaan.pool(metaan.effects(*SKEWED, measure="OR"), method="DL", test="z"))
    ax = funnel(made)
    np.testing.assert_allclose(only(ax, "_filled").get_offsets()[:, 0], made.filled["yi"], rtol=1e-14)
    np.testing.assert_allclose(
        only(ax, "_filled").get_facecolor()[0], plt.matplotlib.colors.to_rgba(ax.get_facecolor())
    )
    assert set(only(ax, "_estimate").get_xdata()) == {made.pooled.estimate}
    assert set(only(ax, "_observed").get_xdata()) == {made.original.estimate}
    assert "3 studies filled in" in alt_text(ax)
    assert_legible(ax)


def test_a_regression_shows_its_residuals():
    data = pd.DataFrame({"x": [0.0, 1, 2, 3, 4]})
    fit = metaan.regress(metaan.effects([0.1, 0.5, 0.9, 1.2, 0.3], [0.1, 0.02, 0.1, 0.2, 0.05], data=data), "~ x")
    table = funnel_table(fit, region="both")
    np.testing.assert_allclose(table["x"], fit.effects.yi - fit.fitted, rtol=1e-14)
    assert table.attrs["estimate"] == 0
    assert not table.attrs["contours"]
    assert funnel(fit).get_xlabel() == "Residual of the effect size"
    with pytest.raises(OptionError, match="no contours of p-values"):
        funnel(fit, contours=True)


@pytest.mark.parametrize("make", [
    lambda c: metaan.glmm("PLO", **c), lambda c: metaan.beta_binomial(**c), lambda c: metaan.glmm("PLO", **c).back(),
])  # fmt: skip
def test_results_of_counts_and_of_the_display_scale_are_drawn(make):
    fit = make({"events": [0, 3, 1, 4, 2, 9], "total": [20, 44, 28, 30, 51, 40]})
    table = funnel_table(fit)
    assert table.attrs["estimate"] == (fit.analysis or fit).estimate


def test_the_table_gives_the_figure_of_the_result(res):
    one, two = funnel(res, region="both"), funnel(funnel_table(res, region="both"))
    for label in ("_points", "_confidence", "_prediction", "_null", "_estimate"):
        for a, b in zip(drawn(one, label), drawn(two, label), strict=True):
            at = "get_offsets" if label == "_points" else "get_xydata"
            np.testing.assert_array_equal(getattr(a, at)(), getattr(b, at)())
    assert one.get_xlim() == two.get_xlim()
    assert alt_text(one) == alt_text(two)
    bare = funnel_table(res)
    bare.attrs = {}
    assert len(only(funnel(bare), "_points").get_offsets()) == 20
    with pytest.raises(OptionError, match="yaxis choose what a table holds"):
        funnel(bare, yaxis="vi")


@pytest.mark.parametrize("k", [3, 12, 60, 150])
@pytest.mark.parametrize("kind", [rates, ratios])
def test_it_can_be_read_whatever_the_number_of_studies(k, kind):
    fit = kind(k)
    ax = funnel(fit if kind is ratios else metaan.pool(fit), region="both", label="all")
    assert_legible(ax)
    assert alt_text(ax).startswith(f"Funnel plot of {k} studies.")
    below = ax.get_legend().get_window_extent()
    assert below.y0 >= 0
    assert below.y1 <= ax.xaxis.label.get_window_extent().y0


def test_labels_name_the_studies_outside_the_region(res):
    table = funnel_table(res)
    texts = {text.get_text() for text in funnel(res, label="outside").texts}
    assert texts == set(table.loc[table["outside"], "study"])
    odd = ratios(4, study=[LONG, "A_b$5", "$x$ 中文", "Müller"])
    assert_legible(funnel(odd, label="all"))


def test_styles_themes_and_axes_of_the_caller(res):
    for style in ("print", "lancet"):
        assert_legible(funnel(res, style=style))
    with plt.style.context("dark_background"):
        assert_legible(funnel(res))
    sns.set_theme("talk", "darkgrid")
    try:
        before = dict(plt.rcParams)
        assert_legible(funnel(res))
        assert dict(plt.rcParams) == before
    finally:
        sns.reset_orig()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    assert funnel(res, ax=left) is left
    assert figure.get_figheight() == 4
    assert not right.collections
    assert not right.lines


@pytest.mark.parametrize("y", [[0.4], [0.4, 0.5], [0.4] * 5, [0.0, 0.0]])
def test_few_and_equal_studies_are_drawn(y):
    assert_legible(funnel(metaan.pool(metaan.effects(y, [0.1] * len(y), measure="SMD")), region="both"))


def test_what_cannot_be_drawn_is_refused(res):
    with pytest.raises(InputError, match="trim_and_fill, not list"):
        funnel([1])
    with pytest.raises(OptionError, match="yaxis='se' is not known"):
        funnel(res, yaxis="se")
    with pytest.raises(InputError, match="Sample sizes are not known"):
        funnel(res, yaxis="ni")
    for levels in ((95,), (), "a", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)):
        with pytest.raises(OptionError, match="levels"):
            funnel(res, levels=levels)
    with pytest.raises(OptionError, match=r"Did you mean null=0\.2"):
        funnel(metaan.pool(rates(5)), null=20)
    with pytest.raises(OptionError, match="must be above 0"):
        funnel(res, null=-1)
    with pytest.raises(OptionError, match="contours=True needs a null"):
        funnel(metaan.pool(rates(5)), contours=True)
    with pytest.raises(DataError, match="no middle"):
        funnel(metaan.glmm("PLO", events=[0, 0, 0], total=[10, 20, 30]))
    with pytest.raises(OptionError, match="label='some' is not known"):
        funnel(res, label="some")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": np.nan}, "x must be a finite number"),
        ({"y": 0.0}, "y must be a finite number above 0"),
        ({"x": "a"}, "not a number"),
        ({"outside": "a"}, "True or False"),
        ({"filled": True}, "only filled studies"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = funnel_table(metaan.pool(rates(6)))
    with pytest.raises(InputError, match=said):
        funnel(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused():
    table = funnel_table(metaan.pool(rates(6))).copy()
    table.attrs = table.attrs | {"xlim": [1.0]}
    with pytest.raises(InputError, match="xlim"):
        funnel(table)
