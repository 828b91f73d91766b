"""Stacked bars of response categories show their table."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers.figures import LABELS, LONG, assert_legible, drawn
from matplotlib.colors import to_rgb

import metaan
from metaan.errors import InputError, OptionError
from metaan.plot import categories, categories_table

CODES = ("cr", "pr", "sd", "pd")


def counts(k, *, study=None, seed=1):
    rng = np.random.default_rng(seed)
    total, share = rng.integers(3, 400, k), rng.dirichlet([2, 1.5, 1, 0.6], k)
    x = np.array([rng.multinomial(n, p) for n, p in zip(total, share, strict=True)])
    names = study or [f"{LABELS[i % len(LABELS)]} {1990 + i % 35}" for i in range(k)]
    return pd.DataFrame(x, columns=CODES).assign(study=names, total=total, unit="patient")


@pytest.fixture(scope="module")
def res():
    return metaan.categories(metaan.response_table("electrochemotherapy", unit="lesion", overlaps="prefer_largest"))


@pytest.fixture(scope="module")
def ax(res):
    return categories(res)


def pieces(ax, code):
    """Left end, right end and middle height of the pieces of one category."""
    found = [bar for bar in ax.patches if bar.get_label() == f"_{code}"]
    return np.array([(b.get_x(), b.get_x() + b.get_width(), b.get_y() + b.get_height() / 2) for b in found])


def test_pieces_stand_where_the_table_says(ax, res):
    table = categories_table(res)
    heights = ax.get_yticks()
    for code in CODES:
        own = table[table["category"] == code]
        np.testing.assert_allclose(pieces(ax, code)[:, 0], own["start"], atol=1e-14)
        np.testing.assert_allclose(pieces(ax, code)[:, 1], own["end"], atol=1e-14)
        np.testing.assert_allclose(pieces(ax, code)[:, 2], heights)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(dict.fromkeys(table["study"]))
    totals = [f"{n:,.0f}" for n in table.loc[table["category"] == "cr", "total"]]
    assert [text.get_text() for text in drawn(ax, "_column")] == totals
    assert ax.get_xlabel() == "Lesions (%)"


def test_the_table_has_the_shares_of_the_counts_and_of_the_model(res):
    table = categories_table(res, sort="given")
    study = table[table["row"] == "study"]
    np.testing.assert_allclose(study["share"], (res.counts / res.counts.sum(axis=1, keepdims=True)).ravel(), rtol=1e-14)
    np.testing.assert_array_equal(table.loc[table["row"] == "pooled", "share"], res.estimate)
    np.testing.assert_allclose(table.groupby(["row", "study"])["share"].sum(), 1, rtol=1e-12)
    without = study.drop(columns="row").reset_index(drop=True)
    given = metaan.response_table("electrochemotherapy", unit="lesion", overlaps="prefer_largest")
    same = categories_table(given, sort="given").drop(columns="row")
    pd.testing.assert_frame_equal(same, without, check_dtype=False, rtol=1e-12)


def test_studies_are_sorted_and_the_pooled_bar_stays_last(res):
    ordered = {
        "share": lambda heads: (-heads["share"]).is_monotonic_increasing,
        "total": lambda heads: (-heads["total"]).is_monotonic_increasing,
        "label": lambda heads: heads["study"].is_monotonic_increasing,
        "given": lambda heads: list(heads["study"]) == list(res.study),
    }
    for sort, holds in ordered.items():
        table = categories_table(res, sort=sort)
        heads = table[(table["category"] == "cr") & (table["row"] == "study")]
        assert holds(heads), sort
        assert table["row"].iloc[-1] == "pooled"


def test_the_table_gives_the_same_figure(res):
    one, other = categories(res, sort="total"), categories(categories_table(res, sort="total"))
    for code in CODES:
        np.testing.assert_array_equal(pieces(one, code), pieces(other, code))
    assert [t.get_text() for t in one.texts] == [t.get_text() for t in other.texts]
    assert one.get_label() == other.get_label()


def test_the_pooled_bar_stands_apart_with_its_intervals_in_the_key(ax, res):
    steps = np.diff(ax.get_yticks())
    assert steps[-1] > 1.3 * steps[:-1].max()
    (rule,) = drawn(ax, "_rule")
    assert ax.get_yticks()[-2] < rule.get_segments()[0][0, 1] < ax.get_yticks()[-1]
    low, high = 100 * res.ci_low[0], 100 * res.ci_high[0]
    first = ax.get_legend().get_texts()[0].get_text()
    assert first == f"Complete response {100 * res.estimate[0]:.0f}% ({low:.0f}–{high:.0f})"
    assert [text.get_fontweight() for text in ax.get_yticklabels()][-1] == "bold"


@pytest.mark.parametrize("style", ["default", "lancet", "print"])
def test_shades_run_from_dark_to_light_in_every_style(res, style):
    ax = categories(res, style=style)
    shades = [next(bar for bar in ax.patches if bar.get_label() == f"_{code}").get_facecolor() for code in CODES]
    grey = [np.dot([0.299, 0.587, 0.114], to_rgb(shade)) for shade in shades]
    assert (np.diff(grey) > 0.1).all()
    hatches = [next(bar for bar in ax.patches if bar.get_label() == f"_{code}").get_hatch() for code in CODES]
    assert [bool(hatch) for hatch in hatches] == [False, False, False, True]


def test_percentages_stand_in_the_pieces_with_room():
    ax = categories(counts(12))
    ax.figure.draw_without_rendering()
    said = drawn(ax, "_percent")
    renderer = ax.figure.canvas.get_renderer()
    boxes = [bar.get_window_extent(renderer) for bar in ax.patches if bar.get_label() in [f"_{c}" for c in CODES]]
    for text in said:
        extent = text.get_window_extent(renderer)
        inside = [
            box for box in boxes if box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 < extent.y1 < box.y1 + 3
        ]
        assert inside, text.get_text()
    table = categories_table(counts(12))
    wide = table[table["share"] > 0.15]
    assert len(wide) <= len(said) < len(table)
    assert not drawn(categories(counts(3), percent=False), "_percent")


@pytest.mark.parametrize("k", [1, 3, 12, 60, 150])
def test_it_can_be_read_at_every_size(k):
    ax = categories(counts(k) if k == 1 else metaan.categories(counts(k)))
    assert_legible(ax)
    assert ax.figure.get_figwidth() <= 89 / 25.4 + 0.01
    plt.close(ax.figure)


def test_long_foreign_and_repeated_names_can_be_read():
    ax = categories(counts(5, study=[LONG, "x" * 70, "a_b $5 $6", "Same 2001", "Same 2001"]))
    assert_legible(ax)
    assert len(pieces(ax, "cr")) == 5
    assert "a_b $5 $6" in [text.get_text() for text in ax.get_yticklabels()]


def test_extreme_counts_can_be_drawn():
    full = pd.DataFrame({"study": ["All", "None"], "cr": [20, 0], "pr": 0, "sd": 0, "pd": [0, 900000]})
    ax = categories(full)
    assert_legible(ax)
    assert [text.get_text() for text in drawn(ax, "_percent")] == ["100", "100"]
    three = full.drop(columns=["sd", "pd"]).assign(nr=[0, 5])
    assert [text.get_text() for text in categories(three).get_legend().get_texts()][-1] == "No response"


def test_an_axes_of_the_caller_is_used_and_themes_are_followed(res):
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
    before = axes[1].get_xlim(), len(axes[1].get_children())
    assert categories(res, ax=axes[0]) is axes[0]
    assert (axes[1].get_xlim(), len(axes[1].get_children())) == before
    assert_legible(axes[0])
    with plt.style.context("dark_background"):
        ax = categories(res)
        assert_legible(ax)
        assert ax.get_yticklabels()[0].get_color() == "white"
    with plt.rc_context():
        sns.set_theme("talk", "darkgrid")
        before = dict(plt.rcParams)
        assert_legible(categories(res))
        assert dict(plt.rcParams) == before
    assert figure.axes == list(axes)


def test_it_says_in_words_what_it_shows(ax, res):
    said = metaan.plot.alt_text(ax)
    assert said.startswith("Stacked bars of response categories in 6 studies with 1,186 observations.")
    assert f"complete response {100 * res.estimate[0]:.0f}%" in said


def test_what_cannot_be_drawn_is_refused(res):
    with pytest.raises(InputError, match=r"Pass what metaan\.categories"):
        categories_table(3)
    with pytest.raises(InputError, match="columns cr, pr, sd, pd"):
        categories(pd.DataFrame({"study": ["A"], "events": [1]}))
    with pytest.raises(InputError, match="no rows"):
        categories(counts(2).iloc[:0])
    with pytest.raises(InputError, match=r"'Müller 1990'.*counts must be 0 or more"):
        categories(counts(2).assign(cr=[-1, 3]))
    with pytest.raises(OptionError, match="sort='size' is not known"):
        categories(res, sort="size")
    with pytest.raises(OptionError, match=r"sort choose.*categories_table"):
        categories(categories_table(res), sort="label")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": np.inf}, "start must be from 0 to 1"),
        ({"share": "a"}, "not a number"),
        ({"category": ["cr", "cr", *["pr"] * 14]}, "one piece for each category"),
    ],
)
def test_a_table_that_was_spoilt_is_refused(change, said):
    table = categories_table(counts(4))
    with pytest.raises(InputError, match=said):
        categories(table.assign(**change))


def test_attrs_that_were_spoilt_are_refused():
    table = categories_table(counts(4)).copy()
    table.attrs = table.attrs | {"level": "95%"}
    with pytest.raises(InputError, match="level"):
        categories(table)


@pytest.mark.parametrize("ax", [3, "x", []])
def test_an_ax_that_is_none_is_refused(ax):
    with pytest.raises(OptionError, match="not a matplotlib Axes"):
        categories(counts(3), ax=ax)


@pytest.mark.parametrize("option", [{"percent": "yes"}, {"percent": np.arange(3)}])
def test_options_of_a_wrong_type_are_refused(option):
    with pytest.raises(OptionError):
        categories(counts(3), **option)
