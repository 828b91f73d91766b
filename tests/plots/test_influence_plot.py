"""The influence panel shows the table of metaan.influence, the limits of its rule, and who is beyond them."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, rates, texts
from scipy.stats import chi2, norm

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, influence, influence_table

USUAL = ["rstudent", "dffits", "cooks_d", "cov_ratio", "tau2_del", "q_del", "hat", "weight"]


@pytest.fixture(scope="module")
def eff():
    rng = np.random.default_rng(5)
    y, x = rng.normal(0.2, 0.3, 30), rng.normal(size=30)
    y[7], x[3], y[3] = 3.2, 6.0, -1.0
    v = rng.uniform(0.01, 0.1, 30)
    v[[3, 7]] = 0.005
    return metaan.effects(y, v, study=[f"T{i}" for i in range(30)], data=pd.DataFrame({"year": x}))


@pytest.fixture(scope="module")
def res(eff):
    return metaan.pool(eff)


@pytest.fixture(scope="module")
def panel(res):
    """Axes of the default panel by diagnostic; only read."""
    axes = influence(res)
    assert axes.shape == (8,)
    return dict(zip(USUAL, axes, strict=True))


def points(ax):
    found = [line.get_xydata() for label in ("_points", "_influential") for line in drawn(ax, label)]
    return np.concatenate(found)[np.argsort(np.concatenate(found)[:, 0])]


def thresholds(ax):
    return [line.get_ydata()[0] for line in drawn(ax, "_threshold")]


def test_each_diagnostic_stands_where_the_table_says(res, panel):
    table = metaan.influence(res)
    for name, ax in panel.items():
        at = points(ax)
        np.testing.assert_array_equal(at[:, 0], np.arange(1, 31))
        np.testing.assert_array_equal(at[:, 1], table[name])
        ends = {end for segment in drawn(ax, "_stems")[0].get_segments() for end in segment[:, 1]}
        assert set(table[name]) <= ends
        low, high = ax.get_ylim()
        assert low <= table[name].min() <= table[name].max() <= high


def test_limits_are_those_of_the_rule(res, panel):
    of = panel
    z, shift = norm.ppf(0.975), 3 * np.sqrt(1 / 29)
    np.testing.assert_allclose(thresholds(of["rstudent"]), [-z, z])
    np.testing.assert_allclose(thresholds(of["dffits"]), [-shift, shift])
    np.testing.assert_allclose(thresholds(of["cooks_d"]), [chi2.ppf(0.5, 1)])
    np.testing.assert_allclose(thresholds(of["hat"]), [3 / 30])
    assert not thresholds(of["weight"])
    base = {name: drawn(of[name], "_whole")[0].get_ydata()[0] for name in USUAL}
    assert base == {
        "rstudent": 0, "dffits": 0, "cooks_d": 0, "cov_ratio": 1, "tau2_del": res.tau2, "q_del": res.Q, "hat": 1 / 30,
        "weight": 100 / 30,
    }  # fmt: skip


def test_the_rule_of_the_table_is_that_of_the_limits(eff):
    """A study is influential if and only if one of its numbers lies beyond a dashed line other than rstudent's."""
    for fit in (metaan.pool(eff), metaan.regress(eff, "~ year")):
        table = influence_table(fit)
        beyond = np.zeros(len(table), dtype=bool)
        for name, limits in table.attrs["thresholds"].items():
            if name != "rstudent":
                beyond |= (table[name] > limits[-1]) | (len(limits) > 1) & (table[name] < limits[0])
        np.testing.assert_array_equal(beyond, table["influential"])


def test_influential_studies_are_named_and_have_a_form_of_their_own(res, panel):
    of, table = panel, metaan.influence(res)
    flagged = set(table.loc[table["influential"], "study"])
    assert flagged
    for name in ("rstudent", "dffits", "cooks_d"):
        ax = of[name]
        marked = drawn(ax, "_influential")[0]
        assert {f"T{int(x) - 1}" for x in marked.get_xdata()} == flagged
        assert marked.get_marker() != drawn(ax, "_points")[0].get_marker()
        ends = influence_table(res).attrs["thresholds"][name]
        low = ends[0] if len(ends) > 1 else -np.inf
        expected = set(table.loc[table["influential"] & ~table[name].between(low, ends[-1]), "study"])
        assert {text.get_text() for text in ax.texts} == expected
    assert "'T7'" in alt_text(of["dffits"])


def test_regressions_have_dfbetas_of_each_coefficient(eff):
    fit = metaan.regress(eff, "~ year")
    axes = influence(fit, what=["rstudent", "dfbetas"])
    assert [ax.get_title(loc="left") for ax in axes[-2:]] == ["DFBETAS: Intercept", "DFBETAS: year"]
    np.testing.assert_array_equal(points(axes[-1])[:, 1], metaan.influence(fit)["dfbetas_year"])
    np.testing.assert_allclose(thresholds(axes[-1])[0], -1)
    assert_legible(axes[0])


def test_multilevel_models_and_their_clusters():
    data = pd.DataFrame({"d": list("aabbccddeeff")})
    fit = metaan.multilevel(metaan.effects(np.arange(12) * 0.1, [0.02] * 12, data=data), random="d")
    axes = influence(fit, by="d", what=["statistic", "cooks_d", "sigma2_d_del"])
    assert_legible(axes[0])
    assert [len(points(ax)) for ax in axes] == [6, 6, 6]
    assert axes[-1].get_title(loc="left") == "σ² of d without it"
    below = [text.get_text() for text in axes[-1].get_xticklabels()]
    assert below == list("abcdef")
    assert alt_text(axes[0]).startswith("Influence panel of 6 clusters: ")


@pytest.mark.parametrize("k", [3, 12, 60, 150])
def test_it_can_be_read_at_every_size(k):
    axes = influence(metaan.pool(rates(k)), what=["rstudent", "hat"], style="print" if k == 12 else None)
    assert_legible(axes[0])
    names = [text.get_text() for text in axes[-1].get_xticklabels()]
    assert names[0] == ("Müller 1990" if k <= 20 else "1")
    assert not any(text.get_text() for text in axes[0].get_xticklabels())


def test_numbers_on_the_axis_say_what_they_count():
    table = influence_table(metaan.pool(rates(24)))
    above, below = influence(table, what=["rstudent", "hat"])
    assert (above.get_xlabel(), below.get_xlabel()) == ("", "Study (number of its row in the table)")
    at = int(below.get_xticklabels()[3].get_text())
    known = points(below)
    assert known[known[:, 0] == at, 1].item() == pytest.approx(table["hat"].iloc[at - 1])
    groups = table.rename(columns={"study": "cluster"})
    assert influence(groups, what="hat")[0].get_xlabel() == "Cluster (number of its row in the table)"
    assert influence(table.iloc[:20], what="hat")[0].get_xlabel() == ""


def test_long_names_are_legible():
    axes = influence(metaan.pool(rates(20, study=[f"{LONG} $x_{i:02}$" for i in range(20)])), what=["rstudent", "hat"])
    names = [box for text, box in texts(axes[0]) if text.endswith("$") and box.height > box.width]
    assert len(names) == 20
    assert all(box.x1 < after.x0 for box, after in itertools.pairwise(sorted(names, key=lambda box: box.x0)))
    assert min(box.y0 for box in names) >= 0


def test_infinite_values_stand_at_the_edge():
    alone = metaan.glmm("PLO", events=[0, 0, 3, 0, 0], total=[10, 12, 20, 9, 8])
    (ax,) = influence(alone, what="rstudent")
    at = points(ax)
    assert at[2, 1] == at[:, 1].max() < ax.get_ylim()[1]
    assert "to inf (3)" in alt_text(ax)


def test_a_table_gives_the_same_figure(res):
    one, two = (influence(of, what=["dffits", "hat"]) for of in (res, influence_table(res)))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(points(a), points(b))
        assert thresholds(a) == thresholds(b)
        assert alt_text(a) == alt_text(b)


def test_axes_and_themes(res):
    figure, given = plt.subplots(1, 3)
    before = dict(mpl.rcParams)
    axes = influence(res, what=["dffits", "hat"], ax=given[:2])
    assert list(axes) == list(given[:2])
    assert figure.axes == list(given)
    assert not figure.legends
    assert dict(mpl.rcParams) == before
    with mpl.rc_context(), plt.style.context("dark_background"):
        assert influence(res, what="hat")[0].title.get_color() == "white"
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(influence(res, what=["dffits", "hat"])[0])


def test_what_cannot_be_drawn_is_refused(res):
    with pytest.raises(OptionError, match=r"'leverage' is not here\. Choose from rstudent"):
        influence(res, what=["hat", "leverage"])
    with pytest.raises(OptionError, match="ax holds 1 Axes for 2 diagnostics"):
        influence(res, what=["hat", "dffits"], ax=plt.figure().add_subplot())
    with pytest.raises(InputError, match="at least two studies"):
        influence(metaan.pool(rates(1)))
    with pytest.raises(OptionError, match=r"by choose what a table holds: pass them to metaan\.plot\.influence_table"):
        influence(influence_table(res), by="d")


@pytest.mark.parametrize("option", [{"what": 3}, {"what": [[1]]}])
def test_options_of_a_wrong_type_are_refused(option):
    with pytest.raises(OptionError):
        influence(metaan.pool(rates(6)), **option)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rstudent": "a"}, "not a number"),
        ({"cooks_d": 1j}, "cooks_d"),
        ({"influential": "yes"}, "True or False"),
        (dict.fromkeys(USUAL, np.nan), "nothing to draw"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(res, change, said):
    with pytest.raises(InputError, match=said):
        influence(influence_table(res).assign(**change))


@pytest.mark.parametrize("change", [{"thresholds": None}, {"thresholds": {"hat": [None]}}, {"whole": {"hat": "a"}}])
def test_attrs_that_were_spoilt_are_refused(res, change):
    table = influence_table(res)
    with pytest.raises(InputError, match="lacks study"):
        influence(table.drop(columns="study"))
    table.attrs = table.attrs | change
    with pytest.raises(InputError, match=next(iter(change))):
        influence(table)


def test_names_keep_clear_of_limits_and_stems():
    y = [0.1, 0.3, 0.2, 1.4, 0.2, 0.25, 0.15, 0.3]
    names = [f"Long name {i}" for i in range(8)]
    axes = influence(metaan.pool(metaan.effects(y, [0.02] * 8, study=names), method="CE"))
    written = 0
    for ax in axes:
        at = {text: box for text, box in texts(ax) if text in names}
        for text in ax.texts:
            box = at[text.get_text()].padded(-1)
            written += 1
            for line in drawn(ax, "_threshold") + drawn(ax, "_whole"):
                level = ax.transData.transform((0, line.get_ydata()[0]))[1]
                assert not box.y0 < level < box.y1
    assert written
