"""Results to draw, and where their figures put what."""

import itertools

import numpy as np

import metaan

LABELS = (
    "Müller", "Adams", "Kowalczyk-Łęcka", "Ångström", "de Bree", "O'Neill", "García-Íñiguez", "Çelik",
    "Παπαδόπουλος", "Иванова",
)  # fmt: skip
LONG = "European Standard Operating Procedures of Electrochemotherapy (ESOPE), multicentre cutaneous cohort"


def rates(k, *, rate=0.5, tau=0.8, seed=1, study=None, measure="PLO"):
    """Effect sizes of k simulated studies, zero and full counts among them."""
    rng = np.random.default_rng(seed)
    total = rng.integers(6, 160, k)
    p = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + tau * rng.normal(size=k))))
    events = rng.binomial(total, p)
    if k >= 12:
        events[:2] = 0, total[1]
    names = study or [f"{name} {1990 + i % 35}" for i, name in zip(range(k), itertools.cycle(LABELS))]
    return metaan.effect_size(measure, events=events, total=total, study=names, correction="only0")


def effects(k, *, seed=2):
    rng = np.random.default_rng(seed)
    return metaan.effects(rng.normal(0.2, 0.8, k), rng.uniform(0.02, 0.4, k), study=[f"T{i}" for i in range(k)])


def drawn(ax, label):
    """The artists of one kind on an Axes, by their label."""
    return [artist for artist in ax.get_children() if artist.get_label() == label]


def texts(ax):
    """Every text of a figure with its bounding box, pixels; a text that is clipped anywhere fails."""
    figure = ax.figure.figure  # of a subfigure, too
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    found = []
    for part in figure.axes:
        ticks = [tick.label1 for tick in part.xaxis.get_major_ticks() + part.yaxis.get_major_ticks()]
        for text in [*part.texts, *ticks, part.xaxis.label, part.yaxis.label, part.title]:
            if text.get_visible() and text.get_text():
                box, seen = text.get_window_extent(renderer), text.get_tightbbox(renderer)
                assert seen is not None, text
                np.testing.assert_array_equal(seen.extents, box.extents, err_msg=text.get_text())
                found.append((text.get_text(), box))
    return found


def height_of(ax, text):
    """Row at which a text stands (middle of its capitals)."""
    found = next(t for t in ax.texts if t.get_text() == text)
    x, y = found.get_transform().transform(found.get_position())
    rise = 0.36 * found.get_fontsize() * ax.figure.dpi / 72
    return ax.transData.inverted().transform((x, y + rise))[1]


def assert_legible(ax):
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


def inside(ax, box):
    """Every text of the figure stands in a box, pixels."""
    left, bottom, right, top = box
    for text, extent in texts(ax):
        assert extent.x0 >= left - 1, text
        assert extent.x1 <= right + 1, text
        assert extent.y0 >= bottom - 1, text
        assert extent.y1 <= top + 1, text
