"""The marks of a forest plot stand where its table says."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns

import metaan
from metaan.errors import OptionError
from metaan.plot import forest, forest_table


def studies(table):
    return table[table["row"] == "study"]


def line(table, kind):
    return table[table["row"] == kind].iloc[0]


def height_of(ax, text):
    """Row at which a text stands (middle of its capitals)."""
    found = next(t for t in ax.texts if t.get_text() == text)
    x, y = found.get_transform().transform(found.get_position())
    rise = 0.36 * found.get_fontsize() * ax.figure.dpi / 72
    return ax.transData.inverted().transform((x, y + rise))[1]


@pytest.mark.parametrize("k", [1, 3, 12, 60])
def test_squares_stand_at_the_estimates_with_areas_like_the_weights(rates, drawn, k):
    res = metaan.pool(rates(k))
    ax = forest(res)
    table = studies(forest_table(res))
    (squares,) = drawn(ax, "_squares")
    x, y = squares.get_offsets().T
    np.testing.assert_allclose(x, table["estimate"], rtol=1e-14)
    np.testing.assert_allclose(np.diff(y), 1)
    np.testing.assert_allclose(squares.get_sizes() / res.weights, squares.get_sizes()[0] / res.weights[0], rtol=1e-12)
    side = np.sqrt(squares.get_sizes().max()) / 72  # inches
    row = ax.get_position().height * ax.figure.get_figheight() / abs(np.diff(ax.get_ylim())[0])
    assert 0.5 * row < side < 0.8 * row


@pytest.mark.parametrize("k", [1, 3, 12, 60])
def test_intervals_end_where_the_table_says(rates, drawn, k):
    res = metaan.pool(rates(k))
    ax = forest(res, interval="wilson")
    table = studies(forest_table(res, interval="wilson"))
    (intervals,) = drawn(ax, "_intervals")
    (squares,) = drawn(ax, "_squares")
    segments = np.array(intervals.get_segments())
    np.testing.assert_allclose(segments[:, 0, 0], table["low"], rtol=1e-14)
    np.testing.assert_allclose(segments[:, 1, 0], table["high"], rtol=1e-14)
    np.testing.assert_array_equal(segments[:, 0, 1], squares.get_offsets()[:, 1])
    np.testing.assert_array_equal(segments[:, 1, 1], squares.get_offsets()[:, 1])


def test_the_diamond_ends_at_the_limits_and_is_widest_at_the_estimate(rates, drawn):
    res = metaan.pool(rates(12))
    ax = forest(res)
    (diamond,) = drawn(ax, "_pooled")
    left, up, right, down = diamond.get_xy()[:4]
    shown = res.back()
    assert (left[0], up[0], right[0], down[0]) == (
        shown.ci_low,
        shown.estimate,
        shown.ci_high,
        shown.estimate,
    )
    assert left[1] == right[1] == pytest.approx((up[1] + down[1]) / 2)
    assert left[1] == pytest.approx(height_of(ax, "Pooled rate"))


def test_the_dashed_line_runs_through_the_estimate_from_header_to_diamond(rates, drawn):
    res = metaan.pool(rates(12))
    ax = forest(res)
    (reference,) = drawn(ax, "_reference")
    (start, end) = reference.get_segments()[0]
    assert start[0] == end[0] == res.back().estimate
    assert 0 < start[1] < 1
    assert end[1] == pytest.approx(height_of(ax, "Pooled rate"))
    assert not drawn(ax, "_null")


def test_the_bar_covers_the_prediction_interval(rates, drawn):
    res = metaan.pool(rates(12))
    ax = forest(res)
    (bar,) = drawn(ax, "_prediction")
    shown = res.back()
    assert bar.get_x() == shown.pi_low
    assert bar.get_x() + bar.get_width() == pytest.approx(shown.pi_high, rel=1e-14)
    assert bar.get_y() + bar.get_height() / 2 == pytest.approx(height_of(ax, "95% prediction interval"))


@pytest.mark.parametrize(("k", "options"), [(2, {}), (12, {"prediction": False})])
def test_no_bar_without_a_prediction_interval(rates, drawn, k, options):
    ax = forest(metaan.pool(rates(k)), **options)
    assert not drawn(ax, "_prediction")
    assert "95% prediction interval" not in [text.get_text() for text in ax.texts]


def test_each_label_stands_at_the_height_of_its_square(rates, drawn):
    eff = rates(12)
    ax = forest(metaan.pool(eff), sort="estimate")
    (squares,) = drawn(ax, "_squares")
    order = studies(forest_table(metaan.pool(eff), sort="estimate"))["study"]
    for label, y in zip(order, squares.get_offsets()[:, 1], strict=True):
        assert height_of(ax, label) == pytest.approx(y)


def test_the_columns_say_what_the_table_holds():
    eff = metaan.effect_size("PLO", events=[3, 9, 12], total=[44, 40, 20], study=["Ames", "Bo", "Clark"])
    res = metaan.pool(eff)
    said = [text.get_text() for text in forest(res).texts]
    for text in (
        "Study",
        "Events",
        "Total",
        "Rate, % (95% CI)",
        "Weight, %",
        "Bo",
        "9",
        "40",
        "22.5",
        "(10.8–38.5)",
    ):
        assert said.count(text) == 1, text
    shown = res.back()
    assert f"{100 * shown.estimate:.1f}" in said
    assert f"({100 * shown.ci_low:.1f}–{100 * shown.ci_high:.1f})" in said
    assert {"24", "104", "100.0"} <= set(said)
    assert [text.get_fontweight() for text in forest(res).texts if text.get_text() == "Pooled rate"] == ["bold"]


def test_numbers_end_below_their_heading(rates, texts):
    found = texts(forest(metaan.pool(rates(12))))
    headers = dict(found)
    lines = {"Events": 13, "Total": 13, "Rate, % (95% CI)": 14, "Weight, %": 13}
    for header, count in lines.items():
        right = headers[header].x1
        cells = [box for text, box in found if abs(box.x1 - right) < 1.5 and text != header]
        assert len(cells) == count, header
        assert all(box.y1 < headers[header].y0 for box in cells)


def test_rates_run_from_0_to_100_per_cent(rates):
    ax = forest(metaan.pool(rates(12)))
    assert ax.get_xlim() == (0, 1)
    np.testing.assert_allclose(ax.get_xticks(), [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "20", "40", "60", "80", "100"]
    assert ax.get_xlabel() == "Rate (%)"


@pytest.mark.parametrize(("events", "high"), [([10, 12, 14], 1), ([1, 2, 3], 0.4)])
def test_rates_beyond_one_half_get_the_whole_axis(events, high):
    res = metaan.pool(metaan.effect_size("PLO", events=events, total=[30, 30, 30]))
    assert (forest_table(res)["high"].max() > 0.5) == (high == 1)
    assert forest(res).get_xlim() == (0, high)


def test_low_rates_get_a_shorter_axis_that_cuts_nothing(drawn):
    res = metaan.pool(metaan.effect_size("PLO", events=[1, 2, 3], total=[90, 100, 110]))
    ax = forest(res)
    low, high = ax.get_xlim()
    assert low == 0
    assert forest_table(res)["high"].max() <= high < 0.2
    assert not drawn(ax, "_cut high")


def test_effects_get_an_axis_with_a_line_at_no_effect(effects, drawn):
    res = metaan.pool(effects(8))
    ax = forest(res, xlabel="Log odds ratio")
    (null,) = drawn(ax, "_null")
    assert {point[0] for point in null.get_segments()[0]} == {0.0}
    low, high = ax.get_xlim()
    table = forest_table(res)
    assert low <= table["low"].min()
    assert table["high"].max() <= high
    said = [text.get_text() for text in ax.texts]
    assert "Events" not in said
    first = studies(table).iloc[0]
    assert f"({first['low']:.2f} to {first['high']:.2f})".replace("-", "−") in said


@pytest.mark.parametrize("factor", [1e-7, 1, 1e9])
def test_effects_of_any_size_can_be_read(effects, texts, factor):
    eff = effects(5)
    ax = forest(metaan.pool(metaan.effects(eff.yi * factor, eff.vi * factor**2)))
    assert 3 <= len(ax.get_xticks()) <= 7
    assert_legible(ax, texts)


def test_cut_intervals_have_an_arrow_and_others_have_none(rates, drawn):
    res = metaan.pool(rates(12))
    low, high = 0.2, 0.7
    ax = forest(res, xlim=(low, high))
    table = forest_table(res)
    table = table[table["low"].notna()]
    (squares,) = drawn(ax, "_squares")
    for label, cut, edge in (
        ("_cut low", table["low"] < low, low),
        ("_cut high", table["high"] > high, high),
    ):
        (arrows,) = drawn(ax, label)
        x, y = arrows.get_offsets().T
        assert (x == edge).all()
        names = table["study"][cut]
        assert 0 < len(names) < len(table)
        np.testing.assert_allclose(y, [height_of(ax, name) for name in names])
    seen = studies(table)["estimate"].between(low, high)
    assert len(squares.get_offsets()) == seen.sum() < len(seen)
    (intervals,) = drawn(ax, "_intervals")
    ends = np.array(intervals.get_segments())[:, :, 0]
    assert ends.min() == low
    assert ends.max() == high


def test_an_interval_beyond_the_axis_leaves_only_its_arrow(drawn):
    eff = metaan.effect_size("PLO", events=[1, 2, 19], total=[90, 100, 20], study=["a", "b", "c"])
    ax = forest(metaan.pool(eff, pi="none"), xlim=(0, 0.3))
    (intervals,), (arrows,) = drawn(ax, "_intervals"), drawn(ax, "_cut high")
    assert len(intervals.get_segments()) == 2
    assert height_of(ax, "c") == pytest.approx(arrows.get_offsets()[0, 1])


def test_nothing_is_cut_by_default(rates, drawn):
    ax = forest(metaan.pool(rates(12)))
    assert not drawn(ax, "_cut low")
    assert not drawn(ax, "_cut high")


def test_limits_at_the_ends_of_the_axis_are_not_cut(drawn):
    eff = metaan.effect_size("PLO", events=[0, 20, 5], total=[20, 20, 10], correction="only0")
    table = forest_table(metaan.pool(eff))
    assert table["low"].min() == 0
    assert table["high"].max() == 1
    ax = forest(metaan.pool(eff), xlim=(0, 1))
    assert not drawn(ax, "_cut low")
    assert not drawn(ax, "_cut high")


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
def test_impossible_limits_are_refused(rates, xlim, message):
    with pytest.raises(OptionError, match=message):
        forest(metaan.pool(rates(3)), xlim=xlim)


def test_all_rates_zero(drawn):
    eff = metaan.effect_size("PAS", events=[0, 0, 0], total=[12, 30, 9])
    ax = forest(metaan.pool(eff))
    (squares,), (diamond,) = drawn(ax, "_squares"), drawn(ax, "_pooled")
    assert (squares.get_offsets()[:, 0] == 0).all()
    assert diamond.get_xy()[:, 0].min() == 0


@pytest.mark.parametrize(
    ("events", "total"), [([0, 0, 0], [12, 30, 9]), ([15] * 4, [15] * 4), ([2, 3, 4], [20, 30, 40]), ([4], [10])]
)
def test_every_answer_of_the_glmm_can_be_drawn(drawn, texts, events, total):
    res = metaan.glmm("PLO", events=events, total=total)
    ax = forest(res)
    (diamond,) = drawn(ax, "_pooled")
    shown = res.back()
    assert (diamond.get_xy()[0, 0], diamond.get_xy()[2, 0]) == (shown.ci_low, shown.ci_high)
    assert any("binomial-normal GLMM" in text.get_text() for text in ax.texts)
    assert_legible(ax, texts)


def assert_legible(ax, texts):
    """No two texts touch, none leaves the figure."""
    found = texts(ax)
    width, height = ax.figure.bbox.size
    for text, box in found:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
    edges = np.array([(box.x0, box.y0, box.x1, box.y1) for _, box in found])
    x0, y0, x1, y1 = edges.T
    apart = 0.15 * np.median(y1 - y0)  # a thin space
    across = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0) + apart
    along = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    # A box includes the room under the line; half a pixel is rounding.
    both = (across > 0.5) & (along > 0.5) & ~np.eye(len(found), dtype=bool)
    assert not both.any(), [(found[i][0], found[j][0]) for i, j in np.argwhere(both)[:3]]


@pytest.mark.parametrize("k", [1, 3, 12, 60, 150])
@pytest.mark.parametrize("kind", ["names", "long", "short", "effects"])
def test_no_text_overlaps_another_or_leaves_the_figure(rates, effects, texts, long_label, k, kind):
    if kind == "effects":
        eff = effects(k)
    else:
        study = {
            "names": None,
            "long": [f"{long_label} {i}" for i in range(k)],
            "short": [f"{i}" for i in range(k)],
        }
        eff = rates(k, study=study[kind])
    ax = forest(metaan.pool(eff), title=f"{long_label}: {long_label}" if kind == "short" else "Title")
    assert_legible(ax, texts)


@pytest.mark.parametrize("dpi", [72, 100, 300])
@pytest.mark.parametrize("size", [5, 10, 16])
def test_text_stays_apart_at_every_size_and_resolution(rates, texts, long_label, size, dpi):
    with plt.rc_context({"font.size": size, "figure.dpi": dpi}):
        ax = forest(metaan.pool(rates(12, study=[f"{long_label} {i}" for i in range(12)])))
        assert_legible(ax, texts)


def test_the_title_stands_over_the_rule_and_the_summary_apart(rates, texts, drawn):
    ax = forest(metaan.pool(rates(3)), title="Title")
    boxes = dict(texts(ax))
    top = max(rule.get_window_extent().y1 for rule in drawn(ax, "_rule"))
    assert boxes["Title"].y0 > top
    rows = [height_of(ax, text) for text in ("Müller 1990", "Adams 1991", "Kowalczyk-Łęcka 1992", "Pooled rate")]
    steps = np.diff(rows)
    assert steps[0] == pytest.approx(steps[1])
    assert steps[2] > steps[1]


def test_statistics_stand_beside_the_axis_where_they_and_its_label_fit(rates, texts, long_label):
    beside = set()
    for length in range(10, 90, 10):  # room on the left grows from too little to plenty
        res = metaan.pool(rates(2, study=["n" * length, "b"]))
        model = forest_table(res)["study"][lambda text: text.str.startswith("Model")].item()
        ax = forest(res, xlabel=long_label)
        assert_legible(ax, texts)
        beside.add(dict(texts(ax))[model].y1 > ax.xaxis.label.get_window_extent().y0)
        plt.close(ax.figure)
    assert beside == {False, True}


def test_a_long_axis_label_is_broken_into_lines(rates, texts, long_label):
    ax = forest(metaan.pool(rates(3)), xlabel=" ".join([long_label] * 3))
    assert "\n" in ax.get_xlabel()
    assert_legible(ax, texts)


def test_bold_text_gets_the_room_that_it_takes(rates, texts):
    table = forest_table(metaan.pool(rates(3)))
    table.loc[table["row"] == "pooled", "study"] = "all of the pooled studies together " * 3
    assert_legible(forest(table), texts)


def test_squares_at_both_ends_of_the_axis_leave_the_columns_free(drawn, texts):
    eff = metaan.effect_size("PLO", events=[0, 500, 3], total=[500, 500, 10], correction="only0")
    ax = forest(metaan.pool(eff, method="CE"))
    (squares,) = drawn(ax, "_squares")
    half = np.sqrt(squares.get_sizes()) * ax.figure.dpi / 144
    for (x, y), side in zip(ax.transData.transform(squares.get_offsets()), half, strict=True):
        for text, box in texts(ax):
            apart = box.x1 < x - side or box.x0 > x + side or box.y1 < y - side or box.y0 > y + side
            assert apart, text


def test_large_counts_do_not_run_together(texts):
    eff = metaan.effect_size("PLO", events=[999_999, 5, 123_456], total=[10_000_000, 10, 7_654_321])
    assert_legible(forest(metaan.pool(eff)), texts)


def test_labels_are_text_and_not_markup(rates, texts):
    names = ["cost $5 and $6", "a_b^c", "100 % & more", "two\nlines\tand a tab"]
    ax = forest(metaan.pool(rates(4, study=names)))
    said = [text for text, _ in texts(ax)]
    assert {"cost $5 and $6", "a_b^c", "100 % & more", "two lines and a tab"} <= set(said)
    assert not any(text.get_parse_math() for text in ax.texts)


def test_no_global_setting_changes(rates):
    with plt.rc_context({"text.hinting": "force_autohint"}):  # not what the texts are drawn with
        before = dict(mpl.rcParams)
        forest(metaan.pool(rates(3))).figure.draw_without_rendering()
        assert dict(mpl.rcParams) == before


def test_text_is_8_point_unless_rcparams_say_otherwise(rates):
    sizes = {text.get_fontsize() for text in forest(metaan.pool(rates(3)), footnote=False).texts}
    assert sizes == {8.0}
    with plt.rc_context({"font.size": 12, "font.family": "serif", "text.color": "navy"}):
        ax = forest(metaan.pool(rates(3)), footnote=False)
    assert {text.get_fontsize() for text in ax.texts} == {12.0}
    assert {text.get_color() for text in ax.texts} == {"navy"}
    assert all(text.get_fontfamily()[-1] == "serif" for text in ax.texts)


@pytest.mark.parametrize("theme", ["darkgrid", "whitegrid", "white"])
def test_seaborn_themes_set_the_size_and_leave_the_table_clean(rates, texts, theme):
    with sns.axes_style(theme), sns.plotting_context("talk"):
        ax = forest(metaan.pool(rates(12)))
        assert ax.texts[0].get_fontsize() == pytest.approx(18)
        assert_legible(ax, texts)
    assert not any(grid.get_visible() for grid in ax.get_xgridlines())
    assert not ax.spines["left"].get_visible()


def inside(ax, box, texts):
    """Every text of the figure stands in a box, pixels."""
    left, bottom, right, top = box
    for text, extent in texts(ax):
        assert extent.x0 >= left - 1, text
        assert extent.x1 <= right + 1, text
        assert extent.y0 >= bottom - 1, text
        assert extent.y1 <= top + 1, text


@pytest.mark.parametrize("size", [[9, 5], [5, 8], [12, 3]], ids=["large", "narrow", "low"])
def test_a_given_axes_is_used_and_its_room_kept(rates, texts, size):
    figure = plt.figure(figsize=size)
    ax = figure.add_axes((0.05, 0.05, 0.9, 0.9))
    box = ax.get_window_extent().extents
    assert forest(metaan.pool(rates(12)), ax=ax, title="Title") is ax
    assert plt.get_fignums() == [figure.number]
    assert figure.get_size_inches().tolist() == size
    inside(ax, box, texts)
    assert_legible(ax, texts)
    assert ax.bbox.width > 9 * ax.texts[0].get_fontsize() * figure.dpi / 72


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_two_plots_side_by_side(rates, texts, layout):
    _, axes = plt.subplots(1, 2, figsize=(16, 5), layout=layout)
    for ax in axes:
        forest(metaan.pool(rates(12)), ax=ax)
    assert_legible(axes[0], texts)


def test_a_plot_in_a_subfigure_stays_there(rates, texts):
    figure = plt.figure(figsize=(16, 6))
    left, right = figure.subfigures(1, 2)
    ax = forest(metaan.pool(rates(12)), ax=right.add_axes((0.05, 0.05, 0.9, 0.9)))
    inside(ax, (800 + 40, 30, 800 + 760, 570), texts)
    assert not left.axes


def test_text_shrinks_when_the_axes_is_small_and_marks_with_it(rates, drawn):
    figure = plt.figure(figsize=(5, 3))
    ax = forest(metaan.pool(rates(12)), ax=figure.add_axes((0, 0, 1, 1)))
    (squares,) = drawn(ax, "_squares")
    (large,) = drawn(forest(metaan.pool(rates(12))), "_squares")
    ratio = ax.texts[0].get_fontsize() / 8
    assert 0.5 <= ratio < 1
    np.testing.assert_allclose(np.sqrt(squares.get_sizes() / large.get_sizes()), ratio, rtol=1e-12)


def test_an_axes_that_cannot_hold_the_plot_is_refused_with_the_size_it_needs(rates):
    _, ax = plt.subplots(figsize=(3, 2))
    with pytest.raises(OptionError, match=r"ax is too small .* It wants about \d\.\d x \d+\.\d"):
        forest(metaan.pool(rates(60)), ax=ax)


@pytest.mark.parametrize("ax", ["axes", None])
def test_only_an_axes_in_a_figure_can_be_drawn_on(rates, ax):
    if ax is None:
        _, ax = plt.subplots()
        ax.remove()
    with pytest.raises(OptionError, match="not a matplotlib Axes"):
        forest(metaan.pool(rates(3)), ax=ax)


def test_an_edited_table_is_drawn_as_it_stands(rates, drawn):
    table = forest_table(metaan.pool(rates(5)), sort="weight")
    table.loc[0, "study"] = "Renamed"
    table.loc[0, ["estimate", "low", "high"]] = 0.5, 0.25, 0.75
    ax = forest(table)
    assert "Renamed" in [text.get_text() for text in ax.texts]
    assert drawn(ax, "_squares")[0].get_offsets()[0, 0] == 0.5
    assert drawn(ax, "_intervals")[0].get_segments()[0][:, 0].tolist() == [0.25, 0.75]


def test_a_table_without_weights_has_no_column_for_them(rates, drawn):
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
def test_a_table_that_cannot_be_drawn_is_refused(rates, change, message):
    with pytest.raises(OptionError, match=message):
        forest(change(forest_table(metaan.pool(rates(3)))))


def test_options_of_the_table_do_not_apply_to_a_table(rates):
    with pytest.raises(OptionError, match="sort, footnote choose what a table holds"):
        forest(forest_table(metaan.pool(rates(3))), sort="weight", footnote=False)


@pytest.mark.parametrize("res", [None, [1, 2], "res"])
def test_only_results_and_tables_can_be_drawn(res):
    with pytest.raises(OptionError, match="Pass what pool, glmm or forest_table returned"):
        forest(res)
