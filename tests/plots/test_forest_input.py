"""What a forest plot takes and what it refuses."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers.figures import drawn, rates

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import forest, forest_table


@pytest.mark.parametrize(
    ("xlim", "message"),
    [
        ((0, 60), r"Did you mean \(0, 0.6\)"),
        ((-0.1, 0.5), "must lie between 0 and 1"),
        ((0.6, 0.2), "the lower one first"),
        ((0.2, 0.2), "the lower one first"),
        ((0, float("nan")), "finite"),
        ((0, 0.5, 1), "two numbers"),
        ("ab", "two numbers"),
        (0.5, "two numbers"),
    ],
)
def test_impossible_limits_are_refused(xlim, message):
    with pytest.raises(OptionError, match=message):
        forest(metaan.pool(rates(3)), xlim=xlim)


def test_an_axes_that_cannot_hold_the_plot_is_refused_with_the_size_it_needs():
    _, ax = plt.subplots(figsize=(3, 2))
    with pytest.raises(OptionError, match=r"ax is too small .* It wants about \d\.\d x \d+\.\d"):
        forest(metaan.pool(rates(60)), ax=ax)


@pytest.mark.parametrize("ax", ["axes", None])
def test_only_an_axes_in_a_figure_can_be_drawn_on(ax):
    if ax is None:
        _, ax = plt.subplots()
        ax.remove()
    with pytest.raises(OptionError, match="not a matplotlib Axes"):
        forest(metaan.pool(rates(3)), ax=ax)


def test_an_edited_table_is_drawn_as_it_stands():
    table = forest_table(metaan.pool(rates(5)), sort="weight")
    table.loc[0, "study"] = "Renamed"
    table.loc[0, ["estimate", "low", "high"]] = 0.5, 0.25, 0.75
    ax = forest(table)
    assert "Renamed" in [text.get_text() for text in ax.texts]
    assert drawn(ax, "_squares")[0].get_offsets()[0, 0] == 0.5
    assert drawn(ax, "_intervals")[0].get_segments()[0][:, 0].tolist() == [0.25, 0.75]


def test_a_table_without_weights_has_no_column_for_them():
    table = forest_table(metaan.pool(rates(4))).assign(weight=np.nan)
    ax = forest(table)
    assert "Weight, %" not in [text.get_text() for text in ax.texts]
    assert len(set(drawn(ax, "_squares")[0].get_sizes())) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns=["low", "scale"]), "lacks low, scale"),
        (lambda table: table.replace({"row": {"pooled": "total"}}), "'total'.* is not known"),
        (lambda table: table[table["row"] != "study"], "no row of kind 'study'"),
    ],
)
def test_a_table_that_cannot_be_drawn_is_refused(change, message):
    with pytest.raises(OptionError, match=message):
        forest(change(forest_table(metaan.pool(rates(3)))))


def test_options_of_the_table_do_not_apply_to_a_table():
    with pytest.raises(OptionError, match="sort, footnote choose what a table holds"):
        forest(forest_table(metaan.pool(rates(3))), sort="weight", footnote=False)


@pytest.mark.parametrize("res", [None, [1, 2], "res"])
def test_only_results_and_tables_can_be_drawn(res):
    with pytest.raises(OptionError, match="Pass what pool, glmm, beta_binomial"):
        forest(res)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"estimate": "a"}, "not a number"),
        ({"scale": "log"}, "scale holds 'log'"),
        ({"weight": -1.0}, "weight must be"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = forest_table(metaan.pool(rates(6)))
    with pytest.raises(InputError, match=said):
        forest(table.assign(**change))


@pytest.mark.parametrize("kind", ["polar", "flat"])
def test_axes_that_cannot_hold_a_plot_are_refused(kind):
    figure = plt.figure()
    ax = figure.add_subplot(projection="polar") if kind == "polar" else figure.add_axes((0.1, 0.1, 0.5, 0.0))
    for draw in (metaan.plot.forest, metaan.plot.funnel, metaan.plot.radial):
        with pytest.raises(OptionError, match="polar" if kind == "polar" else "no height"):
            draw(metaan.pool(rates(5)), ax=ax)


def test_a_log_axis_that_was_given_is_made_straight():
    _, ax = plt.subplots()
    ax.set(xscale="log", yscale="log")
    metaan.plot.radial(metaan.pool(rates(5)), ax=ax)
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")
