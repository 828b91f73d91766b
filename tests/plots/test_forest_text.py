"""The texts of a forest plot can be read, whatever the studies, the theme and the room."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import LONG, assert_legible, drawn, effects, height_of, inside, rates, texts

import metaan
from metaan.plot import forest, forest_table


@pytest.mark.parametrize("k", [1, 3, 12, 60, 150])
@pytest.mark.parametrize("kind", ["names", "long", "short", "effects"])
def test_no_text_overlaps_another_or_leaves_the_figure(k, kind):
    if kind == "effects":
        eff = effects(k)
    else:
        study = {
            "names": None,
            "long": [f"{LONG} {i}" for i in range(k)],
            "short": [f"{i}" for i in range(k)],
        }
        eff = rates(k, study=study[kind])
    ax = forest(metaan.pool(eff), title=f"{LONG}: {LONG}" if kind == "short" else "Title")
    assert_legible(ax)


@pytest.mark.parametrize("dpi", [72, 100, 300])
@pytest.mark.parametrize("size", [5, 10, 16])
def test_text_stays_apart_at_every_size_and_resolution(size, dpi):
    with plt.rc_context({"font.size": size, "figure.dpi": dpi}):
        ax = forest(metaan.pool(rates(12, study=[f"{LONG} {i}" for i in range(12)])))
        assert_legible(ax)


def test_the_title_stands_over_the_rule_and_the_summary_apart():
    ax = forest(metaan.pool(rates(3)), title="Title")
    label = next(text.get_text() for text in ax.texts if text.get_text().startswith("Pooled rate"))
    boxes = dict(texts(ax))
    top = max(rule.get_window_extent().y1 for rule in drawn(ax, "_rule"))
    assert boxes["Title"].y0 > top
    rows = [height_of(ax, text) for text in ("Müller 1990", "Adams 1991", "Kowalczyk-Łęcka 1992", label)]
    steps = np.diff(rows)
    assert steps[0] == pytest.approx(steps[1])
    assert steps[2] > steps[1]


def test_statistics_stand_beside_the_axis_where_they_and_its_label_fit():
    beside = set()
    for length in range(5, 50, 5):  # room on the left grows from too little to plenty
        res = metaan.pool(rates(2, study=["n" * length, "b"]))
        model = forest_table(res)["study"][lambda text: text.str.startswith("Model")].item()
        ax = forest(res, xlabel=LONG, style="revman")
        assert_legible(ax)
        beside.add(dict(texts(ax))[model].y1 > ax.xaxis.label.get_window_extent().y0)
        plt.close(ax.figure)
    assert beside == {False, True}


def test_a_long_axis_label_is_broken_into_lines():
    ax = forest(metaan.pool(rates(3)), xlabel=" ".join([LONG] * 3))
    assert "\n" in ax.get_xlabel()
    assert_legible(ax)


def test_bold_text_gets_the_room_that_it_takes():
    table = forest_table(metaan.pool(rates(3)))
    table.loc[table["row"] == "pooled", "study"] = "all of the pooled studies together " * 3
    assert_legible(forest(table))


def test_squares_at_both_ends_of_the_axis_leave_the_columns_free():
    eff = metaan.effect_size("PLO", events=[0, 500, 3], total=[500, 500, 10], correction="only0")
    ax = forest(metaan.pool(eff, method="CE"))
    (squares,) = drawn(ax, "_squares")
    half = np.sqrt(squares.get_sizes()) * ax.figure.dpi / 144
    for (x, y), side in zip(ax.transData.transform(squares.get_offsets()), half, strict=True):
        for text, box in texts(ax):
            apart = box.x1 < x - side or box.x0 > x + side or box.y1 < y - side or box.y0 > y + side
            assert apart, text


def test_large_counts_do_not_run_together():
    eff = metaan.effect_size("PLO", events=[999_999, 5, 123_456], total=[10_000_000, 10, 7_654_321])
    assert_legible(forest(metaan.pool(eff)))


def test_labels_are_text_and_not_markup():
    names = ["cost $5 and $6", "a_b^c", "100 % & more", "two\nlines\tand a tab"]
    ax = forest(metaan.pool(rates(4, study=names)))
    said = [text for text, _ in texts(ax)]
    assert {"cost $5 and $6", "a_b^c", "100 % & more", "two lines and a tab"} <= set(said)
    assert not any(text.get_parse_math() for text in ax.texts)


def test_other_words_are_text_too_and_stand_on_lines_of_their_own_making():
    words = "1 $\\tau$ & $2\nof\tit"
    table = forest_table(metaan.pool(rates(3)))
    table.loc[table["row"].isin(["pooled", "statistics", "note"]), "study"] = words
    for footnotes in (table, table[table["row"] != "note"]):
        ax = forest(footnotes, title=words, xlabel=words)
        said = [text for text, _ in texts(ax)]
        assert said.count("1 $\\tau$ & $2 of it") == len(footnotes) - 4 + 2  # title and axis, no studies, no interval
        assert_legible(ax)


def test_no_global_setting_changes():
    with plt.rc_context({"text.hinting": "force_autohint"}):  # not what the texts are drawn with
        before = dict(mpl.rcParams)
        forest(metaan.pool(rates(3))).figure.draw_without_rendering()
        assert dict(mpl.rcParams) == before


def test_text_is_8_point_unless_rcparams_say_otherwise():
    sizes = {text.get_fontsize() for text in forest(metaan.pool(rates(3)), footnote=False).texts}
    assert sizes == {8.0}
    with plt.rc_context({"font.size": 12, "font.family": "serif", "text.color": "navy"}):
        ax = forest(metaan.pool(rates(3)), footnote=False)
    assert {text.get_fontsize() for text in ax.texts} == {12.0}
    assert {text.get_color() for text in ax.texts} == {"navy"}
    assert all(text.get_fontfamily()[-1] == "serif" for text in ax.texts)


@pytest.mark.parametrize("theme", ["darkgrid", "whitegrid", "white"])
def test_seaborn_themes_set_the_size_and_leave_the_table_clean(theme):
    with sns.axes_style(theme), sns.plotting_context("talk"):
        ax = forest(metaan.pool(rates(12)))
        assert ax.texts[0].get_fontsize() == pytest.approx(18)
        assert_legible(ax)
    assert not any(grid.get_visible() for grid in ax.get_xgridlines())
    assert not ax.spines["left"].get_visible()


@pytest.mark.parametrize("size", [[9, 5], [5, 8], [12, 3]], ids=["large", "narrow", "low"])
def test_a_given_axes_is_used_and_its_room_kept(size):
    figure = plt.figure(figsize=size)
    ax = figure.add_axes((0.05, 0.05, 0.9, 0.9))
    box = ax.get_window_extent().extents
    assert forest(metaan.pool(rates(12)), ax=ax, title="Title") is ax
    assert plt.get_fignums() == [figure.number]
    assert figure.get_size_inches().tolist() == size
    inside(ax, box)
    assert_legible(ax)
    assert ax.bbox.width > 9 * ax.texts[0].get_fontsize() * figure.dpi / 72


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_two_plots_side_by_side(layout):
    _, axes = plt.subplots(1, 2, figsize=(16, 5), layout=layout)
    for ax in axes:
        forest(metaan.pool(rates(12)), ax=ax)
    assert_legible(axes[0])


def test_a_plot_in_a_subfigure_stays_there():
    figure = plt.figure(figsize=(16, 6))
    left, right = figure.subfigures(1, 2)
    ax = forest(metaan.pool(rates(12)), ax=right.add_axes((0.05, 0.05, 0.9, 0.9)))
    inside(ax, (800 + 40, 30, 800 + 760, 570))
    assert not left.axes


def test_text_shrinks_when_the_axes_is_small_and_marks_with_it():
    figure = plt.figure(figsize=(5, 3))
    ax = forest(metaan.pool(rates(12)), ax=figure.add_axes((0, 0, 1, 1)))
    (squares,) = drawn(ax, "_squares")
    (large,) = drawn(forest(metaan.pool(rates(12))), "_squares")
    ratio = ax.texts[0].get_fontsize() / 8
    assert 0.5 <= ratio < 1
    np.testing.assert_allclose(np.sqrt(squares.get_sizes() / large.get_sizes()), ratio, rtol=1e-12)
