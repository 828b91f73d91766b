"""The cumulative plot shows the result after each study."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, effects, rates

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, cumulative, cumulative_table


def years(k):
    return np.random.default_rng(5).integers(1990, 2024, k).tolist()


@pytest.fixture(scope="module")
def res():
    return metaan.pool(rates(12))


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def test_the_table_holds_the_results_after_each_study(res):
    order = years(12)
    table = cumulative_table(res, order=order)
    want = metaan.cumulative(res.back(), order=order)
    pd.testing.assert_frame_equal(table[want.columns], want, check_exact=True)
    assert table["order"].tolist() == sorted(order)
    label = dict(zip(res.effects.study, order, strict=True))
    assert [label[name] for name in table["study"]] == table["order"].tolist()
    down = cumulative_table(res, order=order, ascending=False)
    assert [label[name] for name in down["study"]] == down["order"].tolist() == sorted(order, reverse=True)


def test_steps_stand_at_the_studies(res):
    ax, table = cumulative(res), cumulative_table(res)
    np.testing.assert_array_equal(only(ax, "_points").get_xydata(), table[["k", "estimate"]])
    x, y = only(ax, "_estimate").get_xydata().T
    np.testing.assert_array_equal(x, np.arange(13) + 0.5)
    np.testing.assert_array_equal(y[:-1], table["estimate"])
    band = only(ax, "_band").get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (table["ci_low"].min(), table["ci_high"].max())
    assert only(ax, "_final").get_ydata()[0] == pytest.approx(res.back().estimate, rel=1e-9)
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert names == [table["study"][0], *(f"+ {name}" for name in table["study"][1:])]


def test_studies_of_one_year_come_in_together(res):
    order = [2000, 2000, 2001, 2003, 2003, 2003, 2004, 2010, 2011, 2012, 2012, 2020]
    ax, table = cumulative(res, order=order), cumulative_table(res, order=order)
    last = table.groupby("order").last()
    np.testing.assert_array_equal(only(ax, "_points").get_xydata(), last["estimate"].reset_index())
    assert ax.get_xlabel() == "Year"
    assert "by year from 2000 to 2020" in alt_text(ax)
    assert cumulative(res, order=order, x="k").get_xlim() == (0.5, 12.5)
    assert cumulative(res, order=list("abcdefghijkl")).get_xlabel() == "Study added"


@pytest.mark.parametrize(("k", "below"), [(3, "tau2"), (12, "tau"), (60, "I2"), (150, "pi")])
def test_it_can_be_read(k, below):
    axes = cumulative(metaan.pool(rates(k)), order=years(k), below=below)
    assert axes.shape == (2,)
    assert_legible(axes[0])
    assert axes[0].get_xlim() == axes[1].get_xlim()
    one = cumulative(metaan.pool(effects(k)))
    assert_legible(one)
    one.figure.draw_without_rendering()
    legend = one.get_legend().get_window_extent()
    assert legend.x1 <= one.figure.bbox.x1
    assert legend.y1 <= one.xaxis.label.get_window_extent().y0 + 1
    assert alt_text(one).startswith(f"Cumulative meta-analysis of {k} studies.")


def test_the_second_panel_holds_the_heterogeneity_or_the_prediction_interval(res):
    table = cumulative_table(res)
    below = cumulative(res, below="tau2")[1]
    np.testing.assert_array_equal(only(below, "_tau2").get_ydata()[:-1], table["tau2"])
    assert below.get_ylabel() == "τ²"
    band = only(cumulative(res, below="pi")[1], "_band").get_paths()
    reach = np.concatenate([path.vertices[:, 1] for path in band])
    assert (reach.min(), reach.max()) == (table["pi_low"].min(), table["pi_high"].max())


def test_what_reaches_too_far_is_cut_and_marked():
    eff = metaan.effects([0.1, 0.9, 0.3, 0.5, 0.2, 0.4], [0.01] * 6)
    ax, table = cumulative(metaan.pool(eff)), cumulative_table(metaan.pool(eff))
    low, high = ax.get_ylim()
    assert table["ci_high"][1] > high
    up, down = sorted(drawn(ax, "_cut"), key=lambda marks: -marks.get_ydata()[0])
    assert up.get_xydata().tolist() == [[2, high]]
    assert down.get_xydata().tolist() == [[2, low]]
    whole = cumulative(metaan.pool(eff), ylim=(-5, 6))
    assert not drawn(whole, "_cut")


def test_rows_without_an_estimate_are_gaps():
    arms = {"events_t": [0, 3, 5], "total_t": [20, 30, 40], "events_c": [0, 1, 2], "total_c": [20, 30, 40]}
    res = metaan.mantel_haenszel("OR", **arms)
    table = cumulative_table(res)
    ax = cumulative(res)
    assert_legible(ax)
    assert table["estimate"].isna().any() == np.isnan(only(ax, "_estimate").get_ydata()).any()
    with pytest.raises(OptionError, match="no between-study variance"):
        cumulative(res, below="tau2")


def test_the_table_gives_the_same_figure(res):
    order = years(12)
    table = cumulative_table(res, order=order)
    a, b = cumulative(res, order=order, below="tau2"), cumulative(table, below="tau2")
    for left, right in zip(a, b, strict=True):
        assert alt_text(left) == alt_text(right)
        assert left.get_ylim() == right.get_ylim()
    np.testing.assert_array_equal(only(a[0], "_estimate").get_xydata(), only(b[0], "_estimate").get_xydata())
    with pytest.raises(OptionError, match="order choose what a table holds"):
        cumulative(table, order=order)


def test_chosen_studies_are_named(res):
    ax = cumulative(res, order=years(12), label=["Adams 1991"])
    assert [text.get_text() for text in ax.texts] == ["Adams 1991"]
    assert_legible(ax)


def test_odd_names_and_ends():
    assert_legible(cumulative(metaan.pool(rates(8, study=[f"{LONG} {i}" for i in range(8)]))))
    assert_legible(cumulative(metaan.pool(rates(4, study=["$5_a", "Παπαδόπουλος", "x" * 25, "$5_a"]))))
    assert_legible(cumulative(metaan.pool(rates(1))))
    assert_legible(cumulative(metaan.pool(metaan.effects([0.2] * 4, [0.1, 0.2, 0.1, 0.3])), below="tau2")[0])
    assert_legible(cumulative(metaan.glmm("PLO", events=[0, 0, 0], total=[10, 20, 30])))


def test_styles_and_themes(res):
    style = "print"
    before = dict(mpl.rcParams)
    with plt.style.context("dark_background"):
        assert cumulative(res, x="k").xaxis.label.get_color() == "white"
    assert dict(mpl.rcParams) == before
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(cumulative(res, style=style, order=years(12), below="pi")[0])


def test_it_draws_into_given_axes(res):
    figure, axes = plt.subplots(2, 2, layout="constrained")
    left = axes[:, 0]
    drawn_in = cumulative(res, order=years(12), below="tau2", ax=left)
    assert drawn_in.tolist() == left.tolist()
    assert not axes[0, 1].lines
    assert figure.axes == axes.ravel().tolist()


def test_what_cannot_be_drawn_is_refused(res):
    refused = [
        (lambda: cumulative(metaan.effects([1], [1])), "cumulative takes results of"),
        (lambda: cumulative(res, x="order", order=list("abcdefghijkl")), "needs numbers in ascending order"),
        (lambda: cumulative(res, below="H2"), "below='H2' is not known"),
        (lambda: cumulative(res, label=["Nobody"]), "label names 'Nobody'"),
        (lambda: cumulative(res, order="age"), "cumulative reads columns|not a column"),
        (lambda: cumulative(cumulative_table(res).assign(estimate=np.nan)), "nothing to draw"),
    ]
    for draw, message in refused:
        with pytest.raises(InputError, match=message):
            draw()
