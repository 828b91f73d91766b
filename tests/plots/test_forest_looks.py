"""Styles of forest plots: punctuation, columns, and colours that the colour-blind and the printer can tell apart."""

import itertools

import numpy as np
import pandas as pd
import pytest
from helpers.figures import effects, rates, texts
from matplotlib.colors import to_rgb

import metaan
from metaan.errors import OptionError
from metaan.plot import forest
from metaan.plot.style import STYLE, current_style

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
BLIND = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
STYLES = tuple(STYLE.choices)


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(colour):
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(colour, matrix):
    """CIE L*a*b* (D65) of a colour as seen with a deficiency."""
    rgb = np.clip(np.array(matrix) @ linear(colour), 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    t = np.array(to_xyz) @ rgb / [0.95047, 1.0, 1.08883]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", BLIND)
@pytest.mark.parametrize("name", STYLES)
def test_marks_stand_out_from_the_page_for_every_eye(name, vision):
    style = current_style(style=name)
    for colour in (style.square, style.pooled, style.prediction):
        for ground in ("white", style.zebra):
            if ground is not None:
                assert np.linalg.norm(lab(colour, BLIND[vision]) - lab(ground, BLIND[vision])) > 20
    # A bar and a diamond in one row of the summary: forms differ, and so do the colours.
    assert np.linalg.norm(lab(style.pooled, BLIND[vision]) - lab(style.prediction, BLIND[vision])) > 15


@pytest.mark.parametrize("vision", BLIND)
@pytest.mark.parametrize("name", STYLES)
def test_groups_can_be_told_apart_by_every_eye(name, vision):
    palette = current_style(style=name).palette[:4]
    for one, other in itertools.combinations(palette, 2):
        assert np.linalg.norm(lab(one, BLIND[vision]) - lab(other, BLIND[vision])) > 10


@pytest.mark.parametrize("name", STYLES)
def test_text_is_read_on_every_shade(name):
    style = current_style(style=name)
    for ground in ("white", style.zebra, style.header):
        if ground is not None:
            assert contrast(style.ink, ground) > 7
            assert contrast(style.muted, ground) > 4.5


def test_print_has_no_colour():
    style = current_style(style="print")
    eff = rates(4)
    rob = pd.DataFrame({"D": ["low", "some concerns", "high", "no information"]}, index=eff.study)
    ax = forest(metaan.pool(eff), rob=rob, style="print")
    lights = [light.get_markerfacecolor() for light in ax.lines if light.get_label().startswith("_rob ")]
    assert len(lights) == 8
    for colour in (style.ink, style.muted, style.square, style.pooled, style.prediction, *style.palette, *lights):
        assert len(set(to_rgb(colour))) == 1


@pytest.mark.parametrize(
    ("name", "interval"),
    [
        ("default", "(33.2–68.7)"), ("jama", "(33.2-68.7)"), ("bmj", "(33.2 to 68.7)"), ("lancet", "(33·2–68·7)"),
        ("revman", "[33.2, 68.7]"), ("minimal", "(33.2–68.7)"), ("print", "(33.2–68.7)"),
    ],
)  # fmt: skip
def test_intervals_are_written_as_the_journal_does(name, interval):
    res = metaan.pool(rates(12))
    shown = res.back()
    assert f"{100 * shown.ci_low:.1f}" == "33.2"
    assert f"{100 * shown.ci_high:.1f}" == "68.7"
    assert [text for text, _ in texts(forest(res, style=name))].count(interval) == 1


def test_lancet_writes_every_point_in_the_middle():
    eff = metaan.effects([0.2, -0.3, 0.1], [0.1, 0.2, 0.1], measure="OR", study=["a", "b", "c"])
    said = [text for text, _ in texts(forest(metaan.pool(eff), style="lancet", footnote=False))]
    assert not [text for text in said if any(f"{d}." in text for d in "0123456789")]
    assert [text for text in said if text.startswith("Heterogeneity: τ² = 0·")]
    assert "0·5" in said


def test_differences_have_no_dash_between_signed_numbers():
    for name in ("default", "jama", "lancet"):
        said = [text for text, _ in texts(forest(metaan.pool(effects(4)), style=name))]
        assert [text for text in said if text.startswith("(") and " to " in text]


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("default", ["Study", "Events", "Total", "|", "Rate, % (95% CI)", "Weight, %"]),
        ("jama", ["Source", "Events", "Total", "Rate, % (95% CI)", "|", "Weight, %"]),
        ("revman", ["Study or subgroup", "Events", "Total", "Weight, %", "Rate, % (95% CI)", "|"]),
    ],
)
def test_columns_stand_in_the_order_of_the_style(name, order):
    ax = forest(metaan.pool(rates(3)), style=name)
    boxes = dict(texts(ax))
    places = {heading: boxes[heading].x1 for heading in order if heading != "|"} | {"|": ax.bbox.x1}
    assert sorted(places, key=places.get) == order


def test_the_callers_columns_go_before_those_of_the_style():
    ax = forest(metaan.pool(rates(3)), style="revman", left=["study"], right=["estimate", "total"])
    boxes = dict(texts(ax))
    assert boxes["Study or subgroup"].x1 < ax.bbox.x0 < ax.bbox.x1 < boxes["Rate, % (95% CI)"].x0 < boxes["Total"].x0
    assert "Weight, %" not in boxes


def test_rcparams_decide_on_type_and_named_styles_on_colour():
    import seaborn as sns

    with sns.plotting_context("talk"), sns.axes_style("darkgrid"):
        style = current_style(style="bmj")
        assert style.size == 18
        assert style.square == "#2a6ebb"


@pytest.mark.parametrize("wrong", ["bmjj", "BMJ", 3])
def test_unknown_styles_are_refused(wrong):
    with pytest.raises(OptionError, match="bmj"):
        forest(metaan.pool(rates(3)), style=wrong)
