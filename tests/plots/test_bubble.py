"""The bubble plot shows the studies and the regression of its table."""

import dataclasses

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LABELS, LONG, assert_legible, drawn

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, bubble, bubble_table

LEVELS = ("surgery", "radio_therapy", "drug")


def trials(k, levels=LEVELS, seed=1):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "study": [f"{LABELS[i % 10]} {1990 + i}" for i in range(k)],
            "year": rng.integers(1990, 2024, k),
            "therapy": [levels[i % len(levels)] for i in range(k)],
            "dose": rng.uniform(1, 9, k),
            "total": rng.integers(6, 160, k),
        }
    )
    rate = 1 / (1 + np.exp(-(0.06 * (rows["year"] - 2005) + 0.7 * rng.normal(size=k))))
    return rows.assign(events=rng.binomial(rows["total"], rate), late=rows["year"] > 2005)


def eff(k, **options):
    counts = {"events": "events", "total": "total", "study": "study"}
    return metaan.effect_size("PLO", trials(k, **options), **counts, correction="only0")


@pytest.fixture(scope="module")
def fit():
    return metaan.regress(eff(24), "~ year * C(therapy) + dose")


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def rows(table, kind, group=""):
    return table[(table["row"] == kind) & (table["group"] == group)]


def test_studies_stand_where_they_were_observed_with_areas_by_weight():
    fit = metaan.regress(eff(24), "~ year")
    points = only(bubble(fit), "_points")
    np.testing.assert_allclose(points.get_offsets(), np.column_stack([fit.effects.data["year"],
                               fit.effects.events / fit.effects.total]))  # fmt: skip
    sizes = points.get_sizes()
    large = sizes > sizes.max() / 4
    np.testing.assert_allclose((sizes / sizes.max())[large], (fit.weights / fit.weights.max())[large], rtol=1e-12)


@pytest.mark.parametrize("kind", ["regress", "glmm", "beta-binomial", "location-scale", "multilevel"])
def test_the_line_and_its_bands_are_predictions(kind):
    rows_of, counts = trials(24), {"events": "events", "total": "total", "study": "study"}
    fit = {
        "regress": lambda: metaan.regress(eff(24), "~ year"),
        "glmm": lambda: metaan.glmm("PLO", rows_of, **counts, formula="~ year"),
        "beta-binomial": lambda: metaan.beta_binomial(rows_of, **counts, formula="~ year"),
        "location-scale": lambda: metaan.regress(eff(24), "~ year", scale="~ year"),
        "multilevel": lambda: metaan.multilevel(eff(24), random="therapy/study", formula="~ year"),
    }[kind]()
    ax, table = bubble(fit, x="year"), bubble_table(fit, x="year")
    line = rows(table, "line")
    want = fit.predict(pd.DataFrame({"year": line["x"]}), scale="display")
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
        np.testing.assert_allclose(line[name], want[name], rtol=1e-12)
    np.testing.assert_array_equal(only(ax, "_line").get_xydata(), line[["x", "estimate"]])
    for label, low, high in (("_band", "ci_low", "ci_high"), ("_prediction", "pi_low", "pi_high")):
        x, y = only(ax, label).get_paths()[0].vertices.T
        assert (x.min(), x.max()) == (line["x"].min(), line["x"].max())
        np.testing.assert_allclose([y.min(), y.max()], [line[low].min(), line[high].max()], rtol=1e-12)
    assert_legible(ax)


def test_a_line_for_each_category_within_its_studies(fit):
    table = bubble_table(fit, x="year", by="therapy")
    data = fit.effects.data
    for level in LEVELS:
        line = rows(table, "line", level)
        own = data.loc[data["therapy"] == level, "year"]
        assert (line["x"].min(), line["x"].max()) == (own.min(), own.max())
        new = pd.DataFrame({"year": line["x"], "therapy": level, "dose": data["dose"].mean()})
        np.testing.assert_allclose(line["estimate"], fit.predict(new, scale="display")["estimate"], rtol=1e-12)
    assert table.attrs["at"] == {"dose": pytest.approx(data["dose"].mean())}
    ax = bubble(fit, x="year", by="therapy")
    assert [len(points.get_offsets()) for points in drawn(ax, "_points")] == [8, 8, 8]
    forms = {points.get_paths()[0].vertices.tobytes() for points in drawn(ax, "_points")}
    assert len(forms) == len({str(line._dash_pattern) for line in drawn(ax, "_line")}) == 3
    assert not drawn(ax, "_prediction")
    assert len(drawn(bubble(fit, x="year", by="therapy", prediction=True), "_prediction")) == 3
    assert "Held: dose at" in alt_text(ax)


def test_other_moderators_are_held_at_the_reference_or_where_asked(fit):
    data = fit.effects.data
    assert bubble_table(fit, x="year").attrs["at"]["therapy"] == "drug"
    table = bubble_table(fit, x="dose", at={"therapy": "surgery", "year": 2000})
    new = pd.DataFrame({"dose": [data["dose"].min()], "therapy": "surgery", "year": 2000})
    assert rows(table, "line")["estimate"].iloc[0] == pytest.approx(
        fit.predict(new, scale="display")["estimate"][0], rel=1e-12
    )
    based = metaan.regress(eff(24), "~ year + C(therapy, contr.treatment('surgery'))")
    assert bubble_table(based, x="year").attrs["at"] == {"therapy": "surgery"}


def test_categories_have_an_interval_each_and_points_beside_it(fit):
    ax, table = bubble(fit, x="therapy"), bubble_table(fit, x="therapy")
    level = rows(table, "level")
    assert level["x"].tolist() == [0, 1, 2]
    assert table.attrs["levels"] == ["drug", "radio_therapy", "surgery"]
    new = [{"therapy": name, **table.attrs["at"]} for name in table.attrs["levels"]]
    want = fit.predict(new, scale="display")
    np.testing.assert_allclose(level[["estimate", "ci_low"]], want[["estimate", "ci_low"]], rtol=1e-12)
    points = rows(table, "study")
    place = points["x"].round().astype(int)
    assert [table.attrs["levels"][i] for i in place] == fit.effects.data["therapy"].tolist()
    assert (abs(points["x"] - place) <= 0.3).all()
    assert points.groupby(place)["x"].nunique().tolist() == [8, 8, 8]
    pd.testing.assert_frame_equal(table, bubble_table(fit, x="therapy"))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["drug", "radio therapy", "surgery"]
    assert len(drawn(ax, "_band")) == len(drawn(ax, "_prediction")) == 3


def test_categories_in_groups_stand_side_by_side():
    fit = metaan.regress(eff(40), "~ C(therapy) + late")
    table = bubble_table(fit, x="therapy", by="late")
    assert table.attrs["groups"] == ["False", "True"]
    gap = rows(table, "level", "True")["x"].to_numpy() - rows(table, "level", "False")["x"].to_numpy()
    np.testing.assert_allclose(gap, 0.4)
    assert (rows(table, "study", "False")["x"] % 1).between(0.5, 1).all()
    assert_legible(bubble(table))


def test_the_table_gives_the_same_figure(fit):
    table = bubble_table(fit, x="year", by="therapy")
    a, b = bubble(fit, x="year", by="therapy"), bubble(table)
    for left, right in zip(drawn(a, "_line"), drawn(b, "_line"), strict=True):
        np.testing.assert_array_equal(left.get_xydata(), right.get_xydata())
    assert alt_text(a) == alt_text(b)
    with pytest.raises(OptionError, match="x choose what a table holds"):
        bubble(table, x="year")


@pytest.mark.parametrize(("k", "style"), [(3, "jama"), (12, "print"), (60, "lancet"), (150, "bmj")])
def test_it_can_be_read(k, style):
    ax = bubble(metaan.regress(eff(k), "~ year"), style=style, label=["Adams 1991"])
    assert_legible(ax)
    assert [text.get_text() for text in ax.texts] == ["Adams 1991"]
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().x1 <= ax.figure.bbox.x1


def test_the_key_gives_areas_of_weights():
    fit = metaan.regress(eff(60), "~ year")
    ax = bubble(fit)
    area = dict(zip(fit.weights.tolist(), only(ax, "_points").get_sizes().tolist(), strict=True))
    per = max(area.values()) / max(area)
    handles = [(text.get_text(), mark) for text, mark in zip(ax.get_legend().get_texts(),
               ax.get_legend().legend_handles, strict=True) if "Weight" in text.get_text()]  # fmt: skip
    assert len(handles) >= 2
    for text, mark in handles:
        assert mark.get_markersize() ** 2 == pytest.approx(per * float(text[7:-1]), rel=1e-9)


def test_long_and_odd_names_fit():
    fit = metaan.regress(eff(30, levels=(LONG, "$5_a", "Naïve Müller")), "~ therapy + year")
    assert_legible(bubble(fit, x="therapy"))
    ax = bubble(fit, x="year", by="therapy")
    assert_legible(ax)
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().x1 <= ax.figure.bbox.x1
    many = metaan.regress(eff(60, levels=[f"category {i}" for i in range(14)]), "~ therapy")
    assert_legible(bubble(many))


def test_ratios_stand_on_a_log_axis():
    data = pd.DataFrame(
        {"y": [0.1, 0.6, 0.3, 9.0, 0.2], "v": [0.1, 0.2, 0.05, 4, 0.3], "dose": [0.1, 0.2, 0.3, 0.4, 0.9]}
    )
    fit = metaan.regress(metaan.effects("y", "v", data=data, measure="OR"), "~ dose")
    ax = bubble(fit)
    assert ax.get_yscale() == "log"
    np.testing.assert_allclose(only(ax, "_points").get_offsets()[:, 1], np.exp(data["y"]))
    assert drawn(ax, "_null")[0].get_ydata()[0] == 1
    assert_legible(ax)
    assert bubble(fit, ylim=(0.5, 20)).get_ylim() == (0.5, 20)


def test_styles_and_themes_leave_everything_else_alone(fit):
    before = dict(mpl.rcParams)
    with plt.style.context("dark_background"):
        assert bubble(fit, x="year").xaxis.label.get_color() == "white"
    assert dict(mpl.rcParams) == before
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(bubble(fit, x="year", by="therapy"))
    _, (left, right) = plt.subplots(1, 2, layout="constrained")
    count = len(right.get_children())
    assert bubble(fit, x="therapy", ax=left, xlabel="What was done") is left
    assert left.get_xlabel() == "What was done"
    assert len(right.get_children()) == count


def test_what_cannot_be_drawn_is_refused(fit):
    refused = [
        (lambda: bubble(metaan.pool(eff(5))), "Pass what regress returned"),
        (lambda: bubble(fit), "Give x=, one of the moderators"),
        (lambda: bubble(fit, x="age"), "x='age' is not a moderator"),
        (lambda: bubble(fit, x="year", by="year"), "not a second moderator"),
        (lambda: bubble(fit, x="year", by="dose"), "by='dose' is a number"),
        (lambda: bubble(fit, x="year", at={"age": 3}), "at= names 'age'"),
        (lambda: bubble(fit, x="year", label=["Nobody"]), "label names 'Nobody'"),
        (lambda: bubble(metaan.regress(eff(5), "~ 1")), "has no moderator"),
    ]
    for draw, message in refused:
        with pytest.raises(InputError, match=message):
            draw()
    bare = dataclasses.replace(fit, effects=dataclasses.replace(fit.effects, data=None))
    with pytest.raises(InputError, match="pass data="):
        bubble(bare, x="year")
