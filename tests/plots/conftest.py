"""Results to draw and a way to find what was drawn."""

import itertools

import matplotlib
import numpy as np
import pytest

import metaan

matplotlib.use("Agg")

import matplotlib.pyplot as plt

LABELS = (
    "Müller", "Adams", "Kowalczyk-Łęcka", "Ångström", "de Bree", "O'Neill", "García-Íñiguez", "Çelik",
    "Παπαδόπουλος", "Иванова",
)  # fmt: skip
LONG = "European Standard Operating Procedures of Electrochemotherapy (ESOPE), multicentre cutaneous cohort"


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def make_rates(k, *, rate=0.5, tau=0.8, seed=1, study=None, measure="PLO"):
    """Effect sizes of k simulated studies, zero and full counts among them."""
    rng = np.random.default_rng(seed)
    total = rng.integers(6, 160, k)
    p = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + tau * rng.normal(size=k))))
    events = rng.binomial(total, p)
    if k >= 12:
        events[:2] = 0, total[1]
    names = study or [f"{name} {1990 + i % 35}" for i, name in zip(range(k), itertools.cycle(LABELS))]
    return metaan.effect_size(measure, events=events, total=total, study=names, correction="only0")


def make_effects(k, *, seed=2):
    rng = np.random.default_rng(seed)
    return metaan.effects(rng.normal(0.2, 0.8, k), rng.uniform(0.02, 0.4, k), study=[f"T{i}" for i in range(k)])


@pytest.fixture
def rates():
    return make_rates


@pytest.fixture
def effects():
    return make_effects


@pytest.fixture
def long_label():
    return LONG


@pytest.fixture
def drawn():
    """The artists of one kind on an Axes, by their label."""

    def find(ax, label):
        return [artist for artist in ax.get_children() if artist.get_label() == label]

    return find


@pytest.fixture
def texts():
    """Every text of a figure with its bounding box, pixels; a text that is clipped anywhere fails."""

    def boxes(ax):
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

    return boxes
