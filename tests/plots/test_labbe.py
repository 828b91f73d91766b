"""The L'Abbé plot shows the rates of both arms and the curve of the pooled effect."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn

import metaan
from metaan.errors import InputError, OptionError
from metaan.names import COLUMNS
from metaan.plot import alt_text, labbe, labbe_table

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")


def arms(k, base=0.3, study=None):
    rng = np.random.default_rng(4)
    n = rng.integers(8, 200, (2, k))
    p = rng.beta(2, 2 / base - 2, k)
    q = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + 0.6)))
    names = study or [f"Trial {i}" for i in range(k)]
    counts = {"events_t": rng.binomial(n[0], q), "total_t": n[0], "events_c": rng.binomial(n[1], p), "total_c": n[1]}
    return counts | {"study": names}


FITS = {
    "OR": lambda c: metaan.mantel_haenszel("OR", **c),
    "RR": lambda c: metaan.mantel_haenszel("RR", **c),
    "RD": lambda c: metaan.mantel_haenszel("RD", **c),
    "PETO": lambda c: metaan.peto(**c),
    "AS": lambda c: metaan.pool(metaan.effect_size("AS", **c)),
    "exact OR": lambda c: metaan.glmm("OR", **c),
}


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def test_studies_stand_at_the_rates_of_their_arms():
    some = arms(8)
    res = metaan.mantel_haenszel("OR", **some)
    table, ax = labbe_table(res), labbe(res)
    np.testing.assert_array_equal(table["x"], some["events_c"] / some["total_c"])
    np.testing.assert_array_equal(table["y"], some["events_t"] / some["total_t"])
    points = only(ax, "_points")
    np.testing.assert_allclose(points.get_offsets(), table[["x", "y"]], rtol=1e-14)
    large = res.weights > 0.1 * res.weights.max()  # those that are not drawn larger to be seen
    np.testing.assert_allclose(
        (points.get_sizes() / points.get_sizes().max())[large], (res.weights / res.weights.max())[large], rtol=1e-12
    )
    assert ax.get_xlim() == ax.get_ylim()
    assert set(table.columns) <= set(COLUMNS)
    json.dumps(table.attrs, allow_nan=False)


@pytest.mark.parametrize("name", FITS)
def test_on_the_curve_studies_have_the_pooled_effect(name):
    res = FITS[name](arms(8))
    x, y = (np.asarray(v) for v in only(labbe(res), "_pooled").get_data())
    here = (x > 0.02) & (x < 0.5)
    x, y = x[here], y[here]
    effect = {
        "OR": lambda: np.log(y / (1 - y)) - np.log(x / (1 - x)), "RR": lambda: np.log(y / x), "RD": lambda: y - x,
        "AS": lambda: np.arcsin(np.sqrt(y)) - np.arcsin(np.sqrt(x)),
    }  # fmt: skip
    measure = res.spec.measure.replace("PETO", "OR")
    np.testing.assert_allclose(effect[measure](), res.estimate, rtol=1e-9)


def test_effects_that_are_not_pooled_have_no_curve_and_their_size():
    some = arms(8)
    eff = metaan.effect_size("RR", **some)
    table = labbe_table(eff)
    n = some["total_t"] + some["total_c"]
    np.testing.assert_allclose(table["weight"], 100 * n / n.sum())
    ax = labbe(eff)
    assert not drawn(ax, "_pooled")
    assert only(ax, "_diagonal").get_xydata().tolist() == [[0, 0], [1, 1]]


def test_the_display_scale_and_the_table_give_the_same_figure():
    res = metaan.mantel_haenszel("OR", **arms(8))
    one, two, three = labbe(res), labbe(labbe_table(res)), labbe(res.back())
    for other in (two, three):
        np.testing.assert_array_equal(only(one, "_pooled").get_xydata(), only(other, "_pooled").get_xydata())
        assert alt_text(one) == alt_text(other)
    bare = labbe_table(res)
    bare.attrs = {}
    assert not drawn(labbe(bare), "_pooled")
    with pytest.raises(OptionError, match="arms choose what a table holds"):
        labbe(bare, arms=("a", "b"))


def test_axes_name_the_outcome_and_the_arms():
    asked = {"outcome": "complete_response", "counts": "any", "confidence": "any", "overlaps": "keep"}
    trials = metaan.load("hyperthermia", unit="patient", **asked)
    columns = {name: name for name in ("study", "events_t", "total_t", "events_c", "total_c")}
    ax = labbe(metaan.mantel_haenszel("OR", trials, **columns), arms=("with heat", "without heat"))
    assert ax.get_xlabel().replace("\n", " ") == "Complete response (% of patients), without heat"
    assert ax.get_ylabel().replace("\n", " ") == "Complete response (% of patients), with heat"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "20", "40", "60", "80", "100"]


@pytest.mark.parametrize("k", [3, 12, 60, 150])
@pytest.mark.parametrize("base", [0.3, 0.05])
def test_it_can_be_read_whatever_the_number_of_studies(k, base):
    ax = labbe(metaan.effect_size("OR", **arms(k, base)), label=True)
    assert_legible(ax)
    assert alt_text(ax).startswith(f"L'Abbé plot of {k} studies.")
    x, y = np.asarray(only(ax, "_points").get_offsets()).T
    assert max(x.max(), y.max()) <= ax.get_xlim()[1]


def test_styles_themes_long_names_and_axes_of_the_caller():
    res = metaan.mantel_haenszel("RD", **arms(4, study=[LONG, "A_b$5", "$x$", "Müller"]))
    assert_legible(labbe(res, style="print"))
    ax = labbe(res, arms=(LONG, LONG), label=True)
    assert_legible(ax)
    assert ax.get_legend().get_window_extent().y1 <= ax.xaxis.label.get_window_extent().y0
    with plt.style.context("dark_background"):
        assert_legible(labbe(res))
    sns.set_theme("talk", "darkgrid")
    try:
        assert_legible(labbe(res))
    finally:
        sns.reset_orig()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    assert labbe(res, ax=left) is left
    assert figure.get_figheight() == 4
    assert not right.lines


def test_arms_without_events_are_drawn():
    eff = metaan.effect_size("RD", events_t=[0, 0], total_t=[10, 20], events_c=[0, 0], total_c=[10, 20])
    assert labbe(eff).get_xlim() == (0, 1)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(OptionError, match="shows the rates of two arms"):
        labbe(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.2], measure="SMD")))
    with pytest.raises(InputError, match="make the effects from them"):
        labbe(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.2], measure="OR")))
    with pytest.raises(InputError, match="not int"):
        labbe(3)
    for names in ("ab", ("a",), (1, 2)):
        with pytest.raises(OptionError, match="two names"):
            labbe(metaan.effect_size("OR", **arms(3)), arms=names)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": np.nan}, "x must be from 0 to 1"),
        ({"y": 40.0}, "y must be from 0 to 1"),
        ({"weight": -1.0}, "weight must be"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = labbe_table(metaan.mantel_haenszel("RR", **arms(6)))
    with pytest.raises(InputError, match=said):
        labbe(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused():
    table = labbe_table(metaan.mantel_haenszel("RR", **arms(6))).copy()
    table.attrs = table.attrs | {"sized": "area"}
    with pytest.raises(InputError, match="sized"):
        labbe(table)


@pytest.mark.parametrize("option", [{"label": np.arange(3)}, {"arms": 3}, {"arms": ("a",)}])
def test_options_of_a_wrong_type_are_refused(option):
    with pytest.raises(OptionError):
        labbe(metaan.mantel_haenszel("RR", **arms(6)), **option)


def test_names_beside_points_are_one_line_and_short():
    study = ["a\nb", LONG, "c", "d"]
    found = [text.get_text() for text in labbe(metaan.effect_size("OR", **arms(4, study=study)), label=True).texts]
    assert "a b" in found
    assert max(map(len, found)) < 30
    assert any(LONG.startswith(text.split("…")[0]) for text in found if "…" in text)
