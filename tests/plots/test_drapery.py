"""The drapery plot shows the p-value functions of a result, and these are the intervals of every level."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, effects, rates
from scipy import stats

import metaan
from metaan.analysis.p_values import p_value_functions
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, drapery, drapery_table


@pytest.fixture(scope="module")
def res():
    return metaan.pool(rates(12))


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def limits(table, row, p=0.05):
    return table.query(f"row == {row!r} and p == {p}")["x"].tolist()


@pytest.mark.parametrize("test", ["z", "t", "hk", "hk-adhoc", "kr"])
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_the_pooled_curve_holds_the_interval_of_its_own_test(test, level):
    res = metaan.pool(effects(9), test=test, level=level)
    table = p_value_functions(res, levels=[round(1 - level, 9)])
    ends = table[(table["row"] == "pooled") & np.isclose(table["p"], 1 - level, rtol=1e-12)]["x"]
    np.testing.assert_allclose(ends, [res.ci_low, res.ci_high], rtol=1e-10)
    pooled = table[(table["row"] == "pooled") & (table["z"] > 0)]
    t = np.abs(pooled["x"] - res.estimate) / res.se
    p = 2 * stats.norm.sf(t) if np.isinf(res.df) else 2 * stats.t.sf(t, res.df)
    np.testing.assert_allclose(p, pooled["p"], rtol=1e-8)


@pytest.mark.parametrize("pi", ["t", "hts", "z", "simple", "hk", "kr"])
def test_the_curve_of_a_new_study_holds_the_prediction_interval_of_every_level(pi):
    test = "kr" if pi == "kr" else "hk"
    table = p_value_functions(metaan.pool(effects(9), test=test, pi=pi))
    for level in (0.95, 0.9):
        res = metaan.pool(effects(9), test=test, pi=pi, level=level)
        ends = table[(table["row"] == "prediction") & np.isclose(table["p"], 1 - level, rtol=1e-12)]["x"]
        np.testing.assert_allclose(ends, [res.pi_low, res.pi_high], rtol=1e-10)


@pytest.mark.parametrize("fit", [metaan.glmm, metaan.beta_binomial], ids=["glmm", "beta-binomial"])
def test_models_of_counts_have_theirs(fit):
    counts = {"events": rates(12).events, "total": rates(12).total}
    res = fit("PLO", **counts) if fit is metaan.glmm else fit(**counts)
    shown, table = res.back(), drapery_table(res)
    np.testing.assert_allclose(limits(table, "pooled"), [shown.ci_low, shown.ci_high], rtol=1e-10)
    np.testing.assert_allclose(limits(table, "prediction"), [shown.pi_low, shown.pi_high], rtol=1e-10)
    narrower = fit("PLO", **counts, level=0.9) if fit is metaan.glmm else fit(**counts, level=0.9)
    ends = table[(table["row"] == "prediction") & np.isclose(table["p"], 0.1, rtol=1e-12)]["x"]
    np.testing.assert_allclose(ends, [narrower.back().pi_low, narrower.back().pi_high], rtol=1e-10)


def test_studies_have_normal_p_values_and_their_top_at_the_estimate(res):
    table = p_value_functions(res)
    eff = res.effects
    for i, part in table[table["row"] == "study"].groupby("line"):
        y = np.log(part["x"] / (1 - part["x"]))
        here = np.isfinite(y)
        p = 2 * stats.norm.sf(np.abs(y - eff.yi[i]) / np.sqrt(eff.vi[i]))
        np.testing.assert_allclose(p[here], part["p"][here], rtol=1e-7)
        assert part.loc[part["p"].idxmax(), "x"] == pytest.approx(1 / (1 + np.exp(-eff.yi[i])), rel=1e-12)
        assert part["p"].max() == 1


def test_freeman_tukey_values_are_turned_back_at_their_own_size():
    res = metaan.pool(rates(5, measure="PFT"))
    tops = p_value_functions(res).query("row == 'study' and p == 1")["x"]
    np.testing.assert_allclose(tops, res.effects.events / res.effects.total, atol=1e-10)


def test_curves_stand_where_the_table_says(res):
    ax, table = drapery(res), drapery_table(res)
    lines = only(ax, "_studies").get_segments()
    for line, (_, part) in zip(lines, table[table["row"] == "study"].groupby("line"), strict=True):
        np.testing.assert_array_equal(line, part[["x", "p"]])
    for label in ("pooled", "prediction"):
        np.testing.assert_array_equal(only(ax, f"_{label}").get_xydata(), table[table["row"] == label][["x", "p"]])
    assert sorted(level.get_segments()[0][0, 1] for level in drawn(ax, "_level")) == [0.05, 0.1]
    texts = [tick.get_text() for tick in ax.get_yticklabels()]
    assert {"0.05", "0.1", "1"} <= set(texts)
    z = drapery(res, y="z")
    np.testing.assert_array_equal(only(z, "_pooled").get_ydata(), -table[table["row"] == "pooled"]["z"])


def test_the_table_gives_the_same_figure(res):
    a, b = drapery(res), drapery(drapery_table(res))
    for label in ("_pooled", "_prediction"):
        np.testing.assert_array_equal(only(a, label).get_xydata(), only(b, label).get_xydata())
    assert alt_text(a) == alt_text(b)
    assert a.get_xlim() == b.get_xlim()
    with pytest.raises(OptionError, match="levels choose what a table holds"):
        drapery(drapery_table(res), levels=[0.01])


@pytest.mark.parametrize(("k", "y"), [(1, "p"), (2, "z"), (3, "p"), (12, "z"), (60, "p"), (150, "z")])
def test_it_can_be_read(k, y):
    ax = drapery(metaan.pool(rates(k)), y=y)
    assert_legible(ax)
    assert alt_text(ax).startswith(f"Drapery plot of {k} stud")
    assert bool(drawn(ax, "_prediction")) == (k >= 3)


def test_long_names_and_twins_are_kept_apart():
    labels = [f"{LONG} {i}" for i in range(6)] + ["$5 twin_", "$5 twin_"]
    ax = drapery(metaan.pool(rates(8, study=labels)), label=[labels[2], "$5 twin_"])
    assert_legible(ax)
    assert len(only(ax, "_studies").get_segments()) == 8
    assert len(drawn(ax, "_named")) == 3
    shown = [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]
    assert shown[3] == labels[2]
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().x1 <= ax.figure.bbox.x1


def test_ratios_stand_on_a_log_axis_with_the_null():
    ratios = metaan.effects([0.1, 0.6, 0.3, 9.0], [0.1, 0.2, 0.05, 4], measure="OR")
    ax = drapery(metaan.pool(ratios), xlim=(0.2, 20))
    assert ax.get_xscale() == "log"
    assert only(ax, "_null").get_segments()[0][0, 0] == 1
    assert ax.get_xlim() == (0.2, 20)
    assert_legible(ax)


@pytest.mark.parametrize("style", ["print", "jama"])
def test_styles_and_themes(res, style):
    before = dict(mpl.rcParams)
    with plt.style.context("dark_background"):
        assert drapery(res, style=style).xaxis.label.get_color() in ("white", "0")
    assert dict(mpl.rcParams) == before
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(drapery(res, style=style))


def test_it_draws_into_a_given_axes(res):
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    before = right.get_position().bounds, len(right.get_children())
    assert drapery(res, ax=left) is left
    assert len(right.get_children()) == before[1]
    assert figure.axes == [left, right]


def test_what_has_no_such_curves_is_refused(res):
    with pytest.raises(InputError, match="Pass what pool, glmm"):
        drapery(3)
    with pytest.raises(OptionError, match=r"profile one.*ci='wald'"):
        drapery(metaan.glmm("PLO", events=[3, 4, 9], total=[44, 30, 40], ci="profile"))
    with pytest.raises(OptionError, match=r"likelihood-ratio"):
        drapery(metaan.glmm("PLO", events=[0, 0, 0], total=[44, 30, 40]))
    with pytest.raises(OptionError, match="between 0 and 1"):
        drapery(res, levels=[5])
    with pytest.raises(OptionError, match="label names 'Nobody'"):
        drapery(res, label="Nobody")
    with pytest.raises(OptionError, match="y='q' is not known"):
        drapery(res, y="q")
    assert "prediction" not in set(drapery_table(res, prediction=False)["row"])
    assert "prediction" not in set(drapery_table(metaan.pool(effects(5), pi="bootstrap"))["row"])
