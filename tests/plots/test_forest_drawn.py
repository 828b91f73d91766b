"""What a forest plot draws beyond studies and one diamond: subgroups, cuts, bands, shades, lights, columns."""

import itertools

import numpy as np
import pandas as pd
import pytest
from helpers.figures import LABELS, LONG, assert_legible, drawn, effects, height_of, rates, texts

import metaan
from metaan.errors import OptionError
from metaan.plot import forest, forest_table
from metaan.plot.lights import JUDGEMENTS

JUDGED = ("low", "some concerns", "high", "no information")


def grouped(k, groups, **options):
    return metaan.subgroups(rates(k, **options), by=[f"Group {i % groups}" for i in range(k)])


def judged(eff, domains=5):
    turn = itertools.cycle(JUDGED)
    return pd.DataFrame({f"D{d}": [next(turn) for _ in eff.study] for d in range(1, domains + 1)}, index=eff.study)


def corners(ax, label="_pooled"):
    """Left, lowest, right and middle of each patch."""
    return [(p.get_xy()[:, 0].min(), p.get_xy()[:, 0].max(), p.get_xy()[0, 1]) for p in drawn(ax, label)]


@pytest.mark.parametrize(("k", "groups"), [(6, 2), (12, 3), (60, 12)])
def test_subgroups_have_their_own_diamonds_and_nothing_overlaps(k, groups):
    sub = grouped(k, groups)
    table = forest_table(sub)
    ax = forest(table, title="Subgroups")
    assert_legible(ax)
    pooled = table[table["row"] == "pooled"]
    assert len(pooled) == groups + 1
    found = corners(ax)
    np.testing.assert_allclose([f[0] for f in found], pooled["low"])
    np.testing.assert_allclose([f[1] for f in found], pooled["high"])
    assert np.all(np.diff([f[2] for f in found]) > 1)
    (reference,) = drawn(ax, "_reference")
    assert reference.get_segments()[0][0][0] == pooled["estimate"].iloc[-1]


def test_one_heading_without_a_diamond_of_its_own():
    res = metaan.pool(rates(5))
    ax = forest(res, group=["All trials"] * 5)
    assert_legible(ax)
    assert len(corners(ax)) == 1
    boxes = dict(texts(ax))
    assert boxes["All trials"].x0 < boxes["Müller 1990"].x0 - 2


def test_150_studies_with_everything_on_are_legible():
    names = [f"{LONG if i == 70 else LABELS[i % 10]} {i}" for i in range(150)]
    eff = rates(150, study=names)
    ax = forest(metaan.pool(eff), rob=judged(eff), blup=True, right={"Centre": names}, style="bmj")
    assert_legible(ax)


@pytest.mark.parametrize("style", ["default", "jama", "bmj", "lancet", "revman", "minimal", "print"])
def test_every_style_is_legible_at_60_studies(style):
    eff = rates(60)
    ax = forest(metaan.pool(eff), style=style, rob=judged(eff, 3), prediction="density", title=style)
    assert_legible(ax)


@pytest.mark.parametrize(
    "eff",
    [
        metaan.effects([-7.0, 0.1, 9.2], [0.5, 0.1, 0.9], measure="OR", study=["small", "one", "large"]),
        metaan.effects([1e6, 2e6, -3e6], [1e9, 2e9, 1e10], study=["a", "b", "c"]),
        metaan.effects([1e-6, 2e-6, -3e-6], [1e-12, 2e-12, 1e-12], study=["a", "b", "c"]),
    ],
    ids=["ratios", "large", "small"],
)
def test_extreme_values_are_legible(eff):
    assert_legible(forest(metaan.pool(eff)))


def test_limits_outside_the_axis_have_arrows_and_no_mark_leaves_it():
    sub = grouped(12, 3)
    table = forest_table(sub)
    ax = forest(table, xlim=(0.3, 0.6))
    marked = table[table["row"].isin(["study", "pooled", "prediction"])]
    for label, cut in (("_cut low", marked["low"] < 0.3), ("_cut high", marked["high"] > 0.6)):
        (arrows,) = drawn(ax, label)
        assert len(arrows.get_offsets()) == cut.sum() > 3
    (intervals,) = drawn(ax, "_intervals")
    ends = [0.3 - 1e-12, 0.6 + 1e-12]
    segments = np.array(intervals.get_segments())[:, :, 0]
    assert ends[0] <= segments.min()
    assert segments.max() <= ends[1]
    for low, high, _ in corners(ax):
        assert ends[0] <= low < high <= ends[1]
    for bar in drawn(ax, "_prediction"):
        assert ends[0] <= bar.get_x() < bar.get_x() + bar.get_width() <= ends[1]


def test_limits_of_0_and_1_are_cut_on_a_logit_axis():
    eff = rates(12)
    ax = forest(metaan.pool(eff), xscale="logit")
    assert ax.get_xscale() == "logit"
    table = forest_table(metaan.pool(eff))
    rows = table[table["row"] == "study"]
    (left,), (right,) = (drawn(ax, label) for label in ("_cut low", "_cut high"))
    assert len(left.get_offsets()) >= (rows["low"] == 0).sum() == 1
    assert len(right.get_offsets()) >= (rows["high"] == 1).sum() == 1
    assert_legible(ax)


@pytest.mark.parametrize(
    ("eff", "xscale", "words"),
    [(effects(5), "log", "positive numbers"), (effects(5), "logit", "rates"), (effects(5), "logg", "'log'")],
)
def test_scales_that_do_not_fit_are_refused(eff, xscale, words):
    with pytest.raises(OptionError, match=words):
        forest(metaan.pool(eff), xscale=xscale)


def test_shrunken_effects_stand_under_their_studies():
    res = metaan.glmm("PLO", events=[3, 9, 12, 20], total=[44, 40, 20, 60], study=list("abcd"))
    table = forest_table(res, blup=True)
    ax = forest(table)
    (blups,), (squares,) = drawn(ax, "_blups"), drawn(ax, "_squares")
    x, y = blups.get_offsets().T
    np.testing.assert_allclose(x, table.loc[table["row"] == "study", "blup"])
    below = y - squares.get_offsets()[:, 1]
    assert np.all((below > 0.1) & (below < 0.5))
    (lines,) = drawn(ax, "_blup intervals")
    np.testing.assert_allclose([s[0][0] for s in lines.get_segments()], table["blup_low"].dropna())


def test_a_prediction_interval_as_band_and_as_density():
    res = metaan.pool(rates(12))
    shown = res.back()
    (band,) = drawn(forest(res, prediction="band"), "_prediction band")
    assert band.get_x() == shown.pi_low
    assert band.get_x() + band.get_width() == pytest.approx(shown.pi_high)
    ax = forest(res, prediction="density")
    (curve,) = drawn(ax, "_density")
    x, y = curve.get_paths()[0].vertices.T
    assert x[np.argmin(y)] == pytest.approx(shown.estimate, abs=0.15)
    assert y.max() < height_of(ax, "95% prediction interval")


def test_bands_reference_and_favours():
    res = metaan.pool(rates(12))
    ax = forest(res, bands=[(0.6, 0.9, "useful")], reference=0.5, favours=("Worse", "Better"), xlabel="Response (%)")
    (band,), (null,) = drawn(ax, "_threshold band"), drawn(ax, "_null")
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.6, 0.9))
    assert null.get_segments()[0][0][0] == 0.5
    boxes = dict(texts(ax))
    middle = ax.transData.transform((0.5, 0))[0]
    assert boxes["← Worse"].x1 < middle < boxes["Better →"].x0
    assert boxes["Response (%)"].y1 <= boxes["← Worse"].y0 + 1
    assert "Shaded: useful." in boxes
    assert_legible(ax)


@pytest.mark.parametrize("style", ["default", "revman"])
def test_long_words_beside_no_effect_stay_in_the_figure(style):
    eff = metaan.effects([0.2, -0.3, 0.1], [0.1, 0.2, 0.1], measure="OR", study=["a", "b", "c"])
    words = ("Favours electrochemotherapy with bleomycin", "Favours radiotherapy with hyperthermia")
    assert_legible(forest(metaan.pool(eff), favours=words, style=style))


def test_traffic_lights_stand_in_their_rows_with_colour_and_sign():
    eff = rates(4)
    rob = judged(eff, 2)
    ax = forest(metaan.pool(eff), rob=rob)
    (squares,) = drawn(ax, "_squares")
    row = dict(zip(eff.study, squares.get_offsets()[:, 1], strict=True))
    for judgement in JUDGED:
        colour, sign = JUDGEMENTS[judgement]
        discs = drawn(ax, f"_rob {judgement}")
        assert {disc.get_markerfacecolor() for disc in discs} == {colour}
        rows = sorted(y for disc in discs for y in disc.get_ydata())
        expected = sorted(row[s] for s in eff.study for d in rob.columns if rob.loc[s, d] == judgement)
        np.testing.assert_allclose(rows, expected)
        assert sign in {line.get_marker() for line in drawn(ax, "_rob sign")}
    assert_legible(ax)


def test_own_judgements_have_their_colours_and_first_letters():
    eff = rates(3)
    rob = pd.DataFrame({"D": ["good", "fair", "poor"]}, index=eff.study)
    ax = forest(metaan.pool(eff), rob=rob, rob_levels={"good": "#00ff00", "fair": "#cccc00", "poor": "#ff0000"})
    assert drawn(ax, "_rob poor")[0].get_markerfacecolor() == "#ff0000"
    assert {"$G$", "$F$", "$P$"} <= {line.get_marker() for line in drawn(ax, "_rob sign")}


def test_shades_lie_behind_every_second_study():
    ax = forest(metaan.pool(rates(7)), style="bmj")
    (squares,) = drawn(ax, "_squares")
    y = squares.get_offsets()[:, 1]
    shades = [bar for bar in drawn(ax, "_shade") if bar.get_height() == pytest.approx(1)]
    np.testing.assert_allclose(sorted(bar.get_y() + 0.5 for bar in shades), y[1::2])


def test_points_of_numbers_stand_one_under_the_other():
    given = ["1.25", "10.5", "100.125"]
    ax = forest(metaan.pool(rates(3)), left={"Study": "study", "Dose": given})
    renderer = ax.figure.canvas.get_renderer()
    places = []
    for text in ax.texts:
        if text.get_text() in given:
            box, tail = text.get_window_extent(renderer), text.get_text().split(".")[1]
            text.set_text("." + tail)
            places.append(box.x1 - text.get_window_extent(renderer).width)
    assert len(places) == 3
    assert np.ptp(places) < 1
    with pytest.raises(OptionError, match="dose"):
        forest(metaan.pool(rates(3)), left=["study", "dose"])


def test_arms_stand_under_their_heading():
    eff = metaan.effect_size("OR", events_t=[12, 5], total_t=[40, 33], events_c=[20, 9], total_c=[41, 30])
    ax = forest(metaan.pool(eff))
    boxes = texts(ax)
    over = dict(boxes)["Treatment"]
    events = [box for text, box in boxes if text == "Events"]
    assert over.y0 > events[0].y1 - 2
    assert over.x0 < (events[0].x0 + events[0].x1) / 2 + 40
    assert_legible(ax)


def test_a_table_and_its_copy_give_the_same_figure_and_an_edit_is_drawn():
    sub = grouped(12, 3)
    options = {"prediction": "density", "favours": ("a", "b")}
    table = forest_table(sub, **options)
    figures = [forest(sub, **options), forest(table), forest(pd.read_pickle(_kept(table)))]
    said = [[(text, *np.round(box.extents, 6)) for text, box in texts(ax)] for ax in figures]
    assert said[0] == said[1] == said[2]
    edited = table.copy()
    edited.attrs = table.attrs
    first = edited.index[edited["row"] == "study"][0]
    edited.loc[first, ["study", "estimate"]] = ["Edited 2000", 0.123]
    ax = forest(edited)
    assert "Edited 2000" in [text.get_text() for text in ax.texts]
    assert drawn(ax, "_squares")[0].get_offsets()[0, 0] == 0.123


def _kept(table):
    import io

    buffer = io.BytesIO()
    table.to_pickle(buffer)
    buffer.seek(0)
    return buffer
