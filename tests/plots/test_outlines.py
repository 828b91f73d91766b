"""Outlines of lines of text, put together from those of their characters."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.textpath import TextPath

import metaan
from metaan.plot.measure import MeasuredText
from metaan.plot.outlines import outline
from metaan.plot.style import current_style

LINES = ("0.65 (0.13–1.17)", "AVATAR, Ty. 1997", "Kowalczyk-Łęcka et al.", "95% prediction interval", "−0.5", " a b ")


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("text", LINES)
def test_corners_stand_where_those_of_the_whole_line_do(text, bold):
    style = current_style()
    shape, width = outline(text, style.family, bold)
    whole = TextPath((0, 0), text, size=1, prop=style.font(bold=bold), usetex=False)
    ours, theirs = shape.get_extents(), whole.get_extents()
    assert np.allclose(ours.get_points(), theirs.get_points(), atol=0.02)
    assert width >= ours.x1 - 0.1


@pytest.mark.parametrize("text", ["\u00ad", " ", "\u00a0\u00ad"])
def test_a_line_without_ink_is_drawn_as_nothing(text):
    shape, _ = outline(text, current_style().family, False)
    assert len(shape.vertices) == 0 or np.ptp(shape.vertices[:, 1]) < 1
    figure = plt.figure()
    figure.add_artist(MeasuredText(0.5, 0.5, text, fontproperties=current_style().font(), figure=figure))
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("measure", ["OR", "SMD"])
def test_texts_stay_on_their_rows_when_limits_and_size_change(measure):
    study = ["Ames", "Bo", "Clark"]
    res = metaan.pool(metaan.effects([0.1, 0.2, 0.5], [0.02, 0.03, 0.04], measure=measure, study=study))
    ax = metaan.plot.forest(res)
    before = _middles(ax, study) - _rows(ax, study)
    low, high = ax.get_ylim()
    ax.set_ylim(low + 2, high + 1)
    ax.figure.set_size_inches(9, 5)
    assert _middles(ax, study) - _rows(ax, study) == pytest.approx(before, abs=1.0)
    assert np.ptp(_rows(ax, study)) > 10


def _middles(ax, labels):
    """Middle of the text of each label, pixels."""
    renderer = ax.figure.canvas.get_renderer()
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in ax.texts}
    return np.array([(boxes[label].y0 + boxes[label].y1) / 2 for label in labels])


def _rows(ax, labels):
    """Where the rows of the labels are, pixels."""
    rows = {text.get_text(): text.get_unitless_position()[1] for text in ax.texts}
    return np.array([ax.transData.transform((1, rows[label]))[1] for label in labels])
