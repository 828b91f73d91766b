"""The marks of a forest plot stand where its table says."""

import numpy as np
import pytest
from helpers.figures import assert_legible, drawn, effects, height_of, rates, texts

import metaan
from metaan.plot import forest, forest_table

POOLED = "Pooled rate (median study)"


def studies(table):
    return table[table["row"] == "study"]


@pytest.mark.parametrize("k", [1, 3, 12, 60])
def test_squares_stand_at_the_estimates_with_areas_like_the_weights(k):
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
def test_intervals_end_where_the_table_says(k):
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


def test_the_diamond_ends_at_the_limits_and_is_widest_at_the_estimate():
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
    assert left[1] == pytest.approx(height_of(ax, POOLED))


def test_the_dashed_line_runs_through_the_estimate_from_header_to_diamond():
    res = metaan.pool(rates(12))
    ax = forest(res)
    (reference,) = drawn(ax, "_reference")
    (start, end) = reference.get_segments()[0]
    assert start[0] == end[0] == res.back().estimate
    assert 0 < start[1] < 1
    assert end[1] == pytest.approx(height_of(ax, POOLED))
    assert not drawn(ax, "_null")


def test_the_bar_covers_the_prediction_interval():
    res = metaan.pool(rates(12))
    ax = forest(res)
    (bar,) = drawn(ax, "_prediction")
    shown = res.back()
    assert bar.get_x() == shown.pi_low
    assert bar.get_x() + bar.get_width() == pytest.approx(shown.pi_high, rel=1e-14)
    assert bar.get_y() + bar.get_height() / 2 == pytest.approx(height_of(ax, "95% prediction interval"))


@pytest.mark.parametrize(("k", "options"), [(2, {}), (12, {"prediction": False})])
def test_no_bar_without_a_prediction_interval(k, options):
    ax = forest(metaan.pool(rates(k)), **options)
    assert not drawn(ax, "_prediction")
    assert "95% prediction interval" not in [text.get_text() for text in ax.texts]


def test_each_label_stands_at_the_height_of_its_square():
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
    assert [text.get_fontweight() for text in forest(res).texts if text.get_text() == POOLED] == ["bold"]


def test_numbers_end_below_their_heading():
    found = texts(forest(metaan.pool(rates(12))))
    headers = dict(found)
    lines = {"Events": 13, "Total": 13, "Rate, % (95% CI)": 14, "Weight, %": 13}
    for header, count in lines.items():
        right = headers[header].x1
        cells = [box for text, box in found if abs(box.x1 - right) < 1.5 and text != header]
        assert len(cells) == count, header
        assert all(box.y1 < headers[header].y0 for box in cells)


def test_rates_run_from_0_to_100_per_cent():
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


def test_low_rates_get_a_shorter_axis_that_cuts_nothing():
    res = metaan.pool(metaan.effect_size("PLO", events=[1, 2, 3], total=[90, 100, 110]))
    ax = forest(res)
    low, high = ax.get_xlim()
    assert low == 0
    assert forest_table(res)["high"].max() <= high < 0.2
    assert not drawn(ax, "_cut high")


def test_effects_get_an_axis_with_a_line_at_no_effect():
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
def test_effects_of_any_size_can_be_read(factor):
    eff = effects(5)
    ax = forest(metaan.pool(metaan.effects(eff.yi * factor, eff.vi * factor**2)))
    assert 3 <= len(ax.get_xticks()) <= 7
    assert_legible(ax)


def test_cut_intervals_have_an_arrow_and_others_have_none():
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


def test_an_interval_beyond_the_axis_leaves_only_its_arrow():
    eff = metaan.effect_size("PLO", events=[1, 2, 19], total=[90, 100, 20], study=["a", "b", "c"])
    ax = forest(metaan.pool(eff, pi="none"), xlim=(0, 0.3))
    (intervals,), (arrows,) = drawn(ax, "_intervals"), drawn(ax, "_cut high")
    assert len(intervals.get_segments()) == 2
    assert height_of(ax, "c") == pytest.approx(arrows.get_offsets()[0, 1])


def test_nothing_is_cut_by_default():
    ax = forest(metaan.pool(rates(12)))
    assert not drawn(ax, "_cut low")
    assert not drawn(ax, "_cut high")


def test_limits_at_the_ends_of_the_axis_are_not_cut():
    eff = metaan.effect_size("PLO", events=[0, 20, 5], total=[20, 20, 10], correction="only0")
    table = forest_table(metaan.pool(eff))
    assert table["low"].min() == 0
    assert table["high"].max() == 1
    ax = forest(metaan.pool(eff), xlim=(0, 1))
    assert not drawn(ax, "_cut low")
    assert not drawn(ax, "_cut high")


def test_all_rates_zero():
    eff = metaan.effect_size("PAS", events=[0, 0, 0], total=[12, 30, 9])
    ax = forest(metaan.pool(eff))
    (squares,), (diamond,) = drawn(ax, "_squares"), drawn(ax, "_pooled")
    assert (squares.get_offsets()[:, 0] == 0).all()
    assert diamond.get_xy()[:, 0].min() == 0


@pytest.mark.parametrize(
    ("events", "total"), [([0, 0, 0], [12, 30, 9]), ([15] * 4, [15] * 4), ([2, 3, 4], [20, 30, 40]), ([4], [10])]
)
def test_every_answer_of_the_glmm_can_be_drawn(events, total):
    res = metaan.glmm("PLO", events=events, total=total)
    ax = forest(res)
    (diamond,) = drawn(ax, "_pooled")
    shown = res.back()
    assert (diamond.get_xy()[0, 0], diamond.get_xy()[2, 0]) == (shown.ci_low, shown.ci_high)
    assert any("binomial-normal GLMM" in text.get_text() for text in ax.texts)
    assert_legible(ax)
