"""Long names in a forest plot are cut in the picture alone, and stay apart."""

import numpy as np
import pytest
from helpers.figures import LONG, assert_legible, height_of, rates, texts
from hypothesis import given
from hypothesis import strategies as st

import metaan
from metaan.plot import alt_text, forest, forest_table, forests, to_html
from metaan.plot.labels import LONGEST, shortened
from metaan.plot.measure import text_width
from metaan.plot.style import STYLE, current_style

MIDDLE = "Registry of all hospitals of the north that took part, arm {} of those that were compared, report of 2011"
ACCENTS = "e\u0301" * 40
STYLE_OF_TEXT = current_style()
WIDE = LONGEST * STYLE_OF_TEXT.size


def cut(*names):
    return shortened(names, WIDE, STYLE_OF_TEXT)


def named(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("style", STYLE.choices)
def test_a_long_name_is_cut_between_its_words_and_the_plot_keeps_its_room(style):
    ax = forest(metaan.pool(rates(3, study=[f"{LONG} 2011", "x" * 90, "Ng 2016"])), style=style)
    found = dict(texts(ax))
    assert "European Standard Operating … cohort 2011" in found
    assert "Ng 2016" in found
    long = [name for name in found if "…" in name]
    assert len(long) == 2
    size = ax.texts[0].get_fontsize() * ax.figure.dpi / 72
    assert max(found[name].width for name in long) <= LONGEST * size * 1.01
    names = [height_of(ax, name) for name in (*sorted(long), "Ng 2016")]
    np.testing.assert_allclose(np.diff(names), 1)
    assert_legible(ax)


def test_table_page_and_alternative_text_keep_the_whole_name():
    study = [f"{LONG} 2011", f"{LONG} 2012", "Ng 2016"]
    res = metaan.pool(rates(3, study=study))
    assert forest_table(res)["study"].tolist()[:3] == study
    refits = metaan.leave_one_out(res)
    ax = forest(refits)
    assert f"without {LONG} 201" in alt_text(ax)
    assert not {f"Without {name}" for name in study[:2]} & set(named(ax))
    page = to_html(res)
    assert all(name in page for name in study)


@pytest.mark.parametrize(
    "names",
    [
        [MIDDLE.format("one"), MIDDLE.format("two"), MIDDLE.format("twelve")],
        [f"{LONG} {LONG} first", f"{LONG} {LONG}"],
        [f"{'x' * 60}{letter}{'y' * 60}" for letter in "abc"],
        [f"{'日本' * 40}甲", f"{'日本' * 40}乙"],
        [ACCENTS + "a" + "b" * 60, ACCENTS + "c" + "b" * 60],
        [f"{a} of many hospitals in which all was alike, {b} of them, and so on 2011" for a in "AB" for b in "CD"],
    ],
    ids=["middle", "longer", "letters", "han", "accents", "two places"],
)
def test_names_that_differ_anywhere_still_differ(names):
    ax = forest(metaan.pool(rates(len(names), study=names)))
    shown = [name for name in named(ax) if "…" in name]
    assert len(set(shown)) == len(names)
    assert max(text_width(name, current_style(names)) for name in shown) <= WIDE
    assert_legible(ax)


def test_a_cut_shows_the_place_where_names_differ():
    assert cut(MIDDLE.format("one"), MIDDLE.format("two")) == [
        "Registry of all … one of those … report of 2011",
        "Registry of all … two of those … report of 2011",
    ]


def test_names_that_only_their_length_tells_apart_stay_whole():
    assert cut("x" * 100, "x" * 101) == ["x" * 100, "x" * 101]


def test_names_of_45_characters_are_as_they_were():
    name = "Rodriguez-Cuevas 2001, second cohort, patient"
    assert len(name) == 45
    assert name in named(forest(metaan.pool(rates(2, study=[name, "b"]))))
    assert cut(name, f"{name} by patient")[0] == name


def test_headings_of_subgroups_are_cut_and_words_of_our_own_are_not():
    sub = metaan.subgroups(rates(6), by=[f"{LONG} {i % 2}" for i in range(6)])
    table = forest_table(sub)
    whole = "Overall pooled rate of every study of every group, whatever it was that they counted"
    table.loc[(table["row"] == "pooled") & (table["group"] == ""), "study"] = whole
    shown = named(forest(table))
    assert {"European Standard Operating … cohort 0", "European Standard Operating … cohort 1", whole} <= set(shown)


def test_plots_side_by_side_cut_the_names_as_well():
    study = [f"{LONG} {i}" for i in range(3)]
    axes = forests({"A": metaan.pool(rates(3, study=study)), "B": metaan.pool(rates(3, seed=2, study=study))})
    assert [name for name in named(axes[0]) if "cohort" in name] == [
        f"European Standard Operating … cohort {i}" for i in range(3)
    ]


LETTERS = st.text(st.sampled_from("ab é\u0301W日-"), max_size=70).map(lambda text: " ".join(text.split()))


@given(st.lists(LETTERS, max_size=6))
def test_whatever_the_names_are(names):
    shown = cut(*names)
    assert len(set(shown)) == len(set(names))
    for name, text in zip(names, shown, strict=True):
        if text != name:
            assert text_width(name, STYLE_OF_TEXT) > WIDE >= text_width(text, STYLE_OF_TEXT)
            pieces = text.split("…")
            assert name.startswith(pieces[0].strip())
            assert name.endswith(pieces[-1].strip())
