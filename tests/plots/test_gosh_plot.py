"""The GOSH plot shows every subset once, in the units of a reader, and splits them by a study or by clusters."""

import time

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, effects, rates

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, gosh, gosh_table, save


@pytest.fixture(scope="module")
def made():
    return metaan.gosh(metaan.pool(rates(8)))


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(1)
    n = 100_000
    x = rng.beta(20, 20, n)
    table = pd.DataFrame({"estimate": x, "I2": 100 * rng.beta(8, 3, n), "k": 9})
    table["group"] = np.where(rng.random(n) < 0.5, "with A", "without A")
    table.attrs = {"y": "I2", "scale": "rate"}
    return table


def points(ax):
    return np.concatenate([line.get_xydata() for line in drawn(ax, "_points")])


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_subset_is_a_point_in_rates(made):
    ax, table = gosh(made), gosh_table(made)
    np.testing.assert_allclose(table["estimate"], 1 / (1 + np.exp(-made.estimate)), rtol=1e-12)
    np.testing.assert_array_equal(points(ax), table[["estimate", "I2"]].to_numpy())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Rate (%)", "I² (%)")
    assert [float(text.get_text()) for text in ax.get_xticklabels()] == pytest.approx(100 * ax.get_xticks())
    full = drawn(ax, "_full")[0]
    assert full.get_xydata().tolist() == [[pytest.approx(made.full.back().estimate), made.full.I2]]
    shown = gosh_table(metaan.gosh(made.full.back()))
    np.testing.assert_allclose(shown["estimate"], table["estimate"], rtol=1e-12)


def test_the_median_is_a_line(made):
    ax, table = gosh(made), gosh_table(made)
    (line,) = drawn(ax, "_median")
    assert line.get_xdata()[0] == table["estimate"].median()
    assert words(ax)[0] == f"Median {100 * table['estimate'].median():.1f}%"


def test_subsets_with_and_without_a_study_differ_in_colour_and_form(made):
    study = made.full.effects.study[2]
    ax, table = gosh(made, study=study), gosh_table(made, study=study)
    inside = made.included[:, 2]
    np.testing.assert_array_equal(table["group"] == f"with {study}", inside)
    medians = [line.get_xdata()[0] for line in drawn(ax, "_median")]
    assert medians == [table["estimate"][inside].median(), table["estimate"][~inside].median()]
    forms = {(line.get_marker(), line.get_markerfacecolor()) for line in drawn(ax, "_points")}
    assert len({marker for marker, _ in forms}) == len({colour for _, colour in forms}) == len(forms) == 2
    np.testing.assert_array_equal(np.sort(points(ax), axis=0), np.sort(table[["estimate", "I2"]].to_numpy(), axis=0))
    assert f"without {study}" in alt_text(ax)


def test_clusters_are_coloured():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(2)
    eff = metaan.effects(np.r_[rng.normal(0, 0.1, 8), 3.0], np.full(9, 0.02), measure="OR")
    made = metaan.gosh(metaan.pool(eff), clusters=2)
    ax, table = gosh(made), gosh_table(made)
    assert (
        table["group"].value_counts().to_dict()
        == made.clusters().set_index("cluster")["subsets"].rename(lambda i: f"Cluster {i}").to_dict()
    )
    assert [word.split(":")[0] for word in words(ax)[:2]] == ["Cluster 1", "Cluster 2"]
    assert ax.get_xscale() == "log"
    assert_legible(ax)


def test_histograms_count_every_subset(made):
    ax = gosh(made)
    above, beside = (next(c for c in ax.child_axes if c.get_label() == label) for label in ("_above", "_beside"))
    for side in (above, beside):
        values = drawn(side, "_histogram")[0].get_data().values
        assert values.sum() == pytest.approx(1)
    assert above.get_xlim() == ax.get_xlim()
    assert beside.get_ylim() == ax.get_ylim()
    assert not gosh(made, margins=False).child_axes


@pytest.mark.parametrize("name", ["tau2", "H2", "Q"])
def test_other_measures_of_heterogeneity(made, name):
    ax = gosh(made, y=name)
    np.testing.assert_array_equal(points(ax)[:, 1], getattr(made, name))
    low, high = ax.get_ylim()
    assert low <= getattr(made, name).min() <= getattr(made, name).max() <= high
    assert_legible(ax)


def test_many_subsets_are_shaded_and_pixels(made, tmp_path):
    ax = gosh(metaan.gosh(metaan.pool(rates(12))))
    (cloud,) = drawn(ax, "_density")
    assert cloud.get_rasterized()
    assert cloud.get_array().min() >= 1
    assert cloud.get_array().sum() == 4095
    assert drawn(gosh(made, kind="density"), "_density")
    save(ax, tmp_path / "g.svg")
    assert (tmp_path / "g.svg").stat().st_size < 500_000


def test_a_hundred_thousand_subsets_are_drawn_at_once(many):
    for table in (many.drop(columns="group"), many):
        table.attrs = many.attrs
        start = time.process_time()
        ax = gosh(table)
        ax.figure.canvas.draw()
        assert time.process_time() - start < 3.0  # about 0.5 s on an idle computer
        assert_legible(ax)


def test_regressions_need_a_term():
    rng = np.random.default_rng(3)
    eff = metaan.effects(rng.normal(size=8), np.full(8, 0.1), data=pd.DataFrame({"year": range(8)}), measure="OR")
    made = metaan.gosh(metaan.regress(eff, "~ year"))
    ax = gosh(made, term="year")
    assert ax.get_xlabel() == "Coefficient of year (log odds ratio)"
    np.testing.assert_array_equal(points(ax)[:, 0], made.estimate[made.usable][:, 1])
    assert_legible(ax)
    with pytest.raises(OptionError, match=r"term=None is not known\. Choose one of Intercept, year"):
        gosh(made)


@pytest.mark.parametrize("k", [1, 3, 12, 60, 150])
def test_it_can_be_read_at_every_size(k):
    made = metaan.gosh(metaan.pool(rates(k)), subsets=5000)
    ax = gosh(made, style="print" if k == 12 else None)
    assert_legible(ax)
    subsets = f"{made.n} subset{'s' if made.n > 1 else ''}"
    assert alt_text(ax).startswith(f"GOSH plot of {subsets}")


def test_large_numbers_and_long_names_are_legible():
    y, study = [1e6, -2e6, 3e6, 1.5e6, 0, 1e3], [f"{LONG} $x_{i}$" for i in range(6)]
    made = metaan.gosh(metaan.pool(metaan.effects(y, [1e8] * 6, study=study)))
    ax = gosh(made, study=study[0])
    assert_legible(ax)
    assert all("…" in word for word in words(ax)[:2])
    assert_legible(gosh(metaan.gosh(metaan.pool(effects(7))), style="bmj"))


def test_a_table_gives_the_same_figure(made):
    table = gosh_table(made, study="Adams 1991")
    one, two = gosh(made, study="Adams 1991"), gosh(table)
    np.testing.assert_array_equal(points(one), points(two))
    assert words(one) == words(two)
    assert alt_text(one) == alt_text(two)


def test_axes_and_themes(made):
    figure, (left, right) = plt.subplots(1, 2)
    before = dict(mpl.rcParams)
    assert gosh(made, ax=left) is left
    assert figure.axes == [left, right]
    assert not left.child_axes
    assert dict(mpl.rcParams) == before
    with mpl.rc_context(), plt.style.context("dark_background"):
        assert gosh(made).xaxis.label.get_color() == "white"
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(gosh(made))


def test_what_cannot_be_drawn_is_refused(made):
    with pytest.raises(InputError, match=r"Pass what metaan\.gosh returned"):
        gosh(made.full)
    with pytest.raises(OptionError, match="study='Nobody' is not one of the studies"):
        gosh(made, study="Nobody")
    with pytest.raises(OptionError, match="y='I3'"):
        gosh(made, y="I3")
    with pytest.raises(OptionError, match="density"):
        gosh(made, study="Adams 1991", kind="density")
    arms = {"events_t": [3, 5, 2], "total_t": [20, 30, 22], "events_c": [1, 4, 4], "total_c": [20, 31, 20]}
    with pytest.raises(InputError, match="choose another y"):
        gosh(metaan.gosh(metaan.mantel_haenszel("OR", **arms)), y="tau2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"estimate": np.nan}, "estimate must be a finite number"),
        ({"I2": "a"}, "not a number"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = gosh_table(metaan.gosh(metaan.pool(rates(6))))
    with pytest.raises(InputError, match=said):
        gosh(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused():
    table = gosh_table(metaan.gosh(metaan.pool(rates(6)))).copy()
    table.attrs = table.attrs | {"scale": "log"}
    with pytest.raises(InputError, match="scale"):
        gosh(table)


@pytest.mark.parametrize("option", [{"margins": "yes"}, {"study": np.arange(3)}, {"term": np.arange(3)}])
def test_options_of_a_wrong_type_are_refused(made, option):
    with pytest.raises(OptionError):
        gosh(made, **option)


def test_the_legend_says_what_a_mark_is(made):
    assert words(gosh(made))[-1] == "Subset"
    assert words(gosh(made, kind="density"))[-1] == "Number of subsets"
