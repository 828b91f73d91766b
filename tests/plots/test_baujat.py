"""The Baujat plot shows the table of metaan.baujat and names the most remote studies."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, effects, rates

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, baujat, baujat_table


@pytest.fixture(scope="module")
def res():
    return metaan.pool(rates(12))


def points(ax):
    """Places of all studies, sorted."""
    found = [line.get_xydata() for label in ("_points", "_marked") for line in drawn(ax, label)]
    return np.sort(np.concatenate(found), axis=0)


def test_every_study_stands_where_the_table_says(res):
    ax, table = baujat(res), metaan.baujat(res)
    np.testing.assert_array_equal(points(ax), np.sort(table[["x", "y"]].to_numpy(), axis=0))
    low, high = ax.get_xlim()
    assert low < 0 < table["x"].max() < high
    assert ax.get_xlabel().startswith("Contribution to heterogeneity")
    assert ax.get_ylabel().startswith("Influence on the pooled effect")


def test_a_common_effect_has_contributions_to_q():
    res = metaan.pool(effects(8), method="CE")
    assert baujat(res).get_xlabel() == "Contribution to Q"
    assert baujat_table(res)["x"].sum() == pytest.approx(res.Q)


@pytest.mark.parametrize("label", [0, 1, 4])
def test_the_most_remote_studies_are_named_and_marked(res, label):
    ax, table = baujat(res, label=label), metaan.baujat(res)
    far = np.hypot(table["x"] / table["x"].max(), table["y"] / table["y"].max())
    expected = set(table["study"][far.sort_values(ascending=False).index[:label]])
    assert {text.get_text() for text in ax.texts} == expected
    marked = [line.get_xydata() for line in drawn(ax, "_marked")]
    assert sum(map(len, marked)) == label
    if label:
        assert drawn(ax, "_marked")[0].get_marker() != drawn(ax, "_points")[0].get_marker()


@pytest.mark.parametrize("k", [2, 3, 12, 60, 150])
def test_it_can_be_read_at_every_size(k):
    ax = baujat(metaan.pool(rates(k)), style="print" if k == 60 else None)
    assert_legible(ax)
    assert alt_text(ax).startswith(f"Baujat plot of {k} studies.")


def test_long_names_are_shortened_in_the_middle():
    eff = rates(12, study=[f"{LONG} $x_{i}$" for i in range(12)])
    ax = baujat(metaan.pool(eff), label=3)
    assert_legible(ax)
    assert ax.texts
    assert all("…" in text.get_text() and text.get_text().endswith("$") for text in ax.texts)


def test_regressions_and_counts(res):
    trials = metaan.load("electrochemotherapy", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
    counts = {"events": "events", "total": "total", "study": "study"}
    ax = baujat(metaan.glmm("PLO", trials, **counts))
    assert_legible(ax)
    fit = metaan.regress(metaan.effect_size("PLO", trials, **counts, correction="only0"), "~ year")
    ax = baujat(fit)
    assert ax.get_ylabel().startswith("Influence on the fitted values")
    assert_legible(ax)


def test_studies_without_finite_numbers_are_told(res):
    alone = metaan.glmm("PLO", events=[0, 0, 3, 0, 0], total=[10, 12, 20, 9, 8])
    ax = baujat(alone)
    assert len(points(ax)) == 4
    assert "not drawn: '3'" in alt_text(ax)
    with pytest.raises(InputError, match="nothing to draw"):
        baujat(metaan.glmm("PLO", events=[0, 0], total=[10, 12]))


def test_a_table_gives_the_same_figure(res):
    one, two = baujat(res), baujat(baujat_table(res))
    np.testing.assert_array_equal(points(one), points(two))
    assert [text.get_text() for text in one.texts] == [text.get_text() for text in two.texts]
    assert alt_text(one) == alt_text(two)


def test_axes_and_themes(res):
    figure, (left, right) = plt.subplots(1, 2)
    before = dict(mpl.rcParams)
    assert baujat(res, ax=left) is left
    assert figure.axes == [left, right]
    assert dict(mpl.rcParams) == before
    with mpl.rc_context(), plt.style.context("dark_background"):
        ax = baujat(res)
        assert ax.texts[0].get_color() == "white"
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(baujat(res))


def test_what_cannot_be_drawn_is_refused(res):
    with pytest.raises(InputError, match="at least two studies"):
        baujat(metaan.pool(rates(1)))
    with pytest.raises(OptionError, match="label=-1"):
        baujat(res, label=-1)
    with pytest.raises(InputError, match="lacks x, y"):
        baujat(baujat_table(res)[["study"]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": -1.0}, "0 or more"),
        ({"y": "a"}, "not a number"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = baujat_table(metaan.pool(rates(6)))
    with pytest.raises(InputError, match=said):
        baujat(table.assign(**change))


def test_a_table_whose_names_are_missing_or_repeated_is_described(res):
    table = baujat_table(res)
    assert alt_text(baujat(table.assign(study=None))).startswith("Baujat plot of")
    assert "moves the result most" in alt_text(baujat(table.assign(study="A")))
