"""The profile plot shows the curve of its table, its maxima and the interval that it cuts out."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import assert_legible, drawn, rates, texts

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, profile, profile_table, save

EVENTS, TOTAL = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]


@pytest.fixture(scope="module")
def res():
    return metaan.pool(rates(12))


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_curve_peak_and_cut_stand_where_the_table_says(res):
    ax, table = profile(res), profile_table(res)
    curve = only(ax, "_curve")
    np.testing.assert_array_equal(curve.get_xdata(), table["tau2"])
    np.testing.assert_allclose(curve.get_ydata(), table["loglik"] - table.attrs["loglik"], atol=1e-12)
    assert only(ax, "_peak").get_xdata().tolist() == [res.tau2]
    np.testing.assert_allclose(only(ax, "_cut").get_ydata(), table.attrs["cut"] - table.attrs["loglik"])
    assert ax.get_xlabel() == "Between-study variance τ²"
    assert ax.get_ylabel() == "Restricted log-likelihood, maximum 0"


def test_the_shade_is_the_interval_of_the_package(res):
    low, high = metaan.tau2_interval(res, method="PL")
    ax = profile(res)
    (shade,) = only(ax, "_interval").get_paths()
    assert (shade.vertices[:, 0].min(), shade.vertices[:, 0].max()) == (low, high)
    ends = [segment[0, 0] for segment in only(ax, "_ends").get_segments()]
    assert ends == [low, high]
    assert words(ax)[0].startswith("95% interval: ")


def test_a_pooled_rate_has_the_profile_interval_of_its_fit():
    res = metaan.glmm("PLO", events=EVENTS, total=TOTAL, ci="profile")
    ax = profile(res, parameter="estimate", points=41)
    (shade,) = only(ax, "_interval").get_paths()
    shown = res.back()
    assert (shade.vertices[:, 0].min(), shade.vertices[:, 0].max()) == (shown.ci_low, shown.ci_high)
    assert ax.get_xlabel() == "Rate (%)"
    assert words(ax)[0] == f"95% interval: {100 * shown.ci_low:.1f}% to {100 * shown.ci_high:.1f}%"
    ticks = {tick: text.get_text() for tick, text in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)}
    assert all(float(text) == pytest.approx(100 * tick) for tick, text in ticks.items())
    loaded = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
    res = metaan.glmm("PLO", loaded, events="events", total="total", study="study")
    assert profile(res, parameter="estimate").get_xlabel() == "Complete response (% of lesions)"


def test_ratios_stand_on_a_log_axis_and_correlations_from_0():
    eff = metaan.effects([0.1, 0.3, 0.5, 0.2, 0.9], [0.01, 0.02, 0.02, 0.01, 0.02], measure="OR")
    ax = profile(metaan.pool(eff, method="ML"), parameter="estimate")
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "Odds ratio")
    assert_legible(ax)
    res = metaan.beta_binomial(events=EVENTS, total=TOTAL)
    ax = profile(res)
    assert ax.get_xlabel() == "Correlation within studies ρ"
    assert only(ax, "_peak").get_xdata().tolist() == [pytest.approx(res.rho)]


def test_local_maxima_are_marked_by_form():
    rng = np.random.default_rng(374)
    y = rng.normal(0, 1, 6) * np.array([1, 1, 1, 1, 1, 6])
    res = metaan.pool(metaan.effects(y, np.exp(rng.uniform(-6, 4, 6))))
    ax = profile(res, parameter="tau")
    (place,) = only(ax, "_others").get_xdata()
    low, high = profile_table(res, parameter="tau").attrs["maxima"]
    assert (place, only(ax, "_peak").get_xdata()[0]) == (low, high)
    assert only(ax, "_others").get_marker() != only(ax, "_peak").get_marker()
    assert "another local maximum at" in alt_text(ax)
    assert_legible(ax)
    assert not drawn(profile(metaan.pool(rates(12))), "_others")


def test_an_interval_without_an_upper_end_says_so():
    arms = {"events_t": [4, 2, 1, 2], "total_t": [5, 4, 2, 3], "events_c": [0, 1, 0, 2], "total_c": [1, 1, 1, 2]}
    res = metaan.glmm("OR", **arms, ci="profile")
    assert metaan.tau2_interval(res)[1] == np.inf
    ax = profile(res, points=21)
    assert words(ax)[0] == "95% interval: 0 to ∞"
    assert not drawn(ax, "_ends")[0].get_segments()
    assert_legible(ax)
    ax = profile(res, parameter="estimate", points=21)
    assert words(ax)[0] == "95% interval: 0 to ∞"
    assert_legible(ax)


@pytest.mark.parametrize("k", [3, 12, 60, 150])
def test_it_can_be_read_at_every_size(k):
    ax = profile(metaan.pool(rates(k)), style="print" if k == 12 else None)
    assert_legible(ax)
    assert alt_text(ax).startswith(f"Restricted likelihood of τ² of {k} studies.")


def test_a_table_gives_the_same_figure(res):
    table = profile_table(res, points=31)
    one, two = profile(res, points=31), profile(table)
    assert texts(one)[0][0] == texts(two)[0][0]
    np.testing.assert_array_equal(only(one, "_curve").get_xydata(), only(two, "_curve").get_xydata())
    assert words(one) == words(two)
    assert alt_text(one) == alt_text(two)


def test_it_is_drawn_into_given_axes_and_leaves_the_rest(res, tmp_path):
    figure, (left, right) = plt.subplots(1, 2)
    before = dict(mpl.rcParams)
    assert profile(res, ax=left) is left
    assert figure.axes == [left, right]
    assert not right.has_data()
    assert dict(mpl.rcParams) == before
    save(left, tmp_path / "p.svg")
    assert "Between-study variance" in (tmp_path / "p.svg").read_text(encoding="utf-8")


def test_themes_are_followed(res):
    with mpl.rc_context(), plt.style.context("dark_background"):
        ax = profile(res)
        assert ax.xaxis.label.get_color() == "white"
        assert_legible(ax)
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(profile(res))


def test_what_cannot_be_drawn_is_refused(res):
    with pytest.raises(OptionError, match="maximises no likelihood"):
        profile(metaan.pool(rates(5), method="PM"))
    with pytest.raises(OptionError, match=r"pass them to metaan\.plot\.profile_table"):
        profile(profile_table(res), points=20)
    bare = profile_table(res)
    bare.attrs = {}
    with pytest.raises(InputError, match="lost its attrs"):
        profile(bare)
    with pytest.raises(OptionError, match="style"):
        profile(res, style="nature")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tau2": np.nan}, "tau2 must be a finite number"),
        ({"loglik": "a"}, "not a number"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = profile_table(metaan.pool(rates(6)))
    with pytest.raises(InputError, match=said):
        profile(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused():
    table = profile_table(metaan.pool(rates(6))).copy()
    table.attrs = table.attrs | {"cut": None}
    with pytest.raises(InputError, match="cut"):
        profile(table)


def test_a_curve_beside_its_maximum_leaves_the_mark_out(res):
    ax = profile(res, limits=(0.0, 0.1 * res.tau2))
    assert not only(ax, "_curve").get_xdata().max() > ax.get_xlim()[1]
    assert only(ax, "_peak").get_clip_on()
    assert_legible(ax)


def test_rows_in_any_order_give_the_same_figure(res):
    table = profile_table(res)
    here, there = (only(profile(one), "_curve").get_xydata() for one in (table, table.iloc[::-1]))
    np.testing.assert_array_equal(here, there)
    with pytest.raises(InputError, match="one value of tau2"):
        profile(table.assign(tau2=1.0))


def test_the_interval_is_seen_on_a_dark_ground(res):
    light = only(profile(res), "_interval").get_alpha()
    with plt.style.context("dark_background"):
        assert only(profile(res), "_interval").get_alpha() > 2 * light
