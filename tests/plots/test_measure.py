"""Widths of text as measured and as drawn."""

import itertools

import matplotlib.pyplot as plt
import pytest

from metaan.plot.measure import MeasuredText, text_width, wrap
from metaan.plot.style import current_style

SAMPLES = (
    "(95.7–100.0)",
    "Kowalczyk-Łęcka 1997",
    "95% prediction interval",
    "illicit filling",
    "Ελληνικά",
    "AVATAR",
)


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("dpi", [72, 100, 300])
@pytest.mark.parametrize("factor", [0.5, 1, 2])
@pytest.mark.parametrize("text", SAMPLES)
def test_drawn_text_is_as_wide_as_measured(text, factor, dpi, bold):
    style = current_style().scaled(factor)
    figure = plt.figure(dpi=dpi)
    drawn = MeasuredText(0.5, 0.5, text, fontproperties=style.font(bold=bold), figure=figure)
    width = drawn.get_window_extent(figure.canvas.get_renderer()).width * 72 / dpi
    # Kerning, which is not measured, brings letters closer; a pixel is rounding at both ends.
    assert 0.9 * width <= text_width(text, style, bold=bold) + 72 / dpi
    assert text_width(text, style, bold=bold) <= 1.12 * width + 72 / dpi


def test_wrapped_lines_hold_every_word_and_fit():
    style = current_style()
    text = "Heterogeneity between the studies is what the prediction interval is about"
    lines = wrap(text, 100, style)
    assert " ".join(lines) == text
    assert len(lines) > 2
    assert all(text_width(line, style) <= 100 for line in lines)
    assert all(text_width(f"{a} {b.split()[0]}", style) > 100 for a, b in itertools.pairwise(lines))


def test_a_word_that_is_too_long_stands_alone():
    assert wrap("a Donaudampfschifffahrtsgesellschaft b", 30, current_style()) == [
        "a",
        "Donaudampfschifffahrtsgesellschaft",
        "b",
    ]
