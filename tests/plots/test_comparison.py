"""The comparison of groups shows its table: studies, pooled effects, both intervals."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, rates

import metaan
from metaan.errors import InputError, OptionError
from metaan.names import COLUMNS
from metaan.plot import comparison, comparison_table
from metaan.plot.rows import example_sizes, spoken, spread

TWO = metaan.effect_size("PLO", events=[12, 9], total=[20, 25], study=["Dee", "Eck"])


@pytest.fixture(scope="module")
def groups():
    """Pooled results of three groups, one of them too small to be pooled."""
    return {
        "Drug": metaan.pool(rates(9, rate=0.3)),
        "Heat": metaan.pool(rates(14, rate=0.6, seed=2)),
        "Few": metaan.pool(TWO),
    }


@pytest.fixture(scope="module")
def units(groups):
    return {
        "Per lesion": groups,
        "Per patient": {"Heat": metaan.pool(rates(6, seed=5)), "Light": metaan.pool(rates(5, seed=6))},
    }


@pytest.fixture(scope="module")
def ax(groups):
    return comparison(groups)


def lines(ax, label):
    """Ends and heights of horizontal lines."""
    return np.array([line.get_segments()[0].ravel()[[0, 2, 1]] for line in drawn(ax, label)])


def test_the_table_holds_what_the_results_say(groups):
    table = comparison_table(groups)
    for name, res in groups.items():
        part, shown = table[table["group"] == name].set_index("row"), res.back()
        assert part.loc["group", "k"] == res.k
        assert part.loc["group", "total"] == res.effects.total.sum()
        study = part.loc["study"]
        np.testing.assert_allclose(study["estimate"], res.effects.events / res.effects.total, rtol=1e-14)
        np.testing.assert_array_equal(study["vi"], res.effects.vi)
        assert ("pooled" in part.index) == (res.k >= 3)
        if res.k >= 3:
            pooled = part.loc["pooled"]
            assert (pooled["estimate"], pooled["low"], pooled["high"]) == (shown.estimate, shown.ci_low, shown.ci_high)
            assert tuple(part.loc["prediction", ["low", "high"]]) == (shown.pi_low, shown.pi_high)
    assert comparison_table(groups, least=2)["row"].eq("pooled").sum() == 3


def test_marks_stand_where_the_table_says(ax, groups):
    table = comparison_table(groups)
    by_row = {row: table[table["row"] == row] for row in ("study", "pooled", "prediction")}
    for row in ("pooled", "prediction"):
        np.testing.assert_array_equal(lines(ax, f"_{row}")[:, :2], by_row[row][["low", "high"]])
    x = [float(mark.get_xdata()[0]) for mark in drawn(ax, "_estimate")]
    assert x == by_row["pooled"]["estimate"].tolist()
    points = drawn(ax, "_points")
    assert len(points) == 3
    for collection, name in zip(points, groups, strict=True):
        own = by_row["study"][by_row["study"]["group"] == name]
        np.testing.assert_array_equal(collection.get_offsets()[:, 0], own["estimate"])
        areas = collection.get_sizes()
        large = own["total"].to_numpy() >= 60  # smaller ones have the least size
        np.testing.assert_allclose(areas[large] / own["total"][large], areas.max() / own["total"].max(), rtol=1e-12)
    thick, thin = (drawn(ax, label)[0].get_linewidths()[0] for label in ("_pooled", "_prediction"))
    assert thick > 3 * thin
    assert not drawn(ax, "_arrow")


def test_columns_are_in_the_vocabulary(groups):
    assert set(comparison_table(groups).columns) <= set(COLUMNS)


def test_points_stay_in_their_line_and_apart(ax):
    ticks = ax.get_yticks()
    for collection, tick in zip(drawn(ax, "_points"), ticks, strict=True):
        assert (np.abs(collection.get_offsets()[:, 1] - tick) < 1.4).all()
    x, radius = np.array([0.0, 1.0, 2.0, 40.0]), np.array([3.0, 3.0, 3.0, 3.0])
    heights = spread(x, radius, 12.0)
    assert heights[3] == 0
    gaps = np.hypot(*(np.subtract.outer(v, v)[np.triu_indices(3, 1)] for v in (x[:3], heights[:3])))
    assert (gaps >= 6).all()
    np.testing.assert_array_equal(heights, spread(x, radius, 12.0))


def test_texts_on_the_right_are_those_of_the_table(ax, groups):
    table = comparison_table(groups)
    said = [text.get_text() for text in drawn(ax, "_column")]
    heads = table[table["row"] == "group"]
    rows = table[table["row"] == "pooled"]
    shown = [f"{100 * r.estimate:.1f} ({100 * r.low:.1f}–{100 * r.high:.1f})" for r in rows.itertuples()]
    assert said == [f"{k:.0f}" for k in heads["k"]] + [f"{n:,.0f}" for n in heads["total"]] + shown
    assert [text.get_text() for text in drawn(ax, "_head")] == ["k", "n", "Rate, % (95% CI)"]
    only = comparison(groups, columns=["k"])
    assert [text.get_text() for text in drawn(only, "_head")] == ["k"]
    assert any(text.get_text() == "Fewer than 3 studies: not pooled" for text in ax.get_legend().get_texts())


def test_the_table_gives_the_same_figure(ax, groups):
    other = comparison(comparison_table(groups))
    for a, b in zip(drawn(ax, "_points"), drawn(other, "_points"), strict=True):
        np.testing.assert_array_equal(a.get_offsets(), b.get_offsets())
    np.testing.assert_array_equal(lines(ax, "_pooled"), lines(other, "_pooled"))
    part = comparison_table(groups).query("group != 'Drug'")
    assert [text.get_text() for text in comparison(part).get_yticklabels()] == ["Heat", "Few"]


def test_units_stand_side_by_side_on_one_scale(units):
    axes = comparison(units, sort="label")
    assert [ax.get_title(loc="left") for ax in axes] == list(units)
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["Drug", "Few", "Heat", "Light"]
    assert [len(drawn(ax, "_points")) for ax in axes] == [3, 2]
    assert_legible(axes[0])
    assert axes[0].figure.get_figwidth() <= 183 / 25.4


def test_units_can_stand_below_each_other_told_apart_by_form(units):
    ax = comparison(units, arrange="dodged")
    assert_legible(ax)
    found = drawn(ax, "_points")
    assert len(found) == 5
    assert len({len(points.get_paths()[0].vertices) for points in found}) == 2  # circles and squares
    assert len({tuple(points.get_facecolor()[0][:3]) for points in found}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()[:2]] == list(units)


def test_subgroups_lists_and_bare_effects_are_taken(groups):
    trials = metaan.load("all", outcome="complete_response", unit="patient", overlaps="prefer_largest")
    eff = metaan.effect_size("PLO", trials, events="events", total="total", study="study", correction="only0")
    sub = metaan.subgroups(eff, by="therapy", model="glmm")
    ax = comparison(sub, sort="estimate")
    assert ax.get_xlabel() == "Complete response (% of patients)"
    names = [text.get_text().replace("\n", " ") for text in ax.get_yticklabels()]
    best = sorted((g.back().estimate, spoken(name)) for name, g in sub.groups.items() if g.k >= 3)
    assert names[: len(best)] == [name for _, name in best[::-1]]
    assert "Radiotherapy with hyperthermia" in names
    assert set(comparison_table(list(groups.values()))["group"]) == {"Group 1", "Group 2", "Group 3"}
    table = comparison_table({"Bare": groups["Heat"].effects})
    assert set(table["row"]) == {"group", "study"}


@pytest.mark.parametrize("k", [1, 3, 12, 60, 150])
def test_it_can_be_read_at_every_size(k):
    ax = comparison([metaan.pool(rates(k, seed=seed, rate=rate)) for seed, rate in ((1, 0.3), (2, 0.6))], label=2)
    assert_legible(ax)
    assert len(drawn(ax, "_points")) == 2
    plt.close(ax.figure)


def test_ratios_have_a_log_axis_and_a_null_and_long_names_can_be_read():
    rng = np.random.default_rng(1)
    res = {
        name: metaan.pool(metaan.effects(rng.normal(0.2, 0.5, 8), rng.uniform(0.02, 0.3, 8), measure="OR"))
        for name in (LONG, "a_b $5", "x" * 60)
    }
    ax = comparison(res)
    assert_legible(ax)
    assert ax.get_xscale() == "log"
    assert drawn(ax, "_null")[0].get_xdata()[0] == 1
    assert any("variance" in text.get_text() for text in ax.get_legend().get_texts())
    wild = metaan.pool(metaan.effects([-3.0, 0.1, 3.0], [0.01, 0.01, 0.01], measure="OR"))
    ax = comparison({**res, "Wild": wild})
    assert len(drawn(ax, "_arrow")) == 4  # both intervals leave the axis on both sides
    assert_legible(ax)


def test_styles_themes_and_axes_of_the_caller(groups):
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    assert comparison(groups, ax=axes[0], style="print") is axes[0]
    assert not axes[1].texts
    assert_legible(axes[0])
    plt.close(figure)
    with plt.style.context("dark_background"):
        assert_legible(comparison(groups, style="lancet"))
    with plt.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(comparison(groups))


def test_it_says_in_words_what_it_shows(ax, groups):
    said = metaan.plot.alt_text(ax)
    res = groups["Drug"].back()
    assert said.startswith("Comparison of 3 groups with 25 studies: Rate (%).")
    assert f"Drug {100 * res.estimate:.1f}% (95% interval {100 * res.ci_low:.1f}% to {100 * res.ci_high:.1f}%)" in said


def test_sizes_of_the_key_lie_between_the_smallest_and_the_largest():
    assert example_sizes(np.array([7.0, 654.0])) == [7.0, 60.0, 600.0]
    assert example_sizes(np.array([23.0, np.nan, 60.0])) == [30.0, 60.0]
    assert example_sizes(np.array([88.0])) == [80.0]


def test_what_cannot_be_compared_is_refused(groups):
    with pytest.raises(InputError, match="holds no groups"):
        comparison(3)
    with pytest.raises(InputError, match=r"'B': neither a pooled result nor Effects"):
        comparison_table({"A": groups["Drug"], "B": 4})
    odds = metaan.pool(metaan.effects([0.1, 0.2, 0.3], [0.1, 0.1, 0.1], measure="OR"))
    with pytest.raises(InputError, match=r"several scales \(rate, ratio\)"):
        comparison({"A": groups["Drug"], "B": odds})
    with pytest.raises(OptionError, match="least=0 must be a whole number"):
        comparison(groups, least=0)
    with pytest.raises(OptionError, match="columns holds 'weight'"):
        comparison(groups, columns=["weight"])
    with pytest.raises(OptionError, match="needs the total"):
        comparison({"A": odds}, size="total")
    with pytest.raises(OptionError, match=r"least choose.*comparison_table"):
        comparison(comparison_table(groups), least=4)
    with pytest.raises(InputError, match="lacks panel"):
        comparison(pd.DataFrame({"study": ["A"]}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"estimate": "a"}, "not a number"),
        ({"estimate": np.nan}, "estimate must be from 0 to 1"),
        ({"scale": "log"}, "scale of the table"),
        ({"total": -1.0}, "total must be"),
        ({"row": "group"}, "no row of kind 'study'"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(groups, change, said):
    table = comparison_table(groups)
    with pytest.raises(InputError, match=said):
        comparison(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused(groups):
    table = comparison_table(groups).copy()
    table.attrs = table.attrs | {"groups": 3}
    with pytest.raises(InputError, match="groups"):
        comparison(table)


def test_an_empty_list_of_axes_is_refused(groups):
    with pytest.raises(OptionError, match="Axes"):
        comparison(groups, ax=[])


@pytest.mark.parametrize("option", [{"label": "x"}, {"label": 2.5}, {"columns": 3}])
def test_options_of_a_wrong_type_are_refused(groups, option):
    with pytest.raises(OptionError):
        comparison(groups, **option)
